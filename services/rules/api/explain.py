"""Why does a rule fire, or not fire, for a customer now, and what has it come to on each day?"""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from libs.common import clock
from libs.common.auth import requires
from libs.common.db import Database, Tx
from libs.common.documents import SnapshotWatcher, reading
from libs.common.documents.routes import READERS
from libs.common.documents.shapes import DocumentVersion
from libs.common.errors import Conflict, DangolError
from libs.common.web import Document
from services.rules import restoring, store
from services.rules.api.scope import CustomerId, RuleIdPath, whole_company
from services.rules.api.triggers import TriggerView
from services.rules.document import language
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from services.rules.explaining import progress as explaining
from services.rules.explaining import recording
from services.rules.explaining.progress import Explanation, Known
from services.rules.explaining.recording import LoggedTrigger
from services.rules.warming import progress as warming
from services.rules.warming.progress import WarmingView

_KIND = "rule"
ODD_VALUE = "odd_value"


class Supposed(Document):
    """`profile` is the customer's as of now, and `event` one that somebody asks about: its `type` and its data."""

    profile: dict[str, Any] | None = None
    event: dict[str, Any] | None = None


class Standing(BaseModel):
    """`profile` says where conditions on the profile were judged by: given, last_seen, last_trigger or nothing."""

    explanation: Explanation
    profile: str
    firings: list[TriggerView]


class DayFigures(BaseModel):
    day: date
    fired: int = 0
    outcomes: dict[str, int] = Field(default_factory=dict)


class RuleStats(BaseModel):
    """Days are those on which the engine decided, in the company's zone.

    `odd_values` counts comparisons that met a value of another type than the rule expects. `warming` says how far the
    version in force has learned of what was before it, null where there was nothing to learn.
    """

    rule_id: str
    zone: str
    fired: int
    odd_values: int
    outcomes: dict[str, int]
    days: list[DayFigures]
    warming: WarmingView | None = None


class _Remembered(NamedTuple):
    document: DocumentVersion
    states: list[State]
    logged: list[LoggedTrigger]


def make_router(database: Database, rules: SnapshotWatcher[Snapshot], company_zone: str) -> APIRouter:
    router = APIRouter(prefix="/rules", tags=["explain"])
    asking = _Asking(database, rules, company_zone)
    guarded = [Depends(requires(*READERS)), Depends(whole_company)]

    @router.get("/{id}/customers/{customer_id}", dependencies=guarded)
    async def explain_rule(id: RuleIdPath, customer_id: CustomerId) -> Standing:
        """How a customer stands towards a rule now: what holds, what fails and by how much, what is under way."""
        return await asking.standing(id, customer_id, Supposed())

    @router.post("/{id}/customers/{customer_id}/explain", dependencies=guarded)
    async def explain_supposed(id: RuleIdPath, customer_id: CustomerId, supposed: Supposed) -> Standing:
        """The same for a given profile, which rules do not keep, or for an event; changes nothing."""
        return await asking.standing(id, customer_id, supposed)

    @router.get("/{id}/stats", dependencies=guarded[:1])
    async def rule_stats(id: RuleIdPath, days: Annotated[int, Query(ge=1, le=400)] = 30) -> RuleStats:
        """How often the rule fired on each day, what stopped it, and how far it has learned of the past."""
        live = rules.require().content.rules.get(id)
        async with database.connection() as connection:
            await reading.get(connection, _KIND, id)
            today = clock.now().astimezone(rules.require().content.company_zone).date()
            since = today - timedelta(days=days - 1)
            found = await store.outcomes(connection, id, since)
            learned = None if live is None else await warming.of_rule(connection, id, live.version)
        shown = [since + timedelta(days=each) for each in range(days)]
        return _stats(id, company_zone, shown, found).model_copy(update={"warming": learned})

    return router


class _Asking:
    def __init__(self, database: Database, rules: SnapshotWatcher[Snapshot], company_zone: str) -> None:
        self._database = database
        self._rules = rules
        self._company_zone = company_zone

    async def standing(self, id: str, customer_id: str, supposed: Supposed) -> Standing:
        live = self._rules.require().content
        remembered = await self._remembered(live, id, customer_id)
        # Hundreds of days of many measures are work for the processor.
        return await asyncio.to_thread(self._stands, live, id, remembered, supposed)

    def _stands(self, live: Snapshot, id: str, remembered: _Remembered, supposed: Supposed) -> Standing:
        document = remembered.document
        compiled = live.rules.get(id)
        status = document.status if compiled is None else "active" if compiled.active else "paused"
        snapshot = live if compiled is not None else self._alone(document)
        last = remembered.logged[0] if remembered.logged else None
        fields = {} if last is None else recording.read(last).grounds.values
        known = Known(
            supposed.profile,
            {path: each for path, each in fields.items() if path.startswith("profile.")},
            supposed.event,
            last.person_id if last is not None else "",
        )
        rule = language.decode(document.body)
        found = explaining.explain(snapshot, rule, remembered.states, known, clock.now(), status)
        return Standing(
            explanation=found,
            profile=_source(supposed, remembered.states[0], known),
            firings=[TriggerView.of(each) for each in remembered.logged],
        )

    async def _remembered(self, live: Snapshot, id: str, customer_id: str) -> _Remembered:
        compiled = live.rules.get(id)
        async with self._database.connection() as connection:
            document = await _document(connection, id, None if compiled is None else compiled.version)
            states = await _states(connection, customer_id)
            asked = store.Asked(rule_id=id, customer_id=customer_id)
            logged = await store.triggers(connection, asked, explaining.FIRINGS_SHOWN_MAX)
        return _Remembered(document, states, logged)

    def _alone(self, document: DocumentVersion) -> Snapshot:
        """A rule that nothing runs: a draft, or one that has ended."""
        try:
            return compile_snapshot([Source(document.body, document.version, False)], self._company_zone)
        except (ValueError, DangolError) as error:
            raise Conflict(
                f"Version {document.version} is {document.status} and cannot be run by itself: {error}"
            ) from None


async def _document(connection: Any, id: str, version: int | None) -> DocumentVersion:
    return await reading.get(connection, _KIND, id, "latest" if version is None else version)


async def _states(connection: Any, customer_id: str) -> list[State]:
    """The customer's own, empty if nothing is remembered, and those of the linked records."""
    tx = Tx(connection)
    own = (await restoring.load(tx, [customer_id])).get(customer_id) or State(customer_id)
    others = await restoring.load(tx, [each for each in own.linked if each != customer_id])
    return [own, *(each for _, each in sorted(others.items()))]


def _source(supposed: Supposed, own: State, known: Known) -> str:
    if supposed.profile is not None:
        return "given"
    if own.profile:
        return "last_seen"
    return "last_trigger" if known.fields else "nothing"


def _stats(id: str, zone: str, days: list[date], found: list[tuple[date, str, int]]) -> RuleStats:
    figures = {day: DayFigures(day=day) for day in days}
    totals: dict[str, int] = {}
    for day, outcome, count in found:
        totals[outcome] = totals.get(outcome, 0) + count
        if day in figures:
            figures[day].outcomes[outcome] = count
            figures[day].fired = figures[day].outcomes.get("fired", 0)
    return RuleStats(
        rule_id=id,
        zone=zone,
        fired=totals.get("fired", 0),
        odd_values=totals.get(ODD_VALUE, 0),
        outcomes=totals,
        days=list(figures.values()),
    )

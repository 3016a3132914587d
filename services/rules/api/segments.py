"""How is a segment written, switched on and off, and who is in it? As every document; its members are its own."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from libs.common import clock
from libs.common.auth import requires
from libs.common.db import Database, Tx
from libs.common.documents import SnapshotWatcher, reading, routes
from libs.common.documents.kinds import READERS, DocumentKind, Written
from libs.common.documents.shapes import DocumentVersion
from libs.common.documents.views import VersionView, WarnedValidity
from libs.common.errors import Conflict, Fault, Invalid
from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.rules import restoring, store
from services.rules.api.scope import CustomerId, RuleIdPath, whole_company
from services.rules.document import cautions, checking, language, segments
from services.rules.document.segments import KIND
from services.rules.engine.compiled import segment_figures
from services.rules.engine.snapshot import Snapshot
from services.rules.membership import store as membership

_RULE = "rule"


class SegmentView(VersionView):
    """`people` were in the segment at `counted_at`; null while no version of it is in force, or before the first count.

    Up to a thousand are counted now, more of them now and then.
    """

    people: int | None = None
    counted_at: datetime | None = None


class MemberView(BaseModel):
    """A person once, by the record that was judged last."""

    person_id: str
    customer_id: str
    since: datetime
    version: int


class BelongingView(BaseModel):
    segment_id: str
    since: datetime
    version: int


class Belongings(BaseModel):
    items: list[BelongingView]


class MovesOfDay(BaseModel):
    """Moments in people's lives are `entered` and `left`; `joined` and `dropped` were by definition or by hand."""

    day: date
    entered: int = 0
    left: int = 0
    joined: int = 0
    dropped: int = 0


class SegmentStats(BaseModel):
    segment_id: str
    zone: str
    people: int | None
    counted_at: datetime | None
    odd_values: int
    days: list[MovesOfDay] = Field(default_factory=list)


def make_router(database: Database, rules: SnapshotWatcher[Snapshot]) -> APIRouter:
    router = APIRouter()
    shelf = _Shelf(database)
    kind = DocumentKind(
        name=KIND,
        noun=KIND,
        plural="segments",
        read=shelf.read,
        read_at=shelf.read_at,
        validate=shelf.validate_segment,
        validates=("viewer", "marketer", "approver"),
        activates=("marketer", "approver"),
        stops=("marketer", "approver", "operator"),
        confirm=confirm,
        refresh=rules.refresh,
        has_ramp=False,
        shows=shelf.shown,
        view=SegmentView,
        pauses="Goes on following who is in it, and tells nobody of moves, until it is resumed.",
        ends="Ends the segment; 409 while a rule or a segment in force names it.",
    )
    router.include_router(routes.make_router(database, kind))
    _add_members(router, database, rules)
    return router


class _Shelf:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, document: dict[str, Any]) -> Written:
        segment, body = await self._checked(document)
        return Written(segment.id, body)

    async def read_at(self, id: str, document: dict[str, Any]) -> Written:
        routes.require_same_id(id, document.setdefault("id", id), KIND)
        return await self.read(document)

    async def validate_segment(self, document: dict[str, Any]) -> WarnedValidity:
        """Everything that is wrong with a document, and what its author most likely does not mean; keeps nothing."""
        try:
            segment, _ = await self._checked(document)
        except Invalid as error:
            return WarnedValidity.of(error.errors)
        return WarnedValidity.warned(cautions.of_segment(segment))

    async def shown(self, connection: Any, version: DocumentVersion) -> VersionView:
        live = version.id in await membership.written(connection, in_force=True)
        found = await membership.people(connection, version.id) if live else None
        return SegmentView(**VersionView.of(version).model_dump(), **_counted(found))

    async def _checked(self, document: Any) -> tuple[segments.Segment, bytes]:
        checking.require_bounded(document)
        segment, body = segments.read(document)
        async with self._database.connection() as connection:
            written = await membership.written(connection, in_force=False)
        segments.require_references(segment, {**checking.definitions(written), segment.id: segment})
        return segment, body


async def confirm(tx: Tx, switched: DocumentVersion) -> None:
    """What is in force names what is in force, whichever of them was switched; and rules are read anew."""
    # Takes the rules' row, so that no rule is switched between this look and the end.
    await reading.raise_number(tx, _RULE)
    _, live = await reading.load_together(tx, _RULE, [KIND], [])
    known = {each.id: segments.decode(each.body) for each in live if each.kind == KIND}
    if switched.status in ("active", "paused"):
        segments.require_references(known[switched.id], known, "is not in force; activate it first")
    chains: segments.Chains = {}
    for segment in known.values():
        # An edit may close a circle, or make a chain too long, that begins elsewhere.
        if segment.id != switched.id and switched.id in known:
            _require_chain(segment, known, chains)
    if switched.id not in known:
        _require_unnamed(switched.id, [language.decode(each.body) for each in live if each.kind == _RULE], known)


def _require_chain(segment: segments.Segment, known: segments.Definitions, chains: segments.Chains) -> None:
    if found := segments.reference_faults(segment, known, chains=chains):
        raise Conflict(f"The segment {segment.id} names it, and {found[0].detail}.")


def _require_unnamed(id: str, rules: list[language.Rule], known: segments.Definitions) -> None:
    naming = [("rule", rule.id) for rule in rules if id in {each for _, each in segments.named_by(rule)}]
    naming += [(KIND, each.id) for each in known.values() if id in {name for _, name in segments.named_by(each)}]
    if naming:
        told = ", ".join(f"the {kind} {name}" for kind, name in naming[:10])
        more = f" and {len(naming) - 10} more" if len(naming) > 10 else ""
        raise Conflict(
            f"Segment {id!r} is named by {told}{more}; retire those first, or write it out of them.",
            [Fault("/id", f"is named by {kind} {name}") for kind, name in naming[:10]],
        )


def _add_members(router: APIRouter, database: Database, rules: SnapshotWatcher[Snapshot]) -> None:
    guarded = [Depends(requires(*READERS)), Depends(whole_company)]

    @router.get("/segments/{id}/members", dependencies=guarded, tags=["segments"])
    async def list_members(id: RuleIdPath, limit: Limit = 100, cursor: Cursor = None) -> Page[MemberView]:
        """People who are in the segment, each once, in the order of their ids."""
        after = decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            await reading.get(connection, KIND, id)
            found = await membership.page(connection, id, after[0] if after else "", limit + 1)
        views = [MemberView(**each._asdict()) for each in found]
        items, following = page_of(views, limit, lambda item: (item.person_id,))
        return Page(items=items, next=following)

    @router.get("/segments/{id}/stats", dependencies=guarded[:1], tags=["segments"])
    async def segment_stats(id: RuleIdPath, days: Annotated[int, Query(ge=1, le=400)] = 30) -> SegmentStats:
        """How many are in it, and how many came in and fell out on each day."""
        zone = rules.require().content.company_zone
        since = clock.now().astimezone(zone).date() - timedelta(days=days - 1)
        async with database.connection() as connection:
            await reading.get(connection, KIND, id)
            found = await store.outcomes(connection, segment_figures(id), since)
            counted = await membership.people(connection, id)
        return _stats(id, zone.key, counted, [since + timedelta(days=each) for each in range(days)], found)

    @router.get("/customers/{customer_id}/segments", dependencies=guarded, tags=["segments"])
    async def segments_of_customer(customer_id: CustomerId) -> Belongings:
        """The segments that the customer's person is in, and since when."""
        async with database.connection() as connection:
            held = (await restoring.load(Tx(connection), [customer_id])).get(customer_id)
            records = [customer_id, *(held.linked if held is not None else ())]
            found = await membership.of_person(connection, records)
        return Belongings(items=[BelongingView(**each._asdict()) for each in found])


def _counted(found: membership.Counted | None) -> dict[str, Any]:
    return found._asdict() if found is not None else {"people": None, "counted_at": None}


def _stats(
    id: str, zone: str, counted: membership.Counted | None, days: list[date], found: list[tuple[date, str, int]]
) -> SegmentStats:
    moves = {day: MovesOfDay(day=day) for day in days}
    odd = 0
    for day, outcome, count in found:
        if outcome == "odd_value":
            odd += count
        elif day in moves and outcome in MovesOfDay.model_fields:
            setattr(moves[day], outcome, count)
    return SegmentStats(segment_id=id, zone=zone, **_counted(counted), odd_values=odd, days=list(moves.values()))

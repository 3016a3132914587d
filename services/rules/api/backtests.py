"""How is it asked what a rule would have done, and how is the answer read? Questions wait their turn and can be taken
back; answers are kept for ninety days.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Database, Row
from libs.common.documents import reading
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, page_of
from services.rules.api.rules import KIND
from services.rules.api.scope import whole_company
from services.rules.backtest import store
from services.rules.backtest.shapes import EXAMPLES_MAX
from services.rules.backtest.store import Asked
from services.rules.document import checking
from services.rules.document.checking import Checked
from services.rules.membership import store as membership

OPEN_MAX = 100

Asker = Annotated[Principal, Depends(requires("marketer", "approver"))]
Reader = Annotated[Principal, Depends(requires("viewer", "marketer", "approver", "operator"))]
Stopper = Annotated[Principal, Depends(requires("marketer", "approver", "operator"))]
CampaignId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
State = Literal["queued", "running", "finished", "failed", "cancelled"]


class Backtest(Document):
    """Either `rule`, a whole document, or `rule_id` with a `version` (absent: the latest). `to` absent means now.

    `overlap` runs the live rules beside it. `in_force_before` lets firings before `from` count for the limits, as if
    the rule had been in force for long; otherwise it is as if it were switched on at `from`. `ignore_valid` leaves the
    rule's own `valid` aside. With `campaign`, an id or a whole document, the report says in `gates` what its gates
    would have done to each firing, by the consents of today.
    """

    rule: dict[str, Any] | None = None
    rule_id: str | None = Field(None, max_length=64)
    version: int | None = Field(None, ge=1, le=2**31 - 1)
    since: AwareDatetime = Field(alias="from")
    until: AwareDatetime | None = Field(None, alias="to")
    overlap: bool = True
    in_force_before: bool = False
    ignore_valid: bool = False
    examples: int = Field(20, ge=0, le=EXAMPLES_MAX)
    note: str = Field("", max_length=500)
    campaign: CampaignId | dict[str, Any] | None = None


class Progress(BaseModel):
    """Messages are events and marks; `messages_total` is null until it is known. `reached` is until when was read."""

    messages_read: int
    messages_total: int | None
    events_read: int
    reached: datetime | None


class BacktestView(BaseModel):
    """`version` 0 is a document that was given along. `error` says why it failed; then a report is of a part alone."""

    id: UUID
    state: State
    rule_id: str
    version: int
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    overlap: bool
    in_force_before: bool
    ignore_valid: bool
    actor: str
    note: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    progress: Progress
    error: str


class WholeBacktest(BacktestView):
    """`report` is null until there is one; `examples` are the newest triggers with what caused them, `gate_examples`
    some of each end that firings came to at the campaign's gates."""

    rule: dict[str, Any]
    campaign: str | dict[str, Any] | None = None
    report: dict[str, Any] | None = None
    examples: list[dict[str, Any]] = []
    gate_examples: list[dict[str, Any]] = []


def make_router(database: Database, wake: Callable[[], None]) -> APIRouter:
    router = APIRouter(prefix="/rules/backtests", tags=["backtests"])

    @router.post("", status_code=202, dependencies=[Depends(whole_company)])
    async def begin(document: Backtest, who: Asker) -> BacktestView:
        """Runs as soon as a place is free; read its progress and its answer by its id."""
        asked = await _asked(database, document, who)
        async with database.transaction() as tx:
            if not await store.add(tx, asked, clock.now(), OPEN_MAX):
                raise Conflict(f"{OPEN_MAX} backtests wait already; try again when some of them are done.")
        wake()
        return BacktestView(**_shown(await _row(database, asked.id)))

    @router.get("")
    async def list_backtests(
        who: Reader, limit: Limit = 100, cursor: Cursor = None, rule_id: Annotated[str | None, Query()] = None
    ) -> Page[BacktestView]:
        """Newest first."""
        del who
        before = decode_cursor(cursor, tuple[UUID])
        async with database.connection() as connection:
            rows = await store.page(connection, before[0] if before else None, rule_id, limit + 1)
        views = [BacktestView(**_shown(row)) for row in rows]
        items, following = page_of(views, limit, lambda each: (each.id,))
        return Page(items=items, next=following)

    @router.get("/{backtest_id}", dependencies=[Depends(whole_company)])
    async def get_backtest(backtest_id: UUID, who: Reader) -> WholeBacktest:
        del who
        return await _whole(database, backtest_id)

    @router.post("/{backtest_id}/cancel")
    async def cancel(backtest_id: UUID, who: Stopper) -> BacktestView:
        """Its process is ended within two seconds."""
        del who
        row = await _row(database, backtest_id)
        async with database.transaction() as tx:
            cancelled = await store.cancel(tx, backtest_id, clock.now())
        if not cancelled:
            state = (await _row(database, backtest_id))["state"]
            raise Conflict(f"Backtest {row['id']} is {state}; only one that waits or runs can be cancelled.")
        wake()
        return BacktestView(**_shown(await _row(database, backtest_id)))

    return router


async def _row(database: Database, id: UUID) -> Row:
    async with database.connection() as connection:
        row = await store.one(connection, id)
    if row is None:
        raise NotFound(f"There is no backtest {id}.")
    return row


async def _whole(database: Database, id: UUID) -> WholeBacktest:
    row = await _row(database, id)
    async with database.connection() as connection:
        found = await store.examples(connection, id)
    report = None if row["report"] is None else msgspec.json.decode(row["report"])
    shown = [msgspec.json.decode(each) for each in found]
    return WholeBacktest(
        **_shown(row),
        rule=msgspec.json.decode(row["document"]),
        campaign=None if row["campaign"] is None else msgspec.json.decode(row["campaign"]),
        report=report,
        examples=[each for each in shown if "fate" not in each],
        gate_examples=[each["fate"] for each in shown if "fate" in each],
    )


def _shown(row: Row) -> dict[str, Any]:
    names = [name for name in BacktestView.model_fields if name != "progress"]
    return {**{name: row[name] for name in names}, "progress": {name: row[name] for name in Progress.model_fields}}


async def _asked(database: Database, document: Backtest, who: Principal) -> Asked:
    now = clock.now()
    until = min(document.until or now, now)
    if document.since >= until:
        late = "is in the future" if document.since >= now else "is not before to"
        raise Invalid("The period is empty.", [Fault("/from", late)])
    rule_id, version, body = await _rule(database, document)
    return Asked(
        clock.new_id(),
        rule_id,
        version,
        body,
        document.since,
        until,
        document.overlap,
        document.in_force_before,
        document.ignore_valid,
        document.examples,
        who.subject,
        document.note,
        None if document.campaign is None else msgspec.json.encode(document.campaign).decode(),
    )


async def _rule(database: Database, document: Backtest) -> tuple[str, int, bytes]:
    """The id, version and JSON of what is to be tested, checked as it is when it is written."""
    if (document.rule is None) == (document.rule_id is None):
        raise Invalid("Which rule?", [Fault("/rule", "give either rule, a whole document, or rule_id")])
    async with database.connection() as connection:
        written = await membership.written(connection, in_force=False)
    if document.rule is not None:
        if document.version is not None:
            raise Invalid("Which version?", [Fault("/version", "goes with rule_id only")])
        checked = _checked(document.rule, "/rule", written)
        return checked.rule.id, 0, checked.body
    async with database.connection() as connection:
        found = await reading.get(connection, KIND, document.rule_id or "", document.version or "latest")
    return found.id, found.version, _checked(found.content, "/rule_id", written).body


def _checked(document: dict[str, Any], at: str, written: checking.Written) -> Checked:
    try:
        return checking.shaped(document, written)
    except Invalid as error:
        faults = [Fault(f"{at}{each.pointer}" if at == "/rule" else at, each.detail) for each in error.errors]
        raise Invalid(error.detail, faults) from None

"""What do people ask about what was refused? To see it, to know how much there is, and to bring it in after all."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field, model_validator

from libs.common import logs, web
from libs.common.auth import Principal, requires
from libs.common.db import Database, Row
from libs.common.errors import Conflict, NotFound, Refused
from services.ingest.rejects.replaying import ACCEPTED, REPLAYED_AT_ONCE_MAX, Done, Order, Replay
from services.ingest.store import rejects as store

State = Literal["open", "replayed", "dismissed"]
Kept = Literal["whole", "cut", "counted"]
Word = Annotated[str | None, Field(max_length=200)]
# Within what any zone can be reckoned in.
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
Instant = Annotated[AwareDatetime, Field(ge=_FIRST, le=_LAST)]

Reader = Depends(requires("operator", "marketer", "viewer"))
Keeper = Annotated[Principal, Depends(requires("operator", "marketer"))]
# A body holds what somebody sent of a person.
Trusted = Annotated[Principal, Depends(requires("operator", "privacy"))]


class Which(web.Document):
    """Which rejects are meant; what is left out leaves open. A door that ends in / stands for all below it."""

    reason: Word = Field(None, examples=["unknown-type"])
    source: Word = None
    type: Word = None
    door: Word = Field(None, examples=["hooks/shopify/"])
    since: Instant | None = Field(None, alias="from", description="Last refused then or later.")
    until: Instant | None = Field(None, alias="to", description="Last refused before then.")

    def filter(self, state: str | None) -> store.Filter:
        return store.Filter(self.reason, self.source, self.type, self.door, state, self.since, self.until)


class Asked(Which):
    state: State | None = None


class AskedPage(Asked):
    limit: int = Field(web.PAGE_SIZE_DEFAULT, ge=1, le=web.PAGE_SIZE_MAX)
    cursor: web.Cursor = None


class Reject(web.Document):
    """`kept` says whether the body is there: whole, cut at its end, or not at all where a key sent too many."""

    reject_id: UUID
    state: State
    reason: str
    detail: str
    pointer: str
    source: str
    type: str
    id: str
    door: str
    write_key_id: str
    kept: Kept
    body_bytes: int
    attempts: int
    first_at: datetime
    last_at: datetime
    replayed_at: datetime | None = None
    replay_result: dict[str, Any] | None = Field(None, description="How the last replay ended.")
    settled_by: str | None = None


class WholeReject(Reject):
    """`body` is text where `encoding` is utf-8; null where nothing was kept."""

    context: dict[str, str]
    encoding: Literal["utf-8", "base64"]
    body: str | None


class Group(web.Document):
    name: str
    rejects: int
    attempts: int


class Summary(web.Document):
    """The largest groups first, at most fifty of each."""

    by_reason: list[Group] = []
    by_source: list[Group] = []
    by_type: list[Group] = []


class ReplayOrder(web.Document):
    """Either `ids`, or a `filter` over what is open, the oldest first; {} is all of it."""

    ids: list[UUID] | None = Field(None, min_length=1, max_length=REPLAYED_AT_ONCE_MAX)
    filter: Which | None = None
    limit: int = Field(100, ge=1, le=REPLAYED_AT_ONCE_MAX)
    cursor: Annotated[str | None, Field(max_length=1_024, description="`next` of the answer before.")] = None
    history: bool = Field(False, description="Mark as history what has become too old to be live.")
    dry_run: bool = Field(False, description="Only say what would become of them.")

    @model_validator(mode="after")
    def _one_way(self) -> ReplayOrder:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or a filter")
        return self


class Replayed(web.Document):
    """`outcome`: accepted, refused, key-revoked, not-kept, no-way, busy, not-found, or the state that it is in."""

    reject_id: UUID
    outcome: str
    event_ids: list[str] = []
    reason: str = ""
    detail: str = ""
    pointer: str = ""


class ReplayAnswer(web.Document):
    """`remaining` are those that were asked for and not looked at; `next` goes on with them, where a filter chose."""

    items: list[Replayed]
    accepted: int
    remaining: int
    next: str | None = None
    stopped: str = ""
    dry_run: bool = False


def make_router(database: Database, replay: Replay) -> APIRouter:
    router = APIRouter(prefix="/rejects", tags=["rejects"])
    log = logs.get(__name__)

    @router.get("", dependencies=[Reader])
    async def list_rejects(asked: Annotated[AskedPage, Query()]) -> web.Page[Reject]:
        """What was refused, the newest first, without the bodies."""
        after = _after(asked.cursor)
        async with database.connection() as connection:
            rows = await store.page(connection, asked.filter(asked.state), asked.limit + 1, after)
        kept, following = web.page_of(rows, asked.limit, lambda row: (row["last_at"], row["reject_id"]))
        return web.Page(items=[Reject(**_shown(row)) for row in kept], next=following)

    @router.get("/summary", dependencies=[Reader])
    async def summarise(asked: Annotated[Asked, Query()]) -> Summary:
        """How many there are, by reason, source and type: of the open ones, unless a state is asked for."""
        async with database.connection() as connection:
            rows = await store.summary(connection, asked.filter(asked.state or "open"))
        summary = Summary()
        lists = {"reason": summary.by_reason, "source": summary.by_source, "type": summary.by_type}
        for row in rows:
            lists[row["what"]].append(Group(name=row["name"], rejects=row["rejects"], attempts=row["attempts"]))
        return summary

    @router.post("/replay")
    async def replay_rejects(order: ReplayOrder, principal: Keeper) -> ReplayAnswer:
        """Examines the kept bytes again under today's schemas and mappings, and takes in what is accepted now.

        Each reject comes in once, however often this is called. 503 means that Kafka is away and nothing was done.
        """
        ordered = Order(principal.subject, order.history, order.dry_run)
        async with database.connection() as connection:
            rows, more, missing = await _chosen(connection, order)
        done = await replay.run(rows, ordered)
        answer = _answer(order, rows, more, done)
        answer.items += [Replayed(reject_id=each, outcome="not-found") for each in missing]
        log.info("rejects_replayed", by=principal.subject, asked=len(rows), accepted=answer.accepted, dry=order.dry_run)
        return answer

    @router.get("/{reject_id}")
    async def read_reject(reject_id: UUID, principal: Trusted) -> WholeReject:
        """One of them with the body as it came, which may hold what is personal: who looks is written down."""
        async with database.connection() as connection:
            row = await _found(connection, reject_id)
        log.info("reject_body_read", by=principal.subject, reject_id=str(reject_id))
        body, encoding = _readable(row["body"])
        context = msgspec.json.decode(row["context"], type=dict[str, str])
        return WholeReject(**_shown(row), context=context, body=body, encoding=encoding)

    @router.post("/{reject_id}/dismiss")
    async def dismiss(reject_id: UUID, principal: Keeper) -> Reject:
        """Says that this will not be brought in; it is neither listed as open nor replayed any more."""
        async with database.connection() as connection:
            await store.dismiss(connection, str(reject_id), principal.subject)
            row = await _found(connection, reject_id)
        if row["state"] == "replayed":
            raise Conflict("This came in by a replay; it cannot be dismissed any more.")
        return Reject(**_shown(row))

    return router


async def _chosen(connection: Any, order: ReplayOrder) -> tuple[list[Row], int, list[UUID]]:
    """The rows to replay, how many follow them, and which ids are not there."""
    if order.ids is not None:
        wanted = list(dict.fromkeys(order.ids))
        rows = await store.sizes(connection, [str(each) for each in wanted])
        there = {row["reject_id"] for row in rows}
        return rows, 0, [each for each in wanted if each not in there]
    assert order.filter is not None
    after = _after(order.cursor)
    rows, more = await store.in_order(connection, order.filter.filter("open"), order.limit, after)
    return rows, more, []


def _after(cursor: str | None) -> tuple[datetime, UUID] | None:
    after = web.decode_cursor(cursor, tuple[datetime, UUID])
    if after is not None and (after[0].tzinfo is None or not _FIRST.year <= after[0].year <= _LAST.year):
        raise Refused("The cursor is not one of this list; take `next` of a page as it is.")
    return after


def _answer(order: ReplayOrder, rows: list[Row], more: int, done: Done) -> ReplayAnswer:
    items = [
        Replayed(
            reject_id=UUID(each.reject_id),
            outcome=each.outcome,
            event_ids=each.event_ids,
            reason=each.reason,
            detail=each.detail,
            pointer=each.pointer,
        )
        for each in done.found
    ]
    remaining = len(rows) - done.looked_at + more
    following = None
    if remaining and order.filter is not None and done.looked_at:
        last = rows[done.looked_at - 1]
        following = web.encode_cursor(last["first_at"], last["reject_id"])
    return ReplayAnswer(
        items=items,
        accepted=sum(each.outcome == ACCEPTED for each in done.found),
        remaining=remaining,
        next=following,
        stopped=done.stopped,
        dry_run=order.dry_run,
    )


async def _found(connection: Any, reject_id: UUID) -> Row:
    row = await store.one(connection, str(reject_id))
    if row is None:
        raise NotFound("There is no reject with this id; what is refused shows here within a second or two.")
    return row


def _shown(row: Row) -> dict[str, Any]:
    shown = {name: value for name, value in dict(row).items() if name not in ("event_id", "context", "body")}
    result = shown.pop("replay_result")
    return shown | {"id": row["event_id"], "replay_result": None if result is None else msgspec.json.decode(result)}


def _readable(body: bytes | None) -> tuple[str | None, Literal["utf-8", "base64"]]:
    if body is None:
        return None, "utf-8"
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"

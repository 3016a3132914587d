"""Which events without a person are on their way to customers, how far is each, and who stops one?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.documents.routes import READERS
from libs.common.errors import Conflict, NotFound
from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.rules.api.scope import ID_PATTERN
from services.rules.fanout import store
from services.rules.fanout.keeping import KEPT
from services.rules.fanout.store import RUNNING, Total

STOPPERS = ("marketer", "approver", "operator")


class _Place(msgspec.Struct, array_like=True):
    """The last one of a page."""

    received_ms: Annotated[int, msgspec.Meta(ge=0, le=1 << 47)]
    fanout_id: UUID


class FanoutView(BaseModel):
    """An event and a rule, in all units together.

    `selected` are the customer records that the rule's conditions on the profile held for when it began, `seen` those
    that have had their turn, `fired` the triggers, and `left` who has had none yet, or never will where it has ended.
    `units` says in how many units it stands where: running, done, cancelled, expired, or ended because the rule was
    paused, retired or edited. Units that have not met the event yet are not among them.
    """

    id: str
    rule_id: str
    rule_version: int
    event_id: str
    event_type: str
    status: Literal["running", "done", "ended"]
    received_at: datetime
    began_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    selected: int
    seen: int
    fired: int
    left: int
    units: dict[str, int] = Field(examples=[{"done": 5, "running": 3}])
    cancelled_by: str | None
    cancelled_at: datetime | None

    @classmethod
    def of(cls, found: Total) -> FanoutView:
        status: Literal["running", "done", "ended"] = "done" if set(found.states) == {"done"} else "ended"
        if RUNNING in found.states:
            status = "running"
        return cls(
            id=found.fanout_id,
            rule_id=found.rule_id,
            rule_version=found.version,
            event_id=found.event_id,
            event_type=found.event_type,
            status=status,
            received_at=found.received_at,
            began_at=found.began_at,
            ends_at=found.ends_at,
            ended_at=found.ended_at,
            selected=found.selected,
            seen=found.seen,
            fired=found.fired,
            left=0 if status == "done" else max(0, found.selected - found.seen),
            units=dict(found.states),
            cancelled_by=found.cancelled_by,
            cancelled_at=found.cancelled_at,
        )


def make_router(database: Database) -> APIRouter:
    router = APIRouter(prefix="/rules/fanouts", tags=["fanouts"])

    @router.get("", dependencies=[Depends(requires(*READERS))])
    async def list_fanouts(
        limit: Limit = 100,
        cursor: Cursor = None,
        rule_id: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        running: Annotated[bool, Query(description="Only those that are running.")] = False,
    ) -> Page[FanoutView]:
        """The newest event first; those that ended are kept for 60 days."""
        place = decode_cursor(cursor, _Place)
        before = None if place is None else (clock.from_ms(place.received_ms), str(place.fanout_id))
        async with database.connection() as connection:
            found = await store.totals(connection, rule_id, running, before, limit + 1)
        items, following = page_of([FanoutView.of(each) for each in found], limit, _place_of)
        return Page(items=items, next=following)

    @router.get("/{id}", dependencies=[Depends(requires(*READERS))])
    async def get_fanout(id: UUID) -> FanoutView:
        async with database.connection() as connection:
            return FanoutView.of(await _one(connection, id))

    @router.post("/{id}/cancel")
    async def cancel_fanout(id: UUID, principal: Annotated[Principal, Depends(requires(*STOPPERS))]) -> FanoutView:
        """Nobody else has a turn from the next page on, which is within seconds; what has fired stays."""
        async with database.connection() as connection:
            found = await _one(connection, id)
            if RUNNING not in found.states and found.cancelled_at is None:
                raise Conflict("It has ended already; there is nothing to cancel.")
            await store.cancel(connection, str(id), principal.subject, clock.now())
            return FanoutView.of(await _one(connection, id))

    return router


async def _one(connection: object, id: UUID) -> Total:
    found = await store.total(connection, str(id))
    if found is None:
        raise NotFound(f"There is no fan-out {id}; those that ended are kept for {KEPT.days} days.")
    return found


def _place_of(view: FanoutView) -> tuple[int, str]:
    return clock.to_ms(view.received_at.astimezone(UTC)), view.id

"""What has fired, for whom, and on what grounds?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel

from libs.common import clock
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import reading
from libs.common.documents.routes import READERS
from libs.common.errors import NotFound
from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.rules import store
from services.rules.api.scope import ID_PATTERN, whole_company
from services.rules.document import language, segments
from services.rules.explaining import recording, retracing
from services.rules.explaining.recording import LoggedTrigger
from services.rules.explaining.retracing import CausingEvent, Retraced
from services.rules.membership import store as membership

_KIND = "rule"
_OLDEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_Id = Annotated[str | None, Query(pattern=ID_PATTERN)]


class _Place(msgspec.Struct, array_like=True):
    """The last trigger of a page."""

    occurred_ms: Annotated[int, msgspec.Meta(ge=0, le=1 << 47)]
    trigger_id: UUID


class TriggerView(BaseModel):
    """`occurred_at` is the moment itself; `events` are those behind it, with their own times."""

    trigger_id: str
    trigger: str
    rule_id: str
    rule_version: int
    customer_id: str
    person_id: str
    occurred_at: datetime
    reason: str
    priority: int
    include: dict[str, Any]
    sets: dict[str, Any]
    events: list[CausingEvent]

    @classmethod
    def of(cls, row: LoggedTrigger) -> TriggerView:
        return cls(**_about(row))


class TriggerGrounds(TriggerView):
    """With the conditions of the version that fired, and what each of them met."""

    because: Retraced


def make_router(database: Database) -> APIRouter:
    router = APIRouter(
        prefix="/triggers", tags=["triggers"], dependencies=[Depends(requires(*READERS)), Depends(whole_company)]
    )

    @router.get("")
    async def list_triggers(
        limit: Limit = 100,
        cursor: Cursor = None,
        rule_id: _Id = None,
        customer_id: _Id = None,
        since: Annotated[AwareDatetime | None, Query(alias="from", ge=_OLDEST, le=_LATEST)] = None,
        until: Annotated[AwareDatetime | None, Query(alias="to", ge=_OLDEST, le=_LATEST)] = None,
    ) -> Page[TriggerView]:
        """Newest first, by when they occurred; `to` does not belong to it. Kept for 400 days."""
        place = decode_cursor(cursor, _Place)
        before = None if place is None else (clock.from_ms(place.occurred_ms), str(place.trigger_id))
        asked = store.Asked(rule_id, customer_id, since, until, before)
        async with database.connection() as connection:
            rows = await store.triggers(connection, asked, limit + 1)
        items, following = page_of([TriggerView.of(each) for each in rows], limit, _place_of)
        return Page(items=items, next=following)

    @router.get("/{trigger_id}")
    async def get_trigger(trigger_id: UUID) -> TriggerGrounds:
        """The exact events and values behind a trigger."""
        async with database.connection() as connection:
            row = await store.trigger(connection, str(trigger_id))
            if row is None:
                raise NotFound(f"There is no trigger {trigger_id}; triggers are kept for 400 days.")
            document = await reading.get(connection, _KIND, row.rule_id, row.version)
            grounds = recording.read(row).grounds
            bodies = await membership.at_versions(connection, grounds.segments) if grounds.segments else {}
        named = {id: segments.decode(body).who for id, body in bodies.items()}
        because = retracing.retrace(language.decode(document.body), grounds, row.occurred_at, named)
        return TriggerGrounds(**_about(row), because=because)

    return router


def _about(row: LoggedTrigger) -> dict[str, Any]:
    record = recording.read(row)
    return {
        "trigger_id": row.trigger_id,
        "trigger": record.trigger,
        "rule_id": row.rule_id,
        "rule_version": row.version,
        "customer_id": row.customer_id,
        "person_id": row.person_id,
        "occurred_at": row.occurred_at,
        "reason": record.reason,
        "priority": record.priority,
        "include": record.include,
        "sets": record.sets,
        "events": retracing.events_of(record.grounds),
    }


def _place_of(view: TriggerView) -> tuple[int, str]:
    return clock.to_ms(view.occurred_at), view.trigger_id

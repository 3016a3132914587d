"""What do owners ask over HTTP about what breaks the tracking plan?"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from libs.common import web
from libs.common.auth import requires
from libs.common.db import Database
from services.ingest.store import violations as store

Text = Annotated[str | None, Query(max_length=200)]


class Violation(web.Document):
    """`pointer` is the place in the event, with * for an index; `event_id` is one of the last such events."""

    source: str
    type: str
    pointer: str
    reason: str
    outcome: Literal["observed", "refused"]
    count: int
    first_seen: datetime
    last_seen: datetime
    event_id: str


def make_router(database: Database) -> APIRouter:
    router = APIRouter()

    @router.get("/schemas/violations", dependencies=[Depends(requires("viewer", "marketer", "approver", "operator"))])
    async def list_violations(
        source: Text = None,
        type: Text = None,
        first: Annotated[date | None, Query(alias="from", description="The first day, in UTC.")] = None,
        last: Annotated[date | None, Query(alias="to", description="The last day, in UTC.")] = None,
        limit: web.Limit = web.PAGE_SIZE_DEFAULT,
        cursor: web.Cursor = None,
    ) -> web.Page[Violation]:
        """By source, type and place, the most frequent first; kept for 90 days. Written every two seconds."""
        after = web.decode_cursor(cursor, tuple[int, str, str, str, str, str])
        async with database.connection() as connection:
            rows = await store.report(connection, source, type, first, last, limit + 1, after)
        names = ("count", "source", "type", "pointer", "reason", "outcome")
        kept, following = web.page_of(rows, limit, lambda row: tuple(row[name] for name in names))
        return web.Page(items=[Violation(**dict(row)) for row in kept], next=following)

    return router

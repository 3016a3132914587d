"""What do owners ask over HTTP about how strictly a source is held to the tracking plan?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field

from libs.common import clock, web
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.errors import Conflict, NotFound
from services.ingest.registry import Registry
from services.ingest.schemas.modes import Mode
from services.ingest.store import schemas as plan
from services.ingest.store import sources as store

MODES_MAX = 1_000

Source = Annotated[str, Path(min_length=1, max_length=200, description="A source, or a pattern with * in it.")]


class NewMode(web.Document):
    mode: Mode
    note: str = Field(default="", max_length=2_000)


class SourceMode(web.Document):
    source: str
    mode: Mode
    note: str
    set_by: str
    set_at: datetime


def make_router(database: Database, registry: Registry) -> APIRouter:
    router = APIRouter()

    @router.get("/sources", dependencies=[Depends(requires("viewer", "marketer", "approver", "operator"))])
    async def list_modes(limit: web.Limit = web.PAGE_SIZE_DEFAULT, cursor: web.Cursor = None) -> web.Page[SourceMode]:
        """Sources and patterns that somebody set; all others are in `enforce`."""
        after = web.decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            rows = await store.list_modes(connection, limit + 1, "" if after is None else after[0])
        kept, following = web.page_of(rows, limit, lambda row: (row["pattern"],))
        items = [
            SourceMode(
                source=row["pattern"], mode=row["mode"], note=row["note"], set_by=row["set_by"], set_at=row["set_at"]
            )
            for row in kept
        ]
        return web.Page(items=items, next=following)

    @router.put("/sources/{source:path}")
    async def set_mode(
        source: Source, document: NewMode, principal: Annotated[Principal, Depends(requires("marketer", "operator"))]
    ) -> SourceMode:
        """In `observe`, unknown types and data that does not fit are accepted and noted; all else holds as ever.

        A source that is named exactly decides before a pattern, and a longer pattern before a shorter one.
        """
        now = clock.now()
        async with database.transaction() as tx:
            await plan.next_revision(tx)
            await store.put_mode(tx, source, document.mode, document.note, principal.subject, now)
            if await store.count_modes(tx) > MODES_MAX:
                raise Conflict(f"There are {MODES_MAX} modes; say it for many sources at once by a pattern.")
        await registry.refresh()
        return SourceMode(source=source, mode=document.mode, note=document.note, set_by=principal.subject, set_at=now)

    @router.delete("/sources/{source:path}", status_code=204, dependencies=[Depends(requires("marketer", "operator"))])
    async def delete_mode(source: Source) -> Response:
        async with database.transaction() as tx:
            await plan.next_revision(tx)
            if not await store.delete_mode(tx, source):
                raise NotFound("No mode was set for exactly this source or pattern.")
        await registry.refresh()
        return Response(status_code=204)

    return router

"""Which events came with the id of another event and another body?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends

from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.profile import reading
from services.profile.api.desk import Desk, Operator
from services.profile.privacy.scope import whole_company
from services.profile.store import arrivals as store


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/conflicts", dependencies=[Depends(whole_company)])
    async def list_conflicts(who: Operator, limit: Limit = 100, cursor: Cursor = None) -> Page[dict[str, Any]]:
        """Events that came with the id of another event and another body: without effect, newest first.

        They are kept as long as ids are; of what tells of somebody from before their erasure, `event` is null.
        """
        del who
        before = decode_cursor(cursor, tuple[datetime, str, str])
        async with desk.database.connection() as connection:
            rows = await store.conflicts_page(connection, before, limit + 1)
        items, following = page_of(
            [reading.conflict(row) for row in rows], limit, lambda e: (e["at"], e["source"], e["id"])
        )
        return Page(items=items, next=following)

    return router

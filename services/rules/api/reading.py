"""Which rules are there, which of them count, and how did they come to be as they are?"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from libs.common import documents
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import Status
from libs.common.documents.views import ChangeView, Difference, ListedView, VersionView
from libs.common.web import Cursor, Limit, Page, decode_cursor, etag, page_of
from services.rules.api.writing import KIND

_READS = [Depends(requires("viewer", "marketer", "approver", "operator"))]
_VERSION_MAX = 2**31 - 1
_NUMBER_MAX = 2**63 - 1
Version = Annotated[int, Query(ge=1, le=_VERSION_MAX)]


def make_router(database: Database) -> APIRouter:
    router = APIRouter(prefix="/rules", dependencies=_READS)
    _add_lists(router, database)
    _add_one(router, database)
    _add_history(router, database)
    return router


def _add_lists(router: APIRouter, database: Database) -> None:
    @router.get("")
    async def list_rules(limit: Limit = 100, cursor: Cursor = None, status: Status | None = None) -> Page[ListedView]:
        """In the order of ids; `status` is that of the active or paused version, or else of the latest."""
        after = decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            found = await documents.page(
                connection, KIND, after=after[0] if after else "", limit=limit + 1, status=status
            )
        items, following = page_of([ListedView.listed(each) for each in found], limit, lambda item: (item.id,))
        return Page(items=items, next=following)


def _add_one(router: APIRouter, database: Database) -> None:
    @router.get("/{id}")
    async def get_rule(
        id: str, response: Response, which: Literal["latest", "active", "live"] = "latest"
    ) -> VersionView:
        """The ETag is the latest version's, which an edit must name."""
        async with database.connection() as connection:
            latest = await documents.get(connection, KIND, id)
            found = latest if which == "latest" else await documents.get(connection, KIND, id, which)
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    @router.get("/{id}/versions")
    async def list_versions(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[VersionView]:
        """Newest first."""
        before = decode_cursor(cursor, tuple[int])
        below = min(before[0], _VERSION_MAX) if before else _VERSION_MAX
        async with database.connection() as connection:
            await documents.get(connection, KIND, id)
            found = await documents.versions(connection, KIND, id, before=below, limit=limit + 1)
        views = [VersionView.of(each) for each in found]
        items, following = page_of(views, limit, lambda item: (item.version,))
        return Page(items=items, next=following)

    @router.get("/{id}/versions/{version}")
    async def get_version(id: str, version: int) -> VersionView:
        async with database.connection() as connection:
            return VersionView.of(await documents.get(connection, KIND, id, max(version, 0)))


def _add_history(router: APIRouter, database: Database) -> None:
    @router.get("/{id}/diff")
    async def compare_versions(
        id: str,
        was: Annotated[int, Query(alias="from", ge=1, le=_VERSION_MAX)],
        now: Annotated[int, Query(alias="to", ge=1, le=_VERSION_MAX)],
    ) -> Difference:
        async with database.connection() as connection:
            older = await documents.get(connection, KIND, id, was)
            newer = await documents.get(connection, KIND, id, now)
        return Difference(items=documents.diff(older.content, newer.content))

    @router.get("/{id}/changes")
    async def list_changes(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[ChangeView]:
        """Who put which version in force or out of it, and why; newest first."""
        before = decode_cursor(cursor, tuple[int])
        below = min(before[0], _NUMBER_MAX) if before else _NUMBER_MAX
        async with database.connection() as connection:
            await documents.get(connection, KIND, id)
            found = await documents.changes(connection, KIND, id=id, before=below, limit=limit + 1)
        views = [ChangeView.model_validate(each, from_attributes=True) for each in found]
        items, following = page_of(views, limit, lambda item: (item.number,))
        return Page(items=items, next=following)

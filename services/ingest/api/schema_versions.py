"""What do owners ask over HTTP about the versions of a schema?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from libs.common import web
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.errors import NotFound
from services.ingest.api.schema_documents import FullVersion, Version
from services.ingest.api.schema_views import full_type, read_schema
from services.ingest.schemas.standard import standard
from services.ingest.store import schemas as store

ANYBODY = [Depends(requires())]


def make_router(database: Database) -> APIRouter:
    router = APIRouter()

    @router.get("/schemas/{type}/versions", dependencies=ANYBODY)
    async def list_versions(
        type: str, limit: web.Limit = web.PAGE_SIZE_DEFAULT, cursor: web.Cursor = None
    ) -> web.Page[Version]:
        """The versions that the owners registered, the newest first."""
        after = web.decode_cursor(cursor, tuple[int])
        async with database.connection() as connection:
            await full_type(connection, type)
            rows = await store.versions(
                connection, type, limit + 1, None if after is None else min(after[0], 2**31 - 1)
            )
        kept, following = web.page_of(rows, limit, lambda row: (row["version"],))
        return web.Page(items=[Version(**dict(row)) for row in kept], next=following)

    @router.get("/schemas/{type}/versions/{version}", dependencies=ANYBODY)
    async def get_version(type: str, version: Annotated[int, Field(ge=0, lt=2**31)], response: Response) -> FullVersion:
        async with database.connection() as connection:
            row = await store.one_version(connection, type, version)
        if row is not None:
            response.headers["ETag"] = web.etag(version)
            return FullVersion(**{**dict(row), "schema": read_schema(row["schema"])})
        if version == 0 and type in standard():
            return FullVersion(
                version=0, compatibility="backward", note="ships", created_by="", created_at=None,
                schema_=dict(standard()[type].document),
            )  # fmt: skip
        raise NotFound(f"There is no version {version} of this type.")

    return router

"""What do owners ask about event types over HTTP?"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from libs.common import clock, web
from libs.common.auth import Principal, requires
from libs.common.db import Database, Row
from libs.common.errors import Conflict, Stale
from services.ingest.api.schema_documents import EventType, FullType, NewType
from services.ingest.api.schema_views import full_type, marked, types_after
from services.ingest.registry import Registry
from services.ingest.schemas import registration
from services.ingest.schemas.standard import standard
from services.ingest.store import schemas as store

ANYBODY = [Depends(requires())]


def make_router(database: Database, registry: Registry) -> APIRouter:
    router = APIRouter()

    @router.post("/schemas", status_code=201)
    async def register_type(
        document: NewType,
        response: Response,
        principal: Annotated[Principal, Depends(requires("marketer"))],
        if_match: web.IfMatch = None,
    ) -> FullType:
        """Makes an event type known, or a schema its newest version.

        What is registered already is answered by 200. A version that refuses what is accepted now is answered by 409
        with a pointer to each narrowing, unless `compatibility` is none. For a standard type both must hold, what
        ships and what is registered.
        """
        registration.check_name(document.type)
        created, registered = await _Registering(database, document, principal.subject, if_match).run()
        await registry.refresh()
        response.status_code = 201 if created else 200
        return marked(response, registered)

    @router.get("/schemas", dependencies=ANYBODY)
    async def list_types(limit: web.Limit = web.PAGE_SIZE_DEFAULT, cursor: web.Cursor = None) -> web.Page[EventType]:
        """All types by name: those that ship first, then those that the owners registered."""
        after = web.decode_cursor(cursor, tuple[bool, str]) or (False, "")
        async with database.connection() as connection:
            found = await types_after(connection, *after, limit + 1)
        kept, following = web.page_of(found, limit, lambda each: (not each.standard, each.type))
        return web.Page(items=kept, next=following)

    @router.get("/schemas/{type}", dependencies=ANYBODY)
    async def get_type(type: str, response: Response) -> FullType:
        async with database.connection() as connection:
            return marked(response, await full_type(connection, type))

    return router


class _Registering:
    """One request to register; what takes time is done before the transaction begins."""

    def __init__(self, database: Database, document: NewType, actor: str, if_match: str | None) -> None:
        self._database = database
        self._document = document
        self._actor = actor
        self._if_match = if_match

    async def run(self) -> tuple[bool, FullType]:
        """Whether there is a version that was not there before, and the type as this request left it."""
        document = self._document
        async with self._database.connection() as connection:
            row = await store.one_type(connection, document.type)
            if row is None and await store.count_types(connection) >= registration.TYPES_MAX:
                raise Conflict(f"There are {registration.TYPES_MAX} registered types; that is as many as are possible.")
        self._require_match(row)
        own = None if row is None else row["schema"]
        if document.schema_ is None and row is None and document.type in standard():
            raise Conflict(f"{document.type} is a standard type; it is known already.")
        adds = row is None
        if document.schema_ is not None and not registration.same(document.schema_, own):
            adds = True
            await self._weigh(row, own)
        description = row["description"] if row is not None and document.description is None else document.description
        if not adds and row is not None and description == row["description"]:
            async with self._database.connection() as connection:
                return False, await full_type(connection, document.type)
        return adds, await self._write(row, description or "", adds)

    async def _weigh(self, row: Row | None, own: str | None) -> None:
        document = self._document
        assert document.schema_ is not None
        # The first word on a type is compared with nothing; of a standard type, what ships is the first word.
        if row is None and document.type not in standard():
            await asyncio.to_thread(registration.usable, document.schema_)
            return
        _, found = await asyncio.to_thread(registration.compared, document.schema_, document.type, own)
        version = 0 if row is None else row["version"]
        registration.require_compatible(found, version, document.compatibility, document.note)

    async def _write(self, row: Row | None, description: str, adds: bool) -> FullType:
        document, now = self._document, clock.now()
        seen = 0 if row is None else row["version"]
        version = seen + 1 if adds else seen
        async with self._database.transaction() as tx:
            number = await store.next_revision(tx)
            again = await store.one_type(tx.connection, document.type)
            if (0 if again is None else again["version"]) != seen:
                raise Conflict("Somebody registered another version at the same moment. Read it, and try again.")
            await store.put_type(tx, document.type, description, version, number, self._actor, now)
            if adds:
                schema = None if document.schema_ is None else registration.written(document.schema_)
                await store.add_version(
                    tx, document.type, version, schema, document.compatibility, document.note, self._actor, now
                )
            # Read before anybody else's version: two who register at once are each told of their own.
            return await full_type(tx.connection, document.type)

    def _require_match(self, row: Row | None) -> None:
        if self._if_match is None:
            return
        if row is None and self._document.type not in standard():
            raise Stale("There is no such type yet; leave If-Match out to register it.")
        web.require_match(self._if_match, 0 if row is None else row["version"])

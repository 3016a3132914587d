"""What do administrators ask about write keys over HTTP?"""

from __future__ import annotations

import secrets as chance
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Response

from libs.common import clock, web
from libs.common.auth import requires
from libs.common.db import Database, Row
from libs.common.errors import Conflict, NotFound
from services.ingest.api.key_documents import Key, MadeKey, NewKey, Rights, changed, checked, shown
from services.ingest.registry import Registry, new_secret
from services.ingest.store import keys as store

ADMIN = Depends(requires("admin"))


def make_router(database: Database, registry: Registry) -> APIRouter:
    router = APIRouter(dependencies=[ADMIN])

    @router.post("/keys", status_code=201)
    async def create_key(document: NewKey, response: Response) -> MadeKey:
        """The secret is shown once. A repeat makes another key: an answer that is kept would keep the secret."""
        now = clock.now()
        key = checked(str(clock.new_id()), document.channel, document.kind, document, now)
        secret = made_secret(document.channel)
        async with database.connection() as connection:
            await store.add_key(connection, key, new_secret(secret), now)
            made = await _read(connection, key.key_id)
        await registry.refresh()
        _mark(response, made)
        response.headers["Cache-Control"] = "no-store"
        return MadeKey(key=secret, **dict(made))

    @router.get("/keys")
    async def list_keys(limit: web.Limit = web.PAGE_SIZE_DEFAULT, cursor: web.Cursor = None) -> web.Page[Key]:
        after = web.decode_cursor(cursor, tuple[datetime, str])
        async with database.connection() as connection:
            rows = await store.list_keys(connection, limit + 1, after)
            kept, following = web.page_of(rows, limit, lambda row: (row["created_at"], row["key_id"]))
            return web.Page(items=await _shown(connection, kept), next=following)

    @router.get("/keys/{key_id}")
    async def get_key(key_id: str, response: Response) -> Key:
        async with database.connection() as connection:
            return _mark(response, await _read(connection, key_id))

    @router.patch("/keys/{key_id}")
    async def change_key(key_id: str, document: Rights, response: Response, if_match: web.IfMatch = None) -> Key:
        """Replaces the fields that are sent. Holds here at once, and within a second wherever else ingest runs."""
        async with database.transaction() as tx:
            row = await to_change(tx, key_id)
            web.require_match(if_match, row["version"])
            rights = changed(row, document)
            key = checked(key_id, row["channel"], row["kind"], rights, clock.now())
            await store.set_rights(tx, key_id, key)
            now_held = await _read(tx, key_id)
        await registry.refresh()
        return _mark(response, now_held)

    @router.delete("/keys/{key_id}", status_code=204)
    async def revoke_key(key_id: str) -> Response:
        async with database.connection() as connection:
            found = await store.revoke_key(connection, key_id, clock.now())
        if not found:
            raise unknown_key()
        await registry.refresh()
        return Response(status_code=204)

    return router


def made_secret(channel: str) -> str:
    return f"dk_{channel}_{chance.token_hex(24)}"


def unknown_key() -> NotFound:
    return NotFound("There is no key with this id.")


async def to_change(tx: Any, key_id: str) -> Row:
    """The row of a key that somebody is about to change, held until then; a revoked key stays as it is."""
    row = await store.find_key(tx, key_id, to_change=True)
    if row is None:
        raise unknown_key()
    if row["revoked_at"] is not None:
        raise Conflict("The key was revoked; make a new one.")
    return row


async def _read(connection: Any, key_id: str) -> Key:
    row = await store.find_key(connection, key_id)
    if row is None:
        raise unknown_key()
    return (await _shown(connection, [row]))[0]


async def _shown(connection: Any, rows: Sequence[Row]) -> list[Key]:
    key_ids = [row["key_id"] for row in rows]
    secrets: dict[str, list[Row]] = {}
    for secret in await store.secrets_of(connection, key_ids):
        secrets.setdefault(secret["key_id"], []).append(secret)
    since = await store.identity_secrets_of(connection, key_ids, clock.now())
    return [shown(row, secrets.get(row["key_id"], ()), since.get(row["key_id"])) for row in rows]


def _mark(response: Response, key: Key) -> Key:
    response.headers["ETag"] = web.etag(key.version)
    return key

"""What do administrators ask about write keys over HTTP?"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import AfterValidator, Field

from libs.common import clock, web
from libs.common.auth import requires
from libs.common.db import Database, Row
from libs.common.errors import NotFound
from services.ingest.keys import PERMISSIONS, StoredKey, hash_of
from services.ingest.registry import Registry
from services.ingest.store import keys as store

_WILDCARDS_MAX = 4


def _known_permission(name: str) -> str:
    if name not in PERMISSIONS:
        raise ValueError(f"the permissions are {', '.join(PERMISSIONS)}")
    return name


def _few_wildcards(pattern: str) -> str:
    if pattern.count("*") > _WILDCARDS_MAX:
        raise ValueError(f"at most {_WILDCARDS_MAX} wildcards")
    return pattern


Source = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_few_wildcards)]
Permission = Annotated[str, AfterValidator(_known_permission)]


class NewKey(web.Document):
    """`sources` are names that the key may send as, with * for any characters; none allow all."""

    channel: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["pos"])
    sources: list[Source] = Field(default=[], max_length=50, examples=[["store-*/pos-*"]])
    permissions: list[Permission] = Field(default=[], max_length=len(PERMISSIONS))


class Key(web.Document):
    key_id: str
    channel: str
    sources: list[str]
    permissions: list[str]
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class MadeKey(Key):
    """`key` is the secret itself; it is shown this once and stored only as a hash."""

    key: str


def make_router(database: Database, registry: Registry) -> APIRouter:
    router = APIRouter()

    @router.post("/keys", status_code=201, dependencies=[Depends(requires("admin"))])
    async def create_key(document: NewKey) -> MadeKey:
        secret = f"dk_{document.channel}_{secrets.token_hex(24)}"
        now = clock.now()
        stored = StoredKey(
            str(clock.new_id()),
            hash_of(secret.encode()),
            document.channel,
            tuple(document.sources),
            tuple(sorted(set(document.permissions))),
        )
        async with database.connection() as connection:
            await store.add_keys(connection, [stored], now)
        await registry.refresh()
        return MadeKey(
            key=secret,
            key_id=stored.key_id,
            channel=stored.channel,
            sources=list(stored.sources),
            permissions=list(stored.permissions),
            created_at=now,
        )

    @router.get("/keys", dependencies=[Depends(requires("admin"))])
    async def list_keys(limit: web.Limit = web.PAGE_SIZE_DEFAULT, cursor: web.Cursor = None) -> web.Page[Key]:
        after = web.decode_cursor(cursor, tuple[datetime, str])
        async with database.connection() as connection:
            rows = await store.list_keys(connection, limit + 1, after)
        kept, following = web.page_of(rows, limit, lambda row: (row["created_at"], row["key_id"]))
        return web.Page(items=[_key(row) for row in kept], next=following)

    @router.delete("/keys/{key_id}", status_code=204, dependencies=[Depends(requires("admin"))])
    async def revoke_key(key_id: str) -> Response:
        async with database.connection() as connection:
            found = await store.revoke_key(connection, key_id, clock.now())
        if not found:
            raise NotFound("There is no key with this id.")
        await registry.refresh()
        return Response(status_code=204)

    return router


def _key(row: Row) -> Key:
    return Key(**dict(row))

"""How are the secrets of a write key replaced, and how does a site get the one that it signs tokens with?"""

from __future__ import annotations

import secrets as chance
from datetime import timedelta

from fastapi import APIRouter, Depends, Response

from libs.common import clock
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from services.ingest.api.key_documents import MadeIdentitySecret, MadeSecret, SecretOrder
from services.ingest.api.keys import made_secret, to_change
from services.ingest.keys import proof
from services.ingest.keys.book import BROWSER
from services.ingest.registry import Registry, identity_context, new_secret
from services.ingest.sealing import Sealer
from services.ingest.store import keys as store

LIVE_SECRETS_MAX = 2
ADMIN = Depends(requires("admin"))


def make_router(database: Database, registry: Registry, sealer: Sealer) -> APIRouter:
    router = APIRouter(prefix="/keys/{key_id}", dependencies=[ADMIN])
    _add_secrets(router, database, registry)
    _add_identity(router, database, registry, sealer)
    return router


def _add_secrets(router: APIRouter, database: Database, registry: Registry) -> None:
    @router.post("/secrets", status_code=201)
    async def add_secret(key_id: str, response: Response, document: SecretOrder | None = None) -> MadeSecret:
        """A second secret beside the first, so that its holders can change over without a gap."""
        order, now = document or SecretOrder(), clock.now()
        if order.expires_at is not None and order.expires_at <= now:
            raise Invalid("The secret would never hold.", [Fault("/expires_at", "this lies in the past")])
        async with database.transaction() as tx:
            row = await to_change(tx, key_id)
            live = await store.live_secrets(tx, key_id, now)
            if len(live) >= LIVE_SECRETS_MAX:
                raise Conflict("The key has two live secrets; revoke one of them before you make another.")
            secret = made_secret(row["channel"])
            stored = new_secret(secret, order.expires_at)
            await store.add_secret(tx, key_id, stored, now)
            if order.old_expires_in_hours is not None:
                await store.end_secrets(tx, live, now + timedelta(hours=order.old_expires_in_hours))
        await registry.refresh()
        response.headers["Cache-Control"] = "no-store"
        return MadeSecret(
            key=secret, secret_id=stored.secret_id, hint=stored.hint, created_at=now, expires_at=stored.expires_at
        )

    @router.delete("/secrets/{secret_id}", status_code=204)
    async def revoke_secret(key_id: str, secret_id: str) -> Response:
        """Also the last one: the key stays, and nobody can use it until it has another."""
        async with database.connection() as connection:
            found = await store.revoke_secret(connection, key_id, secret_id, clock.now())
        if not found:
            raise NotFound("There is no such secret of this key.")
        await registry.refresh()
        return Response(status_code=204)


def _add_identity(router: APIRouter, database: Database, registry: Registry, sealer: Sealer) -> None:
    @router.post("/identity-secret", status_code=201)
    async def make_identity_secret(key_id: str, response: Response) -> MadeIdentitySecret:
        """Tokens signed with the one before it hold as long as any token may: a day."""
        now = clock.now()
        secret = chance.token_urlsafe(48)
        old_until = now + proof.LIFETIME_MAX
        async with database.transaction() as tx:
            row = await to_change(tx, key_id)
            if row["kind"] != BROWSER:
                raise Conflict("This is a server's key, whose word on identities needs no proof.")
            sealed = sealer.seal(secret.encode(), identity_context(key_id))
            await store.put_identity_secret(tx, key_id, sealed, now, old_until)
        await registry.refresh()
        response.headers["Cache-Control"] = "no-store"
        return MadeIdentitySecret(
            identity_secret=secret, algorithm=proof.ALGORITHM, audience=key_id, created_at=now, old_until=old_until
        )

    @router.delete("/identity-secret", status_code=204)
    async def forget_identity_secret(key_id: str) -> Response:
        """For a secret that has leaked: no token that was signed with it holds any more, nor with the one before."""
        async with database.transaction() as tx:
            await to_change(tx, key_id)
            await store.delete_identity_secrets(tx, key_id)
        await registry.refresh()
        return Response(status_code=204)

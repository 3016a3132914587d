"""What do administrators ask about the endpoints of webhooks over HTTP?"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import APIRouter, Depends, Response
from msgspec import structs
from pydantic import Field

from libs.common import clock, web
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from services.ingest.hooks import signatures
from services.ingest.hooks.book import HookBook
from services.ingest.hooks.endpoints import (
    PATH,
    SECRETS_MAX,
    SOURCE_PATTERN,
    StoredHook,
    StoredSecret,
    secret_context,
)
from services.ingest.mapping.document import ID_PATTERN
from services.ingest.mapping.shelf import Mappings
from services.ingest.sealing import Sealer
from services.ingest.store import hooks as store

_ADMIN = requires("admin")

Provider = Literal["shopify", "square", "toast", "standard"]
Channel = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["web"])]
Source = Annotated[str, Field(max_length=200, pattern=SOURCE_PATTERN, examples=["shop-kr"])]
MappingName = Annotated[str, Field(pattern=ID_PATTERN, examples=["shopify"])]
Url = Annotated[str, Field(max_length=2_000, pattern=r"^https?://[^\s]+$")]
Branch = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Secret = Annotated[str, Field(min_length=1, max_length=1_000)]


class NewSecret(web.Document):
    """`secret` is what the provider shows; for Standard Webhooks it may be left out, and one is made."""

    secret: Secret | None = None


class NewHook(NewSecret):
    """`mapping` is the provider's own unless another is named. `notification_url` is what Square signs together with
    the body: the address as it was entered there, letter for letter. `branch` counts where the mapping finds none."""

    provider: Provider
    source: Source
    channel: Channel
    mapping: MappingName | None = None
    notification_url: Url | None = None
    branch: Branch | None = None


class HookChanges(web.Document):
    """What is left out stays; `notification_url` and `branch` are taken away by null."""

    channel: Channel | None = None
    mapping: MappingName | None = None
    notification_url: Url | None = None
    branch: Branch | None = None


class HookSecret(web.Document):
    secret_id: str
    created_at: datetime


class Hook(web.Document):
    """`path` is where the provider sends to, below the address of this service."""

    hook_id: str
    version: int
    provider: Provider
    source: str
    channel: str
    mapping: str
    notification_url: str | None
    branch: str | None
    path: str
    secrets: list[HookSecret]
    created_at: datetime

    @classmethod
    def of(cls, stored: StoredHook, **more: Any) -> Self:
        return cls(
            hook_id=stored.hook_id,
            version=stored.version,
            provider=stored.provider,  # type: ignore[arg-type]
            source=stored.source,
            channel=stored.channel,
            mapping=stored.mapping,
            notification_url=stored.notification_url or None,
            branch=stored.branch,
            path=f"{PATH}{stored.provider}/{stored.source}",
            secrets=[HookSecret(secret_id=each.secret_id, created_at=each.created_at) for each in stored.secrets],
            created_at=stored.created_at,
            **more,
        )


class MadeHook(Hook):
    """`secret` is the one that was made here, shown this once; null when the provider gave it."""

    secret: str | None


class MadeSecret(HookSecret):
    secret: str | None


H = TypeVar("H", bound=Hook)


class Endpoints:
    """What every order about endpoints needs."""

    def __init__(self, database: Database, book: HookBook, mappings: Mappings, sealer: Sealer) -> None:
        self.database = database
        self.book = book
        self._mappings = mappings
        self._sealer = sealer

    def sealed(self, provider: str, given: str | None) -> tuple[StoredSecret, str | None]:
        """The secret as it is kept, and as it is shown if it was made here."""
        made = None
        if given is None:
            if provider != signatures.STANDARD:
                raise Invalid("The secret is missing.", [Fault("/secret", f"{provider} shows it; send it along")])
            given = made = signatures.standard_secret(secrets.token_bytes(signatures.SECRET_BYTES))
        try:
            key = signatures.key_of(provider, given)
        except ValueError as error:
            raise Invalid("The secret cannot be used.", [Fault("/secret", str(error))]) from None
        secret_id = str(clock.new_id())
        return StoredSecret(secret_id, self._sealer.seal(key, secret_context(secret_id)), clock.now()), made

    def check(self, hook: StoredHook) -> None:
        faults = []
        if self._mappings.get(hook.mapping) is None:
            faults.append(Fault("/mapping", f"no mapping named {hook.mapping!r} is in force; activate it first"))
        if hook.provider == signatures.SQUARE and not hook.notification_url:
            faults.append(Fault("/notification_url", "Square signs it together with the body; enter it as it is there"))
        if faults:
            raise Invalid(faults[0].detail, faults)


def make_router(database: Database, book: HookBook, mappings: Mappings, sealer: Sealer) -> APIRouter:
    router = APIRouter(prefix="/hook-endpoints", tags=["webhooks"])
    endpoints = Endpoints(database, book, mappings, sealer)
    _add_making(router, endpoints)
    _add_changing(router, endpoints)
    _add_secrets(router, endpoints)
    return router


def _add_making(router: APIRouter, endpoints: Endpoints) -> None:
    @router.post("", status_code=201)
    async def create_hook(
        document: NewHook, response: Response, principal: Annotated[Principal, Depends(_ADMIN)]
    ) -> MadeHook:
        """Makes an address that takes a provider's webhooks; 409 when the provider has one for this source."""
        secret, made = endpoints.sealed(document.provider, document.secret)
        stored = StoredHook(
            hook_id=str(clock.new_id()),
            provider=document.provider,
            source=document.source,
            channel=document.channel,
            mapping=document.mapping or document.provider,
            notification_url=document.notification_url or "",
            branch=document.branch,
            created_at=clock.now(),
            secrets=(secret,),
        )
        endpoints.check(stored)
        async with endpoints.database.transaction() as tx:
            if not await store.add_hook(tx, stored, principal.subject):
                raise Conflict(f"There is an endpoint of {stored.provider} for the source {stored.source!r} already.")
        await endpoints.book.refresh()
        response.headers["Location"] = f"/v1/hook-endpoints/{stored.hook_id}"
        response.headers["Cache-Control"] = "no-store"
        return _mark(response, MadeHook.of(stored, secret=made))

    @router.get("", dependencies=[Depends(_ADMIN)])
    async def list_hooks(limit: web.Limit = web.PAGE_SIZE_DEFAULT, cursor: web.Cursor = None) -> web.Page[Hook]:
        after = web.decode_cursor(cursor, tuple[datetime, str])
        async with endpoints.database.connection() as connection:
            found = await store.list_hooks(connection, limit + 1, after)
        kept, following = web.page_of(found, limit, lambda each: (each.created_at, each.hook_id))
        return web.Page(items=[Hook.of(each) for each in kept], next=following)

    @router.get("/{hook_id}", dependencies=[Depends(_ADMIN)])
    async def get_hook(hook_id: str, response: Response) -> Hook:
        async with endpoints.database.connection() as connection:
            found = await store.one_hook(connection, hook_id)
        return _mark(response, Hook.of(_found(found)))


def _add_changing(router: APIRouter, endpoints: Endpoints) -> None:
    @router.patch("/{hook_id}", dependencies=[Depends(_ADMIN)])
    async def change_hook(
        hook_id: str, document: HookChanges, response: Response, if_match: web.IfMatch = None
    ) -> Hook:
        """Counts for the webhooks that come from now on, and for what is replayed."""
        changes = {name: getattr(document, name) for name in document.model_fields_set}
        if "notification_url" in changes:
            changes["notification_url"] = changes["notification_url"] or ""
        if kept := [name for name in ("channel", "mapping") if name in changes and changes[name] is None]:
            raise Invalid(f"{kept[0]} cannot be taken away.", [Fault(f"/{name}", "not null") for name in kept])
        async with endpoints.database.transaction() as tx:
            await store.lock_hook(tx, hook_id)
            was = _found(await store.one_hook(tx, hook_id))
            web.require_match(if_match, was.version)
            stored = structs.replace(was, version=was.version + 1, **changes)
            endpoints.check(stored)
            await store.change_hook(tx, hook_id, changes)
        await endpoints.book.refresh()
        return _mark(response, Hook.of(stored))

    @router.delete("/{hook_id}", status_code=204, dependencies=[Depends(_ADMIN)])
    async def delete_hook(hook_id: str) -> Response:
        """The address is unknown from now on. What it refused stays listed, and cannot be replayed any more."""
        async with endpoints.database.transaction() as tx:
            if not await store.remove_hook(tx, hook_id):
                raise _unknown()
        await endpoints.book.refresh()
        return Response(status_code=204)


def _add_secrets(router: APIRouter, endpoints: Endpoints) -> None:
    @router.post("/{hook_id}/secrets", status_code=201)
    async def add_secret(
        hook_id: str, document: NewSecret, response: Response, principal: Annotated[Principal, Depends(_ADMIN)]
    ) -> MadeSecret:
        """A second secret beside the first, so that the provider can go over to it without a webhook being lost."""
        async with endpoints.database.transaction() as tx:
            await store.lock_hook(tx, hook_id)
            stored = _found(await store.one_hook(tx, hook_id))
            secret, made = endpoints.sealed(stored.provider, document.secret)
            if len(stored.secrets) >= SECRETS_MAX:
                raise Conflict(
                    f"There are {SECRETS_MAX} secrets already; delete the one that is no longer signed with."
                )
            await store.add_secret(tx, hook_id, secret, principal.subject)
        await endpoints.book.refresh()
        response.headers["Cache-Control"] = "no-store"
        return MadeSecret(secret_id=secret.secret_id, created_at=secret.created_at, secret=made)

    @router.delete("/{hook_id}/secrets/{secret_id}", status_code=204, dependencies=[Depends(_ADMIN)])
    async def delete_secret(hook_id: str, secret_id: str) -> Response:
        """Nothing that is signed with it is taken from now on; the last one cannot be deleted."""
        async with endpoints.database.transaction() as tx:
            await store.lock_hook(tx, hook_id)
            stored = _found(await store.one_hook(tx, hook_id))
            if secret_id not in [each.secret_id for each in stored.secrets]:
                raise NotFound("The endpoint has no secret with this id.")
            if len(stored.secrets) == 1:
                raise Conflict("It is the only secret; add the next one first, or delete the endpoint.")
            await store.remove_secret(tx, hook_id, secret_id)
        await endpoints.book.refresh()
        return Response(status_code=204)


def _mark(response: Response, hook: H) -> H:
    response.headers["ETag"] = web.etag(hook.version)
    return hook


def _found(hook: StoredHook | None) -> StoredHook:
    if hook is None:
        raise _unknown()
    return hook


def _unknown() -> NotFound:
    return NotFound("There is no endpoint with this id.")

"""Who looks at whom, and why? Written down before the answer leaves, or it does not leave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import clock, logs
from libs.common.auth import Principal
from libs.common.db import Database
from libs.common.errors import DangolError, StoreAway
from libs.common.web import answer_to
from services.profile.store import audit as store
from services.profile.store.audit import Entry

REASON_HEADER: Final = "X-Access-Reason"
_REASON_LENGTH_MAX = 200
_ROOT = "/v1"
_SHOWN = "shown"
"""What an endpoint leaves in the state of its request: the customers that its answer shows."""

_KINDS: Final[Mapping[str, str]] = {"export": "export", "erase": "erase"}
"""By the last word of a path, where it says more than that somebody was seen or changed."""

_OF_MANY: Final[Mapping[str, str]] = {
    "/v1/customers": "look-up",
    "/v1/customers/search": "search",
    "/v1/conflicts": "view",
    "/v1/duplicates": "view",
    "/v1/duplicates/{pair_id}": "view",
    "/v1/duplicates/{pair_id}/decide": "change",
    "/v1/audit": "audit",
    "/v1/consent-duties": "view",
    "/v1/quality/customers": "view",
    "/v1/points/discrepancies": "view",
    "/v1/privacy-requests": "view",
    "/v1/privacy-requests/{request_id}/confirm": "change",
    "/v1/privacy-requests/{request_id}/refuse": "change",
    "/v1/erasures": "view",
}
"""Answers with personal data whose path names no customer."""


def shown(state: Any, customer_ids: Sequence[str]) -> None:
    """Said by an endpoint whose path does not name whom it shows."""
    setattr(state, _SHOWN, list(customer_ids))


class Auditor:
    """Writes entries; those that come while others are being written go together with the next trip."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def note(self, entries: Sequence[Entry]) -> None:
        """Returns when they are committed; StoreAway when they are not."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="audit")
        await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            trouble: DangolError | None = None
            try:
                async with self._database.connection() as connection:
                    await store.add(connection, [entry for entries, _ in batch for entry in entries])
            except DangolError as error:
                trouble = error
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - somebody waits for an answer.
                trouble = StoreAway(f"what is to be audited could not be written: {type(error).__name__}")
            for _, done in batch:
                if not done.done():
                    done.set_exception(trouble) if trouble is not None else done.set_result(None)


class Audited:
    """Stands around the API: an answer about a person begins when it is on record who gets it."""

    def __init__(self, app: ASGIApp, auditor: Auditor) -> None:
        self._app = app
        self._auditor = auditor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = False

        async def recorded(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] < 400:
                try:
                    entries = entries_of(scope)
                    if entries:
                        await self._auditor.note(entries)
                except DangolError as error:
                    refused = True
                    await answer_to(error)(scope, receive, send)
            if not refused:
                await send(message)

        await self._app(scope, receive, recorded)


def entries_of(scope: Scope) -> list[Entry]:
    """What is to be written of a request that is about to be answered; nothing where it is about nobody."""
    state = scope.get("state") or {}
    principal = state.get("principal")
    if not isinstance(principal, Principal):
        return []
    path = _path(scope)
    customer_id = scope.get("path_params", {}).get("customer_id")
    if customer_id is not None:
        return [_entry(scope, principal, _kind(scope["method"], path), path, str(customer_id))]
    if path not in _OF_MANY:
        return []
    ids = state.get(_SHOWN) or [None]
    return [_entry(scope, principal, _OF_MANY[path], path, each) for each in ids]


def _path(scope: Scope) -> str:
    """With names for its parts; a route knows its path from where it was included on."""
    path = str(getattr(scope.get("route"), "path", ""))
    return path if path.startswith(_ROOT) else _ROOT + path


def _kind(method: str, path: str) -> str:
    said = _KINDS.get(path.rpartition("/")[2])
    return said or ("view" if method in ("GET", "HEAD") else "change")


def _entry(scope: Scope, who: Principal, kind: str, path: str, customer_id: str | None) -> Entry:
    reason = Headers(scope=scope).get(REASON_HEADER, "")
    # A reason is in somebody's own words: whom it names must not stay when that person is erased.
    reason = logs.mask(reason.encode("ascii", "replace").decode())[:_REASON_LENGTH_MAX]
    return Entry(
        clock.now(), who.subject, kind, f"{scope['method']} {path}", _id(customer_id), reason, who.branch or ""
    )


def _id(customer_id: str | None) -> str | None:
    try:
        return None if customer_id is None else str(UUID(customer_id))
    except ValueError:
        return None

"""How does a test talk to a running stack? As a channel, as a person with a role, and as a customer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from libs.common import clock
from tests.stack import Stack

T = TypeVar("T")
POLL_SECONDS = 0.05


class Caller:
    """Used as `async with Caller(stack) as caller`. Answers other than expected are an AssertionError."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A connection for each request: one that is kept would be found dead after a service was killed.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use it as `async with Caller(stack) as caller`"
        return self._session

    async def send(self, channel: str, *events: Mapping[str, Any]) -> list[str]:
        """Posts the events as one batch with the channel's write key; the ids, all of them accepted."""
        key = self.stack.write_keys[channel]
        url = f"{self.stack.urls['ingest']}/v1/events"
        headers = {"Authorization": f"Bearer {key}"}
        async with self.session.post(url, json=list(events), headers=headers) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == 202 and not body["rejected"], (answer.status, body)
            return list(body["ids"])

    async def get(self, service: str, path: str, *, role: str = "viewer", **query: Any) -> Any:
        return await self.call("GET", service, path, role=role, params=query)

    async def call(
        self,
        method: str,
        service: str,
        path: str,
        *,
        role: str = "viewer",
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The decoded answer of an API; anything but 2xx is an AssertionError that shows the problem."""
        sent = {"Authorization": f"Bearer {self.stack.tokens[role]}", **(headers or {})}
        url = f"{self.stack.urls[service]}{path}"
        async with self.session.request(method, url, params=params, json=body, headers=sent) as answer:
            told = await answer.json(content_type=None)
            assert 200 <= answer.status < 300, (method, path, answer.status, told)
            return told

    async def install(self, kind: str, document: Mapping[str, Any]) -> None:
        """Creates and activates a document; `kind` is rules, campaigns or templates."""
        service = {"rules": "rules", "campaigns": "campaign", "templates": "notify"}[kind]
        await self.call("POST", service, f"/v1/{kind}", role="marketer", body=document)
        await self.call("POST", service, f"/v1/{kind}/{document['id']}/activate", role="marketer", body={})

    async def customer(self, **identifier: str) -> dict[str, Any] | None:
        """The customer that an identifier belongs to, or None while nobody is known by it."""
        found = await self.get("profile", "/v1/customers", **identifier)
        return dict(found["items"][0]) if found["items"] else None

    async def timeline(self, customer_id: str) -> list[dict[str, Any]]:
        found = await self.get("profile", f"/v1/customers/{customer_id}/timeline", limit=200)
        return list(found["items"])

    async def inbox(self, **filters: str) -> list[dict[str, Any]]:
        return list((await self.get("notify", "/v1/inbox", limit=200, **filters))["items"])

    async def decisions(self, **filters: str) -> list[dict[str, Any]]:
        return list((await self.get("campaign", "/v1/decisions", limit=200, **filters))["items"])


async def until(ask: Callable[[], Awaitable[T | None]], what: str, seconds: float = 60.0) -> T:
    """The first truthy answer; an AssertionError that names `what` when there is none within the time."""
    deadline = time.monotonic() + seconds
    while True:
        if found := await ask():
            return found
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}; last answer: {found!r}"
        await asyncio.sleep(POLL_SECONDS)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def event(type_: str, *, identifiers: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A live event of a source that every channel may claim; `more` adds or replaces attributes."""
    made = {
        "id": f"e-{clock.new_id()}",
        "source": "e2e",
        "type": type_,
        "time": now(),
        "identifiers": dict(identifiers),
    }
    return {**made, **more}


def purchase(amount: int | str, *, currency: str = "KRW", **more: Any) -> dict[str, Any]:
    return event("purchase", **{"data": {"amount": amount, "currency": currency}, **more})

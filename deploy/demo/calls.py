"""How are the services called from outside? Requests that are repeated while a service is busy or away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from deploy.demo.settings import Access
from deploy.local.failure import StackFailure

_BUSY = frozenset({429, 502, 503, 504})
_WAIT_SECONDS_FIRST = 0.2
_WAIT_SECONDS_MAX = 5.0
_ANSWER_SECONDS_MAX = 30.0
_LOST = (aiohttp.ClientConnectionError, TimeoutError)


class Refused(StackFailure):
    """A service understood the request and will not do it; `status` is HTTP's, `problem` its own words."""

    def __init__(self, status: int, what: str, problem: Any) -> None:
        told = problem.get("detail") if isinstance(problem, dict) else problem
        super().__init__(f"{what} was refused with {status}: {told}")
        self.status = status
        self.problem = problem


class Calls:
    """Used as `async with Calls(access) as calls`. A request waits as long as it takes, up to `patience_seconds`.

    What is repeated is harmless: events by their ids, everything else reads or sets.
    """

    def __init__(self, access: Access, *, patience_seconds: float | None = None, connections: int = 8) -> None:
        self.access = access
        self.sent = 0
        self.waits = 0
        self._patience = patience_seconds
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX)
        connector = aiohttp.TCPConnector(limit=self._connections)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, channel: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Posts a batch of events; the receipt. Refused when no event of the batch is accepted."""
        key = self.access.write_keys.get(channel)
        if key is None:
            known = ", ".join(sorted(self.access.write_keys))
            raise StackFailure(f"there is no write key for the channel {channel!r}; there are {known}")
        receipt: dict[str, Any] = await self._call("POST", "ingest", "/v1/events", key, body=list(events))
        self.sent += int(receipt["accepted"])
        return receipt

    async def get(self, service: str, path: str, *, role: str = "viewer", **query: Any) -> Any:
        asked = {name: str(value) for name, value in query.items()}
        return await self._call("GET", service, path, self.access.tokens[role], query=asked)

    async def find(self, service: str, path: str, **query: Any) -> Any:
        """As `get`; None where there is nothing."""
        try:
            return await self.get(service, path, **query)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def post(self, service: str, path: str, body: Any, *, role: str) -> Any:
        return await self._call("POST", service, path, self.access.tokens[role], body=body)

    async def metrics(self, service: str) -> str:
        """The text of /metrics; empty while the service does not answer."""
        assert self._session is not None
        try:
            async with self._session.get(f"{self.access.urls[service]}/metrics") as answer:
                return await answer.text()
        except _LOST:
            return ""

    async def _call(
        self,
        method: str,
        service: str,
        path: str,
        bearer: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        wait, waited = _WAIT_SECONDS_FIRST, 0.0
        while True:
            status, told, after = await self._once(method, self.access.urls[service] + path, bearer, query, body)
            if 200 <= status < 300:
                return told
            if status and status not in _BUSY:
                raise Refused(status, f"{method} {path} of {service}", told)
            if self._patience is not None and waited >= self._patience:
                raise StackFailure(f"{service} does not answer at {self.access.urls[service]}: is the stack running?")
            pause = max(wait, after)
            self.waits += 1
            await asyncio.sleep(pause)
            waited += pause
            wait = min(wait * 2, _WAIT_SECONDS_MAX)

    async def _once(
        self, method: str, url: str, bearer: str, query: Mapping[str, str] | None, body: Any
    ) -> tuple[int, Any, float]:
        """Status (0 when there was no answer), the answer, and how many seconds it asks to wait."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {bearer}"}
        try:
            async with self._session.request(method, url, params=query, json=body, headers=headers) as answer:
                told = await answer.json(content_type=None)
                return answer.status, told, _seconds(answer.headers.get("Retry-After"))
        except _LOST:
            return 0, None, 0.0
        except ValueError:
            return 502, "the answer is not JSON", 0.0


def _seconds(text: str | None) -> float:
    return min(float(text), _WAIT_SECONDS_MAX) if text is not None and text.isdigit() else 0.0

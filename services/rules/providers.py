"""Whom outside of this service is something asked over HTTP? Campaign, what its gates would have done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from msgspec import Raw

from services.rules.backtest.gates import Door, Simulated

ANSWER_BYTES_MAX = 8 << 20
_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
_TIMEOUT_SECONDS = 60.0


class Away(Exception):
    """Campaign did not answer, or refused; the text says why."""


class Campaign:
    """A session with it; Away from `simulate`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS, sock_connect=5.0)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def simulate(self, campaign: Raw, firings: Sequence[tuple[str, str, datetime]], examples: int) -> Simulated:
        """Asked again when it is away for a moment: it decides nothing, so that twice does no harm."""
        body = msgspec.json.encode({"campaign": campaign, "firings": firings, "examples": examples})
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
            try:
                status, answer = await self._post("/v1/simulations", body)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                reason = f"campaign does not answer: {str(error) or type(error).__name__}"
                continue
            if status == 200:
                return _read(answer)
            reason = f"campaign answered {status}: {_detail(answer)}"
            if status < 500:
                break
        raise Away(reason)

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        assert self._session is not None
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._door.token}"}
        url = self._door.url.rstrip("/") + path
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for part in response.content.iter_chunked(1 << 16):
                answer += part
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ValueError("its answer has no end")
            return response.status, bytes(answer)


def _read(answer: bytes) -> Simulated:
    try:
        return msgspec.json.decode(answer, type=Simulated)
    except msgspec.MsgspecError as error:
        raise Away(f"campaign answered something else: {error}") from None


def _detail(answer: bytes) -> str:
    """What a problem document says, with the places that it points to."""
    try:
        problem = msgspec.json.decode(answer, type=dict[str, Any])
        faults = [f"{each['pointer']}: {each['detail']}" for each in problem.get("errors") or ()]
        return "; ".join([str(problem.get("detail") or problem.get("title") or "no reason"), *faults])[:500]
    except (msgspec.MsgspecError, TypeError, KeyError):
        return "no reason that can be read"

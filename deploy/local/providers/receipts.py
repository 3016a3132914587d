"""How do the providers tell what became of a message? By signed notices to notify, a little later."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass

import aiohttp

from libs.common import clock, logs
from services.notify import signing

TRIES_MAX = 30


@dataclass(frozen=True, slots=True)
class Notice:
    message_id: str
    event: str
    at: str


def _told(notice: Notice) -> dict[str, str]:
    """The id is the same however often it is told."""
    return {**asdict(notice), "id": f"{notice.message_id}/{notice.event}"}


class Receipts:
    """Sends what is due in one request; keeps trying for a while when notify does not answer."""

    def __init__(self, url: str, secret: bytes, delay_seconds: float) -> None:
        self._url = f"{url.rstrip('/')}/v1/receipts/local"
        self._secret = secret
        self._delay_seconds = delay_seconds
        self._waiting: list[Notice] = []
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = logs.get("receipts")

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._session is not None:
            await self._session.close()

    def later(self, message_id: str, event: str) -> None:
        if not message_id or not self._secret:
            return
        self._waiting.append(Notice(message_id, event, clock.now().isoformat()))
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._send_soon())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_soon(self) -> None:
        await asyncio.sleep(self._delay_seconds)
        due, self._waiting = self._waiting, []
        for start in range(0, len(due), 500):
            await self._send(due[start : start + 500])

    async def _send(self, notices: list[Notice]) -> None:
        assert self._session is not None
        body = json.dumps([_told(notice) for notice in notices]).encode()
        for attempt in range(TRIES_MAX):
            signature = signing.sign_body(self._secret, body, clock.now_ms() // 1000)
            headers = {signing.RECEIPT_HEADER: signature, "Content-Type": "application/json"}
            try:
                async with self._session.post(self._url, data=body, headers=headers) as response:
                    if response.status < 500:
                        if response.status >= 400:
                            self._log.error("receipts_refused", status=response.status)
                        return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(min(5.0, 0.2 * 2**attempt))
        self._log.error("receipts_given_up", count=len(notices))

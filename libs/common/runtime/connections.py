"""How does a connection behave? An answer leaves in one piece, and nobody holds one for ever before asking anything.

uvicorn writes the head and the body of an answer one after the other, and the loop hands each to the kernel at once; a
call into the kernel that wakes the peer costs more than everything else about a small answer. It waits without end, and
without a bound of bytes, for the head of a request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HELD_BYTES_MAX = 64 * 1024
HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS_MAX = 10.0
_SWEEP_SECONDS = 1.0


class Corked:
    """A transport that keeps what is written until the loop's next turn; all else is the transport's own."""

    __slots__ = ("_call_soon", "_held", "_held_bytes", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._held:
            self._call_soon(self._uncork)
        self._held.append(data)
        self._held_bytes += len(data)
        # A long answer is not gathered: the transport says when its reader cannot keep up.
        if self._held_bytes > HELD_BYTES_MAX:
            self._uncork()

    def close(self) -> None:
        self._uncork()
        self._transport.close()

    def _uncork(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        if held:
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpConnection(HttpToolsProtocol):
    """`head_since` is when the head that is still coming began (monotonic seconds), None between heads."""

    head_since: float | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport))  # type: ignore[arg-type]
        self.head_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_since, self._head_bytes = time.monotonic(), 0

    def on_headers_complete(self) -> None:
        self.head_since = None
        super().on_headers_complete()


async def hang_up_on_crawlers(connections: Collection[Any], seconds_max: float = HEAD_SECONDS_MAX) -> None:
    """For ever: ends connections whose head has not come within the time; one look at all costs less than timers."""
    while True:
        await asyncio.sleep(min(_SWEEP_SECONDS, seconds_max))
        latest = time.monotonic() - seconds_max
        for connection in list(connections):
            since = getattr(connection, "head_since", None)
            if since is not None and since < latest:
                connection.transport.abort()

"""How does a connection behave? An answer leaves in one piece, and nobody holds one for ever before asking anything.

uvicorn writes the head and the body of an answer one after the other, and the loop hands each to the kernel at once; a
call into the kernel that wakes the peer costs more than everything else about a small answer. It waits without end, and
without a bound of bytes, for the head of a request and for the trailers of a body; without end for the rest of a body
that was answered before it had come; and it makes a place for every request that stands in a queue behind another one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HELD_BYTES_MAX = 64 * 1024
HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS_MAX = 10.0
PIPELINED_MAX = 16
# A body in chunks of one byte has five bytes around each.
_BYTES_AROUND_EACH = 8
_SWEEP_SECONDS = 1.0

_H2C = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*\r\n", re.IGNORECASE)


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
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpConnection(HttpToolsProtocol):
    """`waiting_since` is since when a head is coming, or the rest of what was answered; None while nothing is due.

    In monotonic seconds. Trailers are dropped: nobody here reads them.
    """

    waiting_since: float | None = None
    _in_head = True
    _between = True
    _begun = 0
    _piece_body_bytes = 0
    _body_bytes = 0
    _other_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport))  # type: ignore[arg-type]
        self.waiting_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        if b"h2c" in data and (self._between or self._in_head):
            data = _without_upgrade(data)
        own = 1 if self._between else 0
        self._begun = self._piece_body_bytes = 0
        super().data_received(data)
        if self._begun == own:
            # Of a piece that holds the end of one request and the beginning of another nobody knows what is whose.
            self._other_bytes += len(data) - self._piece_body_bytes
            if self._other_bytes > HEAD_BYTES_MAX + _BYTES_AROUND_EACH * self._body_bytes:
                self.transport.abort()
        if self.waiting_since is None and self._is_left_over():
            self.waiting_since = time.monotonic()

    def _is_left_over(self) -> bool:
        """Whether this was the rest of a request that was answered: it stopped the clock of idle connections."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_complete and self.timeout_keep_alive_task is None

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            self.transport.abort()
            raise ConnectionAbortedError("more requests at once than anybody waits for")
        super().on_message_begin()
        self.waiting_since = time.monotonic()
        self._in_head, self._between = True, False
        self._begun += 1
        self._body_bytes = self._other_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.waiting_since, self._in_head = None, False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._piece_body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()


def _without_upgrade(piece: bytes) -> bytes:
    """What came, without an offer to go on in HTTP/2, as Java's client makes one with each first request.

    The parser would take everything after the head for the other protocol, and the request would have no body.
    """
    head, end, rest = piece.partition(b"\r\n\r\n")
    return _H2C.sub(b"\r\n", head + b"\r\n").removesuffix(b"\r\n") + end + rest


async def hang_up_on_crawlers(connections: Collection[Any], seconds_max: float = HEAD_SECONDS_MAX) -> None:
    """For ever: ends connections that have kept us waiting for longer; one look at all costs less than timers."""
    while True:
        await asyncio.sleep(min(_SWEEP_SECONDS, seconds_max))
        latest = time.monotonic() - seconds_max
        for connection in list(connections):
            since = getattr(connection, "waiting_since", None)
            if since is not None and since < latest:
                connection.transport.abort()

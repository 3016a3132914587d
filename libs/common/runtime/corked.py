"""How many packets is an answer? One: what is written to a connection within one turn of the loop goes out together.

uvicorn writes the head and the body of an answer one after the other, and the loop hands each to the kernel at once.
A call into the kernel that wakes the peer costs more than everything else about a small answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HELD_BYTES_MAX = 64 * 1024


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


class CorkedHttp(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport))  # type: ignore[arg-type]

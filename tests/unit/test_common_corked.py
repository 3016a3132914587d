"""Does an answer leave in one piece, in order, and whole?"""

from __future__ import annotations

import asyncio
from typing import Any

from libs.common.runtime.corked import HELD_BYTES_MAX, Corked


class Wire:
    """What reaches the transport beneath, call by call."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.calls.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def corked() -> tuple[Any, Wire]:
    wire = Wire()
    return Corked(wire), wire  # type: ignore[arg-type]


async def test_what_is_written_in_one_turn_leaves_as_one() -> None:
    transport, wire = corked()
    transport.write(b"head ")
    transport.write(b"body")
    assert wire.calls == []
    await asyncio.sleep(0)
    assert wire.calls == [b"head body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert wire.calls == [b"head body", b"next"]


async def test_what_was_written_leaves_before_the_connection_is_closed() -> None:
    transport, wire = corked()
    transport.write(b"last words")
    transport.close()
    assert wire.calls == [b"last words"] and transport.is_closing()
    await asyncio.sleep(0)
    assert len(wire.calls) == 1


async def test_a_long_answer_is_not_gathered() -> None:
    transport, wire = corked()
    for _ in range(5):
        transport.write(b"x" * (HELD_BYTES_MAX // 2))
    assert wire.calls, "everything waits in memory until the loop turns"
    await asyncio.sleep(0)
    assert sum(map(len, wire.calls)) == 5 * (HELD_BYTES_MAX // 2)

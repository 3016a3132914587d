"""Does an answer leave in one piece, in order, and whole, and is who never asks let go?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from libs.common.runtime.connections import (
    HEAD_BYTES_MAX,
    HELD_BYTES_MAX,
    PIPELINED_MAX,
    Corked,
    HttpConnection,
    hang_up_on_crawlers,
)


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


async def test_what_is_written_to_a_connection_that_broke_is_dropped() -> None:
    transport, wire = corked()
    transport.write(b"to nobody")
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.calls == []


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/echo":
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        names = b",".join(name for name, _ in scope["headers"])
        headers = [(b"x-seen", names), (b"x-body-bytes", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """A server of our connections, which gives half a second to a head."""
    config, state = uvicorn.Config(hello, log_config=None, ws="none", lifespan="off"), ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpConnection(config, state, {}), "127.0.0.1", 0)
    sweep = asyncio.create_task(hang_up_on_crawlers(state.connections, 0.5))
    yield server.sockets[0].getsockname()[1]
    sweep.cancel()
    server.close()


GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def ended(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 5)
    return b""


@pytest.mark.parametrize("beginning", [b"", b"GET / HTT", GOOD[:-2] + b"X-Slow: a"])
async def test_a_head_that_never_ends_is_given_up(port: int, beginning: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    assert await ended(reader) == b""
    writer.close()


async def test_a_head_without_bound_is_given_up_at_once(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GOOD[:-2] + b"X-Long: " + b"a" * (2 * HEAD_BYTES_MAX))
    async with asyncio.timeout(0.4):
        assert await ended(reader) == b""
    writer.close()


async def test_who_asks_again_in_time_is_served_for_longer_than_a_head_may_take(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(4):
        writer.write(GOOD)
        answer = await asyncio.wait_for(reader.readuntil(b"hello"), 5)
        assert answer.startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.3)
    writer.close()


@pytest.mark.parametrize("more", [b"y", b"\r\n"], ids=["of a body", "of nothing"])
async def test_who_trickles_after_the_answer_is_given_up(port: int, more: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx" if more == b"y" else GOOD)
    await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    writer.write(more)
    assert await ended(reader) == b""
    writer.close()


async def test_trailers_are_neither_kept_nor_taken_without_bound(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    writer.write(chunked)
    await asyncio.sleep(0.05)
    writer.write(b"X-Late: 1\r\n\r\n")
    answer = await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    assert b"x-seen: host,transfer-encoding\r\n" in answer
    writer.write(chunked)
    await asyncio.sleep(0.05)
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            writer.write(b"X-Late: 1\r\n" * 2_000)
            await writer.drain()
    async with asyncio.timeout(0.4):
        assert b"hello" not in await ended(reader)
    writer.close()


async def test_a_body_in_chunks_of_one_byte_is_taken_whole(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    assert b"hello" in await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    writer.close()


async def test_requests_in_a_row_without_bound_are_given_up(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GOOD * PIPELINED_MAX)
    for _ in range(PIPELINED_MAX):
        await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    writer.write(GOOD * 5_000)
    assert (await ended(reader)).count(b"hello") < 5_000
    writer.close()


async def test_a_body_behind_an_offer_of_http_2_is_not_lost(port: int) -> None:
    """Java's client makes the offer with each first request on a plain connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    writer.write(b"POST /echo HTTP/1.1\r\n" + offer + b"Host: x\r\nContent-Length: 6\r\n\r\nUp:h2c")
    answer = await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    assert b"x-body-bytes: 6\r\n" in answer
    writer.close()

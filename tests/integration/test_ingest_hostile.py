"""Do slow, huge and crooked senders cost anybody else anything? The service as a process, and its memory."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingest_door import POS, Door, fresh, running

_SLOW = 500
_MEMORY_MB_MAX = 200


@pytest.fixture
async def door(postgres_url: str, kafka_bootstrap: str, fresh_name: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with running(postgres_url, kafka_bootstrap, fresh_name, tmp_path) as opened:
        yield opened


async def test_five_hundred_slow_senders_hold_up_nobody(door: Door) -> None:
    """Half of them never end their headers, half trickle a body; the good ones go on as if nobody else was there."""
    alone = await seconds_of(door, 200)
    crawlers = [asyncio.create_task(crawl(door, in_head=number % 2 == 0)) for number in range(_SLOW)]
    try:
        await asyncio.sleep(0.5)
        assert sum(not task.done() for task in crawlers) > _SLOW * 0.9, "they were not slow"
        among = await seconds_of(door, 200)
    finally:
        for task in crawlers:
            task.cancel()
        await asyncio.gather(*crawlers, return_exceptions=True)
    # Generous, for a busy machine: one sender that held the others up would cost its whole second.
    assert among < 4 * alone + 0.5, f"200 events took {among:.2f} s among slow senders and {alone:.2f} s alone"
    assert (await door.send(fresh()))[0] == 202


async def test_a_slow_sender_is_told_and_let_go(door: Door) -> None:
    began = time.monotonic()
    reader, writer = await opened(door)
    writer.write(head(50) + b"{")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    assert time.monotonic() - began < 4
    writer.close()


async def test_no_input_takes_more_memory_than_a_worker_may_have(door: Door) -> None:
    bombs = gzip.compress(bytes(64 << 20))
    deep = b"[" * 500_000
    wide = json.dumps([fresh(id=str(each)) for each in range(500)]).encode()
    names = json.dumps(fresh(data={str(each): each for each in range(60_000)})).encode()
    zipped = {"Content-Encoding": "gzip"}
    for _ in range(3):
        await asyncio.gather(
            *(door.send(bombs, headers=zipped) for _ in range(20)),
            *(door.send(deep) for _ in range(20)),
            *(door.send(wide) for _ in range(20)),
            *(door.send(names) for _ in range(20)),
            *(door.send(gzip.compress(wide), headers=zipped) for _ in range(20)),
            return_exceptions=True,
        )
    assert peak_mb(door) < _MEMORY_MB_MAX, f"{peak_mb(door)} MB"
    assert (await door.send(fresh()))[0] == 202


async def seconds_of(door: Door, number: int) -> float:
    began = time.monotonic()
    for start in range(0, number, 20):
        answers = await asyncio.gather(*(door.send(fresh(id=f"{start}-{each}")) for each in range(20)))
        assert {status for status, _ in answers} == {202}
    return time.monotonic() - began


async def crawl(door: Door, *, in_head: bool) -> None:
    """A byte now and then, as long as anybody listens."""
    reader, writer = await opened(door)
    try:
        writer.write(head(50)[:-2] + b"X-Slow: " if in_head else head(50))
        while not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(0.3)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def opened(door: Door) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = door.address.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


def head(length: int) -> bytes:
    lines = ["POST /v1/events HTTP/1.1", "Host: x", f"Authorization: Bearer {POS}", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def peak_mb(door: Door) -> float:
    """The most memory that the process ever held, in MB."""
    status = Path(f"/proc/{door.process.pid}/status")
    if not status.exists():
        pytest.skip("this system does not tell what memory a process holds")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

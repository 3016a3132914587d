"""Is a body bounded in size, in time and in what it inflates to, while it streams?"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from libs.common.errors import Refused
from services.ingest.deadlines import Deadlines
from services.ingest.reading import BODY_BYTES_MAX, Disconnected, read_body
from services.ingest.refusals import TooLarge, UnsupportedEncoding


class Sender:
    """A caller who sends these chunks, and then hangs if the last one is not the end."""

    def __init__(self, *chunks: bytes, ends: bool = True) -> None:
        self._messages: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks) or not ends}
            for number, chunk in enumerate(chunks, 1)
        ]
        self.taken = 0

    async def __call__(self) -> Message:
        if self.taken == len(self._messages):
            await asyncio.Event().wait()
        self.taken += 1
        return self._messages[self.taken - 1]


async def read(*chunks: bytes, encoding: bytes = b"", ends: bool = True) -> bytes:
    return await read_body(Sender(*chunks, ends=ends), encoding)


async def test_chunks_are_one_body() -> None:
    assert await read(b"{", b"", b"}") == b"{}"
    assert await read(b"{}") == b"{}"


@pytest.mark.parametrize(
    ("encoding", "packed"), [(b"gzip", gzip.compress(b"x" * 999, mtime=0)), (b"Deflate", zlib.compress(b"x" * 999))]
)
async def test_a_compressed_body_is_inflated_however_it_is_cut(encoding: bytes, packed: bytes) -> None:
    assert await read(packed, encoding=encoding) == b"x" * 999
    assert await read(*(packed[n : n + 1] for n in range(len(packed))), encoding=encoding) == b"x" * 999


async def test_a_body_over_the_cap_is_refused_before_it_is_read_to_its_end() -> None:
    sender = Sender(*[b"x" * 100_000] * 50)
    with pytest.raises(TooLarge):
        await read_body(sender, b"")
    assert sender.taken == BODY_BYTES_MAX // 100_000 + 1


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 300_000_000])
async def test_a_bomb_is_refused(size: int) -> None:
    squeeze = zlib.compressobj(9, wbits=31)
    packed = b"".join([squeeze.compress(bytes(1_000_000)) for _ in range(size // 1_000_000 + 1)] + [squeeze.flush()])
    with pytest.raises(TooLarge):
        await read(packed, encoding=b"gzip")


async def test_a_small_bomb_is_refused_by_its_ratio() -> None:
    packed = gzip.compress(bytes(900_000))
    assert len(packed) < 2_000
    with pytest.raises(TooLarge):
        await read(packed, encoding=b"gzip")


@pytest.mark.parametrize(
    "packed", [b"no gzip", gzip.compress(b"x" * 100, mtime=0)[:-4], gzip.compress(b"x", mtime=0) + b"more", b""]
)
async def test_what_does_not_inflate_is_refused(packed: bytes) -> None:
    with pytest.raises(Refused) as caught:
        await read(packed, encoding=b"gzip")
    assert caught.value.status == 400


async def test_an_encoding_that_nobody_understands_is_refused() -> None:
    with pytest.raises(UnsupportedEncoding):
        await read(b"x", encoding=b"br")
    assert await read(b"x", encoding=b"identity") == b"x"


@pytest.fixture
async def deadlines() -> AsyncIterator[Deadlines]:
    held = Deadlines()
    await held.start()
    yield held
    await held.stop()


@pytest.mark.parametrize("chunks", [(), (b"{",)])
async def test_a_body_that_does_not_end_in_time_is_given_up(deadlines: Deadlines, chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(TimeoutError):
        await deadlines.bounded(read(*chunks, ends=False), 0.05)
    assert await deadlines.bounded(read(b"{}"), 0.05) == b"{}"


async def test_a_cancellation_from_elsewhere_is_no_timeout(deadlines: Deadlines) -> None:
    task = asyncio.create_task(deadlines.bounded(read(ends=False), 5.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_who_hangs_up_is_not_answered() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        await read_body(gone, b"")

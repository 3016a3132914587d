"""How does the body of a request become a part of a stored file? As it streams in, a piece at a time.

Whatever has arrived when a caller breaks off stays, and the upload goes on from there. A piece that carries a checksum
counts only as a whole, once that agrees.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

from starlette.types import Receive

from libs.common import clock
from libs.common.db import Database
from libs.common.errors import Conflict
from services.ingest.imports.progress import FAILED
from services.ingest.imports.protocol import Checksum, WrongChecksum
from services.ingest.reading import Disconnected
from services.ingest.refusals import TooLarge, TooSlow
from services.ingest.store import import_uploads as store
from services.ingest.store import imports as stored

MOVED_ON: Final = "Somebody else goes on with this upload, or it has ended; ask for its offset (HEAD) and go on there."


class UploadLimits(NamedTuple):
    """`piece_seconds_max` is for each piece of `CHUNK_BYTES`, so that it is a lowest speed as well."""

    file_bytes_max: int
    piece_seconds_max: float


class Part(NamedTuple):
    """Where a request's body belongs. `size` is that of the file, None while nobody knows it."""

    import_id: str
    offset: int
    size: int | None
    checksum: Checksum | None = None


class Uploads:
    def __init__(self, database: Database, limits: UploadLimits) -> None:
        self.limits = limits
        self._database = database

    async def append(self, part: Part, receive: Receive, *, is_all: bool = False) -> int:
        """The offset after what was stored. Conflict when it does not go on there, TooLarge, TooSlow, WrongChecksum.

        `is_all` says that the end of the body is that of the file.
        """
        writer = str(clock.new_id())
        async with self._database.connection() as connection:
            begun = await store.begin(connection, part.import_id, part.offset, writer, part.size, clock.now())
        if not begun:
            raise Conflict(MOVED_ON)
        writing = _Writing(self._database, part, writer)
        try:
            await self._read(writing, receive)
        except (Disconnected, TooSlow):
            if part.checksum is None:
                await writing.flush()
            raise
        await self._settle(writing, part, is_all)
        return writing.end

    async def _read(self, writing: _Writing, receive: Receive) -> None:
        until = time.monotonic() + self.limits.piece_seconds_max
        while True:
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                seconds = self.limits.piece_seconds_max
                detail = f"{store.CHUNK_BYTES} bytes did not arrive within {seconds:g} s; go on from the offset."
                raise TooSlow(detail) from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            data: bytes = message.get("body", b"")
            await self._check_size(writing, len(data))
            if await writing.take(data):
                until = time.monotonic() + self.limits.piece_seconds_max
            if not message.get("more_body", False):
                return

    async def _check_size(self, writing: _Writing, coming: int) -> None:
        size = writing.part.size
        if size is not None and writing.end + coming > size:
            raise TooLarge(f"More comes than the {size} bytes that were announced.")
        if writing.end + coming > self.limits.file_bytes_max:
            detail = f"The file is larger than {self.limits.file_bytes_max} bytes; send it in smaller parts."
            async with self._database.connection() as connection:
                await stored.end(connection, writing.part.import_id, FAILED, detail, clock.now())
            raise TooLarge(detail)

    async def _settle(self, writing: _Writing, part: Part, is_all: bool) -> None:
        if part.checksum is not None and not part.checksum.agrees():
            raise WrongChecksum("The bytes are not those of the checksum; nothing of them is kept. Send them again.")
        await writing.flush()
        async with self._database.connection() as connection:
            if part.checksum is not None and not await store.count(
                connection, part.import_id, writing.writer, writing.end, clock.now()
            ):
                raise Conflict(MOVED_ON)
            if is_all and part.size is None:
                await store.complete(connection, part.import_id, writing.writer, clock.now())


class _Writing:
    """One request's way into the database; holds less than two pieces at a time."""

    def __init__(self, database: Database, part: Part, writer: str) -> None:
        self.part = part
        self.writer = writer
        self.end = part.offset
        self._database = database
        self._waiting = bytearray()

    async def take(self, data: bytes) -> bool:
        """True when a piece was stored."""
        if self.part.checksum is not None:
            self.part.checksum.state.update(data)
        self._waiting += data
        self.end += len(data)
        stored = False
        while len(self._waiting) >= store.CHUNK_BYTES:
            await self._put(bytes(self._waiting[: store.CHUNK_BYTES]))
            del self._waiting[: store.CHUNK_BYTES]
            stored = True
        return stored

    async def flush(self) -> None:
        if self._waiting:
            await self._put(bytes(self._waiting))
            self._waiting.clear()

    async def _put(self, data: bytes) -> None:
        start = self.end - len(self._waiting)
        counted = self.part.checksum is None
        async with self._database.connection() as connection:
            held = await store.put(connection, self.part.import_id, self.writer, start, data, clock.now(), counted)
        if not held:
            raise Conflict(MOVED_ON)

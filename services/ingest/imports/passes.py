"""How is a file gone through? Twice: once to see that it is what its sender counted, once to send what is in it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from libs.common import clock, logs
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database, Row
from libs.common.errors import BrokerAway, Fenced, Transient
from services.ingest.imports.gait import Gait
from services.ingest.imports.inflating import Plain, Unreadable, inflater_for
from services.ingest.imports.lines import BREAKS_MAX, LINE_BYTES_MAX, Line
from services.ingest.imports.order import Order
from services.ingest.imports.progress import Progress, advanced, refused_lines
from services.ingest.imports.totals import Found, Sum, disagreements
from services.ingest.imports.translation import (
    ORDER_OF,
    Judged,
    Layout,
    Mappings,
    Translator,
    judge,
    layout_of,
    reader_for,
)
from services.ingest.intake import Outcome, Terms
from services.ingest.keys.book import WriteKey
from services.ingest.reception import Reception
from services.ingest.store import import_work as store

BLOCK_LINES_MAX: Final = 500
BLOCK_BYTES_MAX: Final = 512 * 1024
_CHUNKS_AT_ONCE: Final = 4
_SLICE_BYTES: Final = 16 * 1024
_SEEN_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
T = TypeVar("T")

_JSON = msgspec.json.Encoder()
_LAYOUT = msgspec.json.Decoder(Layout)
_FOUND = msgspec.json.Decoder(Found)


class Tools(NamedTuple):
    """What every pass works with; `note` is told the progress before and after a block."""

    database: Database
    reception: Reception
    mappings: Mappings
    gait: Gait
    crash: CrashPoints
    note: Callable[[Progress, Progress], None]
    file_bytes_max: int
    refused_lines_max: int


class Import:
    """One import in the hands of this process, as its row stood when it was taken."""

    def __init__(self, row: Row, me: str, tools: Tools) -> None:
        self.import_id: str = row["import_id"]
        self.epoch: int = row["epoch"]
        self.state: str = row["state"]
        self._work = (self.import_id, me, self.epoch)
        self._tools = tools
        self._order: Order = ORDER_OF(row["instructions"])
        self._key_id: str = row["key_id"]
        self._uploaded_at: datetime = row["uploaded_at"]
        self._layout = _LAYOUT.decode(row["layout"]) if row["layout"] else None
        self._progress = Progress(
            row["position"],
            row["line"],
            row["lines_read"],
            row["lines_accepted"],
            row["lines_refused"],
            row["lines_skipped"],
            row["events_sent"],
            _FOUND.decode(row["sent"]),
        )
        self._stride = tools.gait.stride()
        self._log = logs.get(__name__).bind(import_id=self.import_id)

    async def check(self) -> bool:
        """The first pass; False when the import waits for its owner now. Fenced, Unreadable."""
        layout = await self._read_layout()
        translator = self._translator(layout)
        total, shown = Sum(), time.monotonic()
        # A mapping takes most of the time there is, so without an announced sum it need not be asked twice.
        sums_up = bool(self._order.amounts) or not self._order.mapping
        async for lines in self._blocks(layout, layout.position, layout.line):
            for line in lines if sums_up else ():
                total.add(translator.moneys(line))
                await self._stride.breathe()
            total.lines += len(lines)
            if time.monotonic() - shown > _SEEN_SECONDS:
                shown = time.monotonic()
                await self._surely(lambda connection: store.seen(connection, self._work, total.lines))
        found = total.found()
        problem = " ".join(disagreements(self._order, found))
        self._layout = layout
        self._progress = Progress(layout.position, layout.line)
        sums, text = _JSON.encode(found).decode(), (_JSON.encode(layout).decode(), self._progress)
        await self._surely(lambda connection: store.checked(connection, self._work, (found.lines, sums), text, problem))
        return not problem

    async def send(self) -> None:
        """The second pass, from where it was left. Fenced, Unreadable."""
        assert self._layout is not None
        translator = self._translator(self._layout)
        async for lines in self._blocks(self._layout, self._progress.position, self._progress.line):
            await self._tools.gait.spend(len(lines))
            terms = self._terms()
            block = []
            for line in lines:
                block.append(judge(line, translator, terms))
                await self._stride.breathe()
            await self._publish(block, translator, terms)
            self._tools.crash.reach("import_published")
            await self._write_down(block)
        await self._surely(lambda connection: store.finish(connection, self._work, clock.now()))

    async def _publish(self, block: list[Judged], translator: Translator, terms: Terms) -> None:
        """Returns when Kafka has the whole block, however long that takes."""
        good = Outcome([each for judged in block for each in judged.accepted])
        bad = [
            (Outcome([each], single=True), msgspec.structs.replace(terms, context=translator.context(judged.line)))
            for judged in block
            for each in judged.rejected
        ]
        reception = self._tools.reception

        async def take() -> None:
            await asyncio.gather(*(reception.take(outcome, own, live=False) for outcome, own in bad))
            if bad and not reception.acknowledged:
                raise BrokerAway("the refused lines were not kept")
            if good.verdicts:
                await reception.take(good, terms, live=False)

        await self._patiently(take)

    async def _write_down(self, block: list[Judged]) -> None:
        before, self._progress = self._progress, advanced(self._progress, block)
        progress, refused = self._progress, refused_lines(block)
        sent = _JSON.encode(progress.sent).decode()
        await self._surely(lambda connection: store.advance(connection, self._work, progress, sent, refused))
        self._tools.note(before, progress)
        if progress.refused > self._tools.refused_lines_max:
            raise Unreadable(
                f"More than {self._tools.refused_lines_max} lines were refused. Mend the file and send it again: "
                "what was accepted has no second effect."
            )

    async def _surely(self, write: Callable[[Any], Awaitable[bool]]) -> None:
        """Fenced when the import is not ours any more."""

        async def written() -> bool:
            async with self._tools.database.connection() as connection:
                return await write(connection)

        if not await self._patiently(written):
            raise Fenced(f"import {self.import_id} is not ours any more")

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Until Kafka or PostgreSQL, whichever is away, has come back."""
        for attempt in itertools.count():
            try:
                return await work()
            except (Transient, TimeoutError) as error:
                if attempt == 1:
                    self._log.warning("an import waits", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
        raise AssertionError

    async def _read_layout(self) -> Layout:
        beginning = bytearray()
        async for piece in self._pieces(0):
            beginning += piece
            if len(beginning) > 2 * LINE_BYTES_MAX + BREAKS_MAX:
                break
        return layout_of(self._order, bytes(beginning))

    async def _blocks(self, layout: Layout, position: int, number: int) -> AsyncIterator[list[Line]]:
        """All lines from a place on, in blocks that are bounded in number and in bytes."""
        reader = reader_for(self._order, layout, position, number)
        block: list[Line] = []
        size = 0
        async for piece in self._pieces(position):
            for start in range(0, len(piece), _SLICE_BYTES):
                for line in reader.feed(piece[start : start + _SLICE_BYTES]):
                    block.append(line)
                    size += len(line.raw)
                    if len(block) >= BLOCK_LINES_MAX or size >= BLOCK_BYTES_MAX:
                        yield block
                        block, size = [], 0
                await self._stride.breathe()
        for line in reader.finish():
            block.append(line)
            if len(block) >= BLOCK_LINES_MAX:
                yield block
                block = []
        if block:
            yield block

    async def _pieces(self, position: int) -> AsyncIterator[bytes]:
        """The file's bytes from a place on, inflated."""
        chunks = self._chunks(0)
        first = await anext(chunks, None)
        if first is None:
            return
        inflater = inflater_for(first[1], self._order.encoding, self._tools.file_bytes_max)
        if type(inflater) is Plain and position:
            await chunks.aclose()
            chunks = self._chunks(position)
            first = await anext(chunks, None)
            if first is None:
                return
        place = first[0]
        while first is not None:
            for piece in inflater.feed(first[1]):
                # What lies before the place is passed over: a compressed file can be read from its beginning alone.
                begin = max(0, position - place)
                place += len(piece)
                if begin < len(piece):
                    yield piece[begin:]
                await self._stride.breathe()
            first = await anext(chunks, None)
        inflater.finish()

    async def _chunks(self, place: int) -> AsyncGenerator[tuple[int, bytes], None]:
        number = 1 if place == 0 else _CHUNKS_AT_ONCE
        while rows := await self._fetched(place, number):
            for row in rows:
                place = row["start"] + len(row["bytes"])
                yield row["start"], row["bytes"]
            number = _CHUNKS_AT_ONCE

    async def _fetched(self, place: int, number: int) -> list[Row]:
        async def fetched() -> list[Row]:
            async with self._tools.database.connection() as connection:
                return await store.chunks(connection, self.import_id, place, number)

        return await self._patiently(fetched)

    def _translator(self, layout: Layout) -> Translator:
        mapping = self._tools.mappings.get(self._order.mapping) if self._order.mapping else None
        if self._order.mapping and mapping is None:
            raise Unreadable(f"There is no mapping named {self._order.mapping!r} any more.")
        return Translator(self._order, layout, mapping, self._uploaded_at)

    def _key(self) -> WriteKey:
        key = self._tools.reception.registry.keys.get(self._key_id)
        if key is None:
            raise Unreadable("The write key that sent it was revoked.")
        return key

    def _terms(self) -> Terms:
        """The moment is the one when the file was complete, so that each reading of a line says the same."""
        terms = self._tools.reception.terms(self._key(), f"imports/{self.import_id}")
        late = terms.now - self._uploaded_at
        return msgspec.structs.replace(
            terms, now=self._uploaded_at, oldest=terms.oldest - late, newest=terms.newest - late
        )

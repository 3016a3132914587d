"""How does the log get into the folder? From where the last export ended, a piece at a time; the erased are taken out.

Whoever is erased has a last event in the log that says so. When it is exported, all that the older files of its
partition hold of that customer is taken out first, and the piece with that event appears after: an export that is
interrupted finds it again.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from libs.common import clock, progress
from libs.common.errors import Misconfigured
from libs.common.events import ERASED, EventResolved
from libs.common.kafka import Earlier, History, Received
from services.rules.archive import files
from services.rules.archive.files import Row
from services.rules.archive.reading import About, checked

ROWS_MAX = 20_000
"""In memory for each partition, and in one file."""
_event = msgspec.json.Decoder(EventResolved)


class Exported(NamedTuple):
    """How many messages were written into how many files, how many customers were taken out, and what was no event."""

    messages: int
    files: int
    erased: int
    unreadable: int


class Log(NamedTuple):
    """Where the history is."""

    bootstrap: str
    prefix: str
    topic: str
    partitions: int


async def export(log: Log, folder: Path) -> Exported:
    """All that the log holds now and the folder does not. BrokerAway, Misconfigured."""
    files.arrow()
    checked(folder, About(log.topic, log.partitions), make=True)
    with _alone(folder):
        files.sweep(folder)
        begins = {partition: own[-1].end for partition, own in files.pieces(folder).items()}
        writers = [_Writer(folder, each, begins.get(each)) for each in range(log.partitions)]
        async with History(
            log.bootstrap,
            prefix=log.prefix,
            name=log.topic,
            partitions=log.partitions,
            since_ms=0,
            until_ms=1 << 62,
            earlier=Earlier(begins, {}, 0, None),
        ) as history:
            async for chunk in history.chunks():
                for append_ms, partition, messages in chunk:
                    for message in messages:
                        writers[partition].take(append_ms, message)
        for writer in writers:
            writer.finish()
    return Exported(*(sum(counts) for counts in zip(*(writer.done for writer in writers), strict=True)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two at once would write the same offsets twice."""
    with (folder / "exporting.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Misconfigured(f"another export into {folder} is under way") from error
        yield


class _Writer:
    """One partition. `begin` is None where nothing of it has been written yet."""

    def __init__(self, folder: Path, partition: int, begin: int | None) -> None:
        self._folder = folder
        self._partition = partition
        self._begin = begin
        self._rows: list[Row] = []
        self._day: date | None = None
        self._erased: set[str] = set()
        self.done = Exported(0, 0, 0, 0)

    def take(self, append_ms: int, message: Received) -> None:
        day = clock.from_ms(append_ms).date()
        if self._rows and (day != self._day or len(self._rows) >= ROWS_MAX):
            self._write(message.offset)
        self._day = day
        if self._begin is None:
            self._begin = message.offset
        row = _row(append_ms, message)
        if row is None:
            self.done = self.done._replace(unreadable=self.done.unreadable + 1)
            return
        if row.event is not None and row.event.type == ERASED:
            self._erased.add(row.event.customer_id)
        self._rows.append(row)

    def finish(self) -> None:
        if self._rows:
            self._write(self._rows[-1].offset + 1)

    def _write(self, end: int) -> None:
        assert self._begin is not None
        if self._erased:
            for piece in files.pieces(self._folder).get(self._partition, ()):
                files.forget(piece, self._erased)
        rows = [each for each in self._rows if not self._is_gone(each)]
        files.write(self._folder, self._partition, self._begin, end, rows)
        self.done = Exported(
            self.done.messages + len(rows),
            self.done.files + 1,
            self.done.erased + len(self._erased),
            self.done.unreadable,
        )
        self._begin, self._rows = end, []
        self._erased.clear()

    def _is_gone(self, row: Row) -> bool:
        return row.event is not None and row.event.type != ERASED and row.event.customer_id in self._erased


def _row(append_ms: int, message: Received) -> Row | None:
    about: Mapping[str, bytes] = dict(message.headers)
    if message.value is None:
        origin, mark_ms = progress.read_stamp(about[progress.MARK]) if progress.MARK in about else ("", 0)
        return Row(message.offset, append_ms, origin, 0, mark_ms) if origin else None
    try:
        event = _event.decode(message.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    origin, seq = progress.read_stamp(about[progress.ORIGIN]) if progress.ORIGIN in about else ("", 0)
    return Row(message.offset, append_ms, origin, seq, 0, event)

"""When does a unit say how far it has come? Each second while it tells something, and seldom where nothing happens."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from libs.common import lease, progress
from libs.common.crashpoints import CrashPoints
from libs.common.kafka import Record
from libs.common.topics import EVENT_RESOLVED
from libs.common.unit.book import REST_MS, Book
from libs.common.unit.shapes import Floor, WorkerSpec

UNITS = 8
START_MS = 1_772_000_000_000


class Log:
    """What a publisher would have sent."""

    timeout_seconds = 10.0

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def publish(self, records: list[Record]) -> None:
        self.records += records

    def marks(self, unit: int) -> list[int]:
        return [progress.read_stamp(each.headers[0][1])[1] for each in self.records if each.partition == unit]


def book_on(log: Log) -> Book:
    floor = cast(Any, SimpleNamespace(publisher=log, units=UNITS, crash=CrashPoints(), instance="me", database=None))
    taken = cast(lease.Lease, SimpleNamespace(unit=0, epoch=1, progress="{}", revision=0))
    return Book(WorkerSpec("profile.apply", inputs=[], outputs=[EVENT_RESOLVED]), cast(Floor, floor), taken)


def seconds(book: Book, first: int, count: int, *, tells: bool) -> None:
    """Ticks of a unit, a second each, that reads to the end of its log."""

    async def play() -> None:
        for second in range(first, first + count):
            book.progress.clock_ms = START_MS + 1000 * second + 7
            book.progress.seq += tells
            await book.publish_marks()

    asyncio.run(play())


def test_a_unit_that_tells_something_says_each_second_how_far_it_has_come() -> None:
    log = Log()
    seconds(book_on(log), 0, 60, tells=True)
    assert all(log.marks(unit) == [START_MS + 1000 * second + 7 for second in range(60)] for unit in range(UNITS))


def test_a_unit_at_rest_says_so_seldom_and_what_it_tells_is_followed_by_a_mark_at_once() -> None:
    log = Log()
    book = book_on(log)
    seconds(book, 0, 60, tells=False)
    said = log.marks(3)
    assert len(said) == 60_000 // REST_MS
    assert max(later - before for before, later in zip(said, said[1:], strict=False)) <= REST_MS
    seconds(book, 60, 60, tells=False)
    before = len(log.marks(3))
    seconds(book, 121, 1, tells=True)
    assert log.marks(3)[before:] == [START_MS + 121_007]


def test_units_at_rest_speak_in_the_same_second() -> None:
    """The clock of a reader is the least of their marks: one that speaks at its own time would hold up all others."""
    logs = [Log() for _ in range(3)]
    for number, log in enumerate(logs):
        seconds(book_on(log), number, 120, tells=False)
    spoke = [{at // 1000 for at in log.marks(0)[1:]} for log in logs]
    assert len(spoke[0] & spoke[1] & spoke[2]) > 20

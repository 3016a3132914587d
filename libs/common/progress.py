"""How far has a unit read, what has it seen of whom, and what time is it there? Pure bookkeeping, kept in its row.

Every message that a worker publishes carries its origin unit and a number that only grows (`seq`); a reader keeps the
highest of each origin and so knows every repeat, exactly and in constant space. Between messages an origin sends marks:
"everything that I will ever send about events appended before t has been sent". The least mark is the unit's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

ORIGIN = "origin"
MARK = "mark"


class Progress(Struct):
    """`positions` next offset by topic; `seen` and `marks` by topic and origin unit; `clock_ms` never goes back."""

    positions: dict[str, int] = {}
    seen: dict[str, dict[str, int]] = {}
    marks: dict[str, dict[str, int]] = {}
    read_ms: dict[str, int] = {}
    seq: int = 0
    clock_ms: int = 0
    marked_ms: int = 0
    snapshot: int = 0

    def is_repeat(self, topic: str, origin: str, seq: int) -> bool:
        """Notes the message and says whether it, or a later one of the same origin, was here before."""
        seen = self.seen.setdefault(topic, {})
        if seen.get(origin, 0) >= seq:
            return True
        seen[origin] = seq
        return False

    def note_mark(self, topic: str, origin: str, mark_ms: int) -> None:
        marks = self.marks.setdefault(topic, {})
        if marks.get(origin, 0) < mark_ms:
            marks[origin] = mark_ms

    def note_read(self, topic: str, next_offset: int, append_ms: int) -> None:
        self.positions[topic] = next_offset
        if append_ms > self.read_ms.get(topic, 0):
            self.read_ms[topic] = append_ms

    def advance_clock(self, marked: Iterable[str], read_to_end_ms: Mapping[str, int | None], units: int) -> int:
        """Move the clock to the least of what its sources vouch for; 0 while one of them has not spoken yet.

        A topic in `marked` vouches by the least mark of all `units` of its producer; any other (the keys of
        `read_to_end_ms`) by how far this unit has read: now at the end of the log, else the append time of the last
        message read.
        """
        by_marks = [self._least_mark(topic, units) for topic in marked]
        by_reading = [max(end or 0, self.read_ms.get(topic, 0)) for topic, end in read_to_end_ms.items()]
        self.clock_ms = max(self.clock_ms, min(by_marks + by_reading, default=0))
        return self.clock_ms

    def _least_mark(self, topic: str, units: int) -> int:
        marks = self.marks.get(topic, {})
        return min(marks.values()) if len(marks) == units else 0


def decode(text: str | bytes) -> Progress:
    return msgspec.json.decode(text, type=Progress)


def encode(progress: Progress) -> str:
    return msgspec.json.encode(progress).decode()


def origin_of(worker: str, unit: int) -> str:
    return f"{worker}/{unit}"


def stamp(origin: str, number: int) -> bytes:
    return f"{origin}:{number}".encode()


def read_stamp(value: bytes) -> tuple[str, int]:
    """Origin and number of an `origin` or `mark` header; ValueError when it is not one."""
    origin, _, number = value.rpartition(b":")
    return origin.decode(), int(number)

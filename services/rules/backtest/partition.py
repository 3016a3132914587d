"""What has been read of one partition: whose messages up to which number, and what time it is there? Pure.

As `libs.common.progress` keeps it for a unit of a live worker, for one topic alone and with little for each message.
"""

from __future__ import annotations

from collections.abc import Sequence

from libs.common import progress

_ORIGIN = progress.ORIGIN
Headers = Sequence[tuple[str, bytes]]


class Partition:
    """`clock_ms` is the least mark of all `units` that produce the log; 0 while one of them has not spoken yet."""

    __slots__ = ("_marks", "_seen", "_units", "clock_ms")

    def __init__(self, units: int) -> None:
        self._units = units
        self._seen: dict[bytes, int] = {}
        self._marks: dict[bytes, int] = {}
        self.clock_ms = 0

    def is_repeat(self, headers: Headers) -> bool:
        """Notes the message and says whether it, or a later one of the same origin, was here before."""
        for name, stamp in headers:
            if name == _ORIGIN:
                origin, _, number = stamp.rpartition(b":")
                seq = int(number)
                if self._seen.get(origin, 0) >= seq:
                    return True
                self._seen[origin] = seq
        return False

    def note_mark(self, headers: Headers) -> None:
        marks = self._marks
        for name, stamp in headers:
            if name == progress.MARK:
                origin, _, number = stamp.rpartition(b":")
                at_ms = int(number)
                if marks.get(origin, 0) < at_ms:
                    marks[origin] = at_ms
                    if len(marks) == self._units:
                        self.clock_ms = min(marks.values())

"""What becomes of a message that can never be handled? It is kept as it came, with its reason, and can be redriven."""

from __future__ import annotations

import time
from collections import deque

from libs.common.kafka import Headers, Received, Record
from libs.common.unit.shapes import WorkerSpec

BURIED_PER_MINUTE_MAX = 200
_REASON_LENGTH_MAX = 2000


def dead_letter(
    spec: WorkerSpec, unit: int, topic: str, record: Received, reason: str, stamp: tuple[str, bytes]
) -> Record:
    """The record for the dead-letter topic; one that died before keeps where it first came from."""
    about = dict(record.headers)
    again = topic == spec.dead_letters
    headers: Headers = [
        stamp,
        ("worker", spec.name.encode()),
        ("reason", reason[:_REASON_LENGTH_MAX].encode("utf-8", "replace")),
        ("topic", about["topic"] if again and "topic" in about else topic.encode()),
        ("partition", str(unit).encode()),
        ("offset", about["offset"] if again and "offset" in about else str(record.offset).encode()),
        ("attempts", str(int(about.get("attempts", b"0")) + 1 if again else 1).encode()),
    ]
    return Record(spec.dead_letters, unit, record.key, record.value, headers)


class Pace:
    """Rather than bury a whole topic a unit stands still: that many dead letters are a fault of ours."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def allows(self, count: int) -> bool:
        """Whether `count` more may be buried now; a single batch may always be, however large."""
        horizon = time.monotonic() - 60
        while self._times and self._times[0] < horizon:
            self._times.popleft()
        return not self._times or len(self._times) + count <= BURIED_PER_MINUTE_MAX

    def note(self, count: int) -> None:
        self._times.extend([time.monotonic()] * count)

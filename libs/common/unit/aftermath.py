"""What may an old producer still do to a compacted topic? Its late write would stand as the newest of a key for good.

A process that lost a unit, or a producer that was given up, can have one batch on its way: the one that is still in the
outbox. Readers drop it as a repeat, but compaction goes by place in the log. So its keys are watched, and once nothing
of the old producer can arrive any more their last records are published again, under their old numbers.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from libs.common.kafka import Record


class Aftermath:
    """Watches keys of the given topics; `seconds` is how long an old producer's write may take to arrive."""

    def __init__(self, compacted: Collection[str], seconds: float) -> None:
        self._compacted = frozenset(compacted)
        self._seconds = seconds
        self._last: dict[tuple[str, bytes | None], Record] = {}
        self._over = 0.0

    def watch(self, records: Sequence[Record]) -> None:
        """These may arrive once more, behind what is published from now on."""
        found = {(record.topic, record.key): record for record in records if record.topic in self._compacted}
        if found:
            self._last |= found
            self._over = time.monotonic() + self._seconds

    def note(self, records: Sequence[Record]) -> None:
        """These have been published now; of a watched key the newest counts."""
        if self._last:
            for record in records:
                if (record.topic, record.key) in self._last:
                    self._last[record.topic, record.key] = record

    def due(self) -> list[Record]:
        """What is to be published again now; empty until the time is over, and afterwards."""
        if not self._last or time.monotonic() < self._over:
            return []
        records = list(self._last.values())
        self._last.clear()
        return records

"""When was the work done, and what did it cost? From the first batch that is through to the last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.load import cores


class Meter:
    """Told of each batch once it is committed and published; the first one only starts the watch."""

    def __init__(self, total: int, watched: Mapping[str, int]) -> None:
        self.finished = asyncio.Event()
        self._total = total
        self._watched = watched
        self._count = 0
        self._first = 0
        self._before: dict[str, float] = {}
        self._spent: dict[str, float] = {}

    def note(self, count: int) -> None:
        self._count += count
        if not self._before:
            self._first, self._before = self._count, self._read()
        if self._count >= self._total and not self._spent:
            now = self._read()
            self._spent = {name: now[name] - self._before[name] for name in now}
            self.finished.set()

    @property
    def missing(self) -> int:
        return max(0, self._total - self._count)

    def report(self) -> dict[str, Any]:
        """Events within the watch, its seconds, and CPU seconds: ours, those of the watched, and of all others."""
        spent = dict(self._spent)
        seconds, machine = spent.pop("seconds"), spent.pop("machine")
        foreign = max(0.0, machine - sum(spent.values()))
        return {"events": self._total - self._first, "seconds": seconds, "cpu": spent, "foreign": foreign}

    def _read(self) -> dict[str, float]:
        watched = {name: cores.cpu_seconds(pid) for name, pid in self._watched.items()}
        return {
            **watched,
            "process": time.process_time(),
            "machine": cores.busy_seconds(),
            "seconds": time.perf_counter(),
        }

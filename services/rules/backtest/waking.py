"""What is due when the clock of a unit has come so far? Timers in memory, in the order in which they fire. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from services.rules.engine.firing import Due

_STALE_MAX = 10_000


class Timers:
    """The timers of one unit: setting one again moves it, as it does in the table of the live engine."""

    def __init__(self) -> None:
        self._set: dict[str, Due] = {}
        self._order: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._set)

    def is_due(self, ready_ms: int) -> bool:
        """False when nothing can be; true may be wrong."""
        return bool(self._order) and self._order[0][0] <= ready_ms

    def put(self, wanted: Iterable[Due]) -> None:
        for due in wanted:
            self._set[due.key] = due
            heapq.heappush(self._order, (due.due_ms, due.key))

    def cancel(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._set.pop(key, None)
        if len(self._order) > 2 * len(self._set) + _STALE_MAX:
            self._order = [(due.due_ms, due.key) for due in self._set.values()]
            heapq.heapify(self._order)

    def pop(self, ready_ms: int, count_max: int) -> list[Due]:
        """Take out what is due, in the order of due instant and key."""
        found: list[Due] = []
        while self._order and self._order[0][0] <= ready_ms and len(found) < count_max:
            due_ms, key = heapq.heappop(self._order)
            due = self._set.get(key)
            # What was moved or taken back meanwhile still has its old place in the order.
            if due is not None and due.due_ms == due_ms:
                found.append(self._set.pop(key))
        return found

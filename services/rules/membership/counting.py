"""How many people are in each segment? Counted now and then, by one process for all, beside the traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from libs.common.db import Database
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from services.rules.membership import store

SEGMENTS_MAX = 200
"""Of so many there is a label."""
EVERY_SECONDS = 10.0
"""Of looking what there is to count, and what others have counted."""


class MemberCounting(Recurring):
    """A component. `in_force` names the segments that are counted; a label of another one is taken back."""

    def __init__(self, database: Database, metrics: Metrics, in_force: Callable[[], Iterable[str]]) -> None:
        super().__init__("segment-members", self._turn, metrics)
        self._database = database
        self._in_force = in_force
        self._shown: set[str] = set()
        self._members = metrics.gauge("segment_members_number", "People in a segment that is in force.", ["segment"])

    async def _turn(self) -> float:
        wanted = sorted(self._in_force())
        # Each by itself: nothing is held for as long as all of them take.
        for _ in wanted:
            async with self._database.transaction() as tx:
                if not await store.count_next(tx, wanted):
                    break
        async with self._database.connection() as connection:
            found = await store.counted(connection, wanted[:SEGMENTS_MAX])
        for id in self._shown - found.keys():
            self._members.remove(id)
        for id, each in found.items():
            self._members.labels(id).set(each.people)
        self._shown = set(found)
        return EVERY_SECONDS

"""How many people are in each segment? Counted now and then, beside the traffic, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from libs.common.db import Database
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from services.rules.membership import store

SEGMENTS_MAX = 200
EVERY_SECONDS = 60.0


class MemberCounting(Recurring):
    """A component. `in_force` names the segments that are counted; a label of another one is taken back."""

    def __init__(self, database: Database, metrics: Metrics, in_force: Callable[[], Iterable[str]]) -> None:
        super().__init__("segment-members", self._turn, metrics)
        self._database = database
        self._in_force = in_force
        self._shown: set[str] = set()
        self._members = metrics.gauge("segment_members_number", "People in a segment that is in force.", ["segment"])

    async def _turn(self) -> float:
        wanted = sorted(self._in_force())[:SEGMENTS_MAX]
        async with self._database.connection() as connection:
            found = await store.counts(connection, wanted)
        for id in self._shown - found.keys():
            self._members.remove(id)
        for id, people in found.items():
            self._members.labels(id).set(people)
        self._shown = set(found)
        return EVERY_SECONDS

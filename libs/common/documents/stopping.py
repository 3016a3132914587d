"""Who stops a document that went over a limit? A round every two seconds, or at once while there are more notes."""

from __future__ import annotations

import time

from libs.common import clock, logs
from libs.common.db import Database
from libs.common.documents import guarding
from libs.common.documents.guarding import AskGuards, GuardedKind, Stopped
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring

EVERY_SECONDS = 2.0
TRIM_SECONDS = 3_600.0


class Guardian(Recurring):
    """A component. `guards` asks what the company has settled."""

    def __init__(
        self,
        database: Database,
        kind: GuardedKind,
        guards: AskGuards,
        metrics: Metrics,
    ) -> None:
        super().__init__(f"{kind.name}-guard", self.turn, metrics)
        self._database = database
        self._kind = kind
        self._guards = guards
        self._pauses = metrics.counter(
            "guard_pauses_total", "Documents that went over a limit and were paused, by limit.", ["limit"]
        )
        self._trim_at = 0.0
        self._log_of_guard = logs.get("guard").bind(kind=kind.name)

    async def turn(self) -> float:
        more = await self._look()
        if time.monotonic() >= self._trim_at:
            async with self._database.transaction() as tx:
                await guarding.trim(tx)
            self._trim_at = time.monotonic() + TRIM_SECONDS
        return 0.0 if more else EVERY_SECONDS

    async def _look(self) -> bool:
        """Looks at what the oldest notes name; whether there may be more of them.

        A transaction for every few documents: what one has paused stays so whatever becomes of the next, and none
        lasts as long as all of them, when the limits of a whole company are changed.
        """
        async with self._database.connection() as connection:
            notes = await guarding.notes(connection, self._kind.name)
        for ids in notes.slices():
            async with self._database.transaction() as tx:
                stopped = await guarding.guard(tx, self._kind, ids, self._guards, clock.now())
            if stopped is None:
                return False
            for each in stopped:
                self._tell(each)
        if notes.numbers:
            async with self._database.transaction() as tx:
                await guarding.forget(tx, notes.numbers)
        return notes.full

    def _tell(self, stopped: Stopped) -> None:
        for share in stopped.over:
            self._pauses.labels(share.name).inc()
            self._log_of_guard.warning(
                "guard_paused",
                id=stopped.id,
                version=stopped.version,
                limit=share.name,
                count=share.count,
                of=share.of,
                limit_percent=share.limit_percent,
            )

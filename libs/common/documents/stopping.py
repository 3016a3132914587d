"""Who stops a document that went over a limit? A round every two seconds, by one process at a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfo

from libs.common import clock, logs
from libs.common.db import Database
from libs.common.documents import guarding
from libs.common.documents.guarding import GuardedKind, Stopped
from libs.common.documents.limits import Guards
from libs.common.documents.shapes import Connection
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring

EVERY_SECONDS = 2.0
TRIM_SECONDS = 3_600.0


class Guardian:
    """A component. `guards` asks what the company has settled."""

    def __init__(
        self,
        database: Database,
        kind: GuardedKind,
        guards: Callable[[Connection], Awaitable[Guards]],
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._kind = kind.name
        self._guards = guards
        self._zone = ZoneInfo(kind.zone)
        self._recurring = Recurring(f"{kind.name}-guard", self.turn, metrics)
        self._pauses = metrics.counter(
            "guard_pauses_total", "Documents that went over a limit and were paused, by limit.", ["limit"]
        )
        self._trim_at = 0.0
        self._log = logs.get("guard").bind(kind=kind.name)

    async def start(self) -> None:
        await self._recurring.start()

    async def stop(self) -> None:
        await self._recurring.stop()

    async def failed(self) -> None:
        await self._recurring.failed()

    async def turn(self) -> float:
        async with self._database.transaction() as tx:
            today = clock.now().astimezone(self._zone).date()
            stopped = await guarding.guard(tx, self._kind, await self._guards(tx), today)
        for each in stopped or ():
            self._tell(each)
        if time.monotonic() >= self._trim_at:
            async with self._database.transaction() as tx:
                await guarding.trim(tx)
            self._trim_at = time.monotonic() + TRIM_SECONDS
        return EVERY_SECONDS

    def _tell(self, stopped: Stopped) -> None:
        for standing in stopped.over:
            self._pauses.labels(standing.name).inc()
            self._log.warning(
                "guard_paused",
                id=stopped.id,
                version=stopped.version,
                limit=standing.name,
                count=standing.count,
                of=standing.of,
                limit_percent=standing.limit_percent,
            )

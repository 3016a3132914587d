"""For how long is it known what fired? A part of the log is ready for each month, and what is over goes."""

from __future__ import annotations

from datetime import timedelta

from libs.common import clock
from libs.common.db import Database
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from services.rules import store

DAYS_KEPT = 400
_EVERY_SECONDS = 3600.0


class LogKeeping:
    """A component: nothing fires before there is a part to log it in."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._recurring = Recurring("trigger-log", self._turn, metrics)

    async def start(self) -> None:
        await self._arrange()
        await self._recurring.start()

    async def stop(self) -> None:
        await self._recurring.stop()

    async def failed(self) -> None:
        await self._recurring.failed()

    async def _turn(self) -> float:
        await self._arrange()
        async with self._database.transaction() as tx:
            await store.trim_logs(tx, clock.now() - timedelta(days=DAYS_KEPT))
        return _EVERY_SECONDS

    async def _arrange(self) -> None:
        async with self._database.transaction() as tx:
            await store.arrange_months(tx, clock.now().date(), DAYS_KEPT)

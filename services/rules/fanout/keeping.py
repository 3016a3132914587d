"""How many events are still on their way to customers, and for how long is it known what became of them?"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from libs.common import clock
from libs.common.db import Database
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from services.rules.fanout import store

KEPT: Final = timedelta(days=60)
"""Longer than an event may come in again: what is forgotten could begin anew."""
_EVERY_SECONDS: Final = 10.0


class FanoutKeeping(Recurring):
    """A component. Nothing waits for it."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        super().__init__("fanouts", self._turn, metrics)
        self._database = database
        self._running = metrics.gauge("fanouts_running_number", "Events without a person on their way to customers.")
        self._left = metrics.gauge("fanout_left_customers", "Customers who have had no turn in them yet, in all units.")

    async def _turn(self) -> float:
        async with self._database.transaction() as tx:
            await store.trim(tx, clock.now() - KEPT)
            running, left = await store.figures(tx.connection)
        self._running.set(running)
        self._left.set(left)
        return _EVERY_SECONDS

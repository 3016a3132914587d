"""For how long is it known what fired? A part of the log is ready for each month, and what is over goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from functools import partial

from libs.common import clock
from libs.common.db import Database, Tx
from libs.common.errors import DangolError
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from services.rules import store

DAYS_KEPT = 400
_EVERY_SECONDS = 3600.0


class LogKeeping(Recurring):
    """A component. Nothing waits for it: what has no part of its own yet lies in the last one, and is moved."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        super().__init__("trigger-log", self._turn, metrics)
        self._database = database

    async def _turn(self) -> float:
        await arrange(self._database, clock.now().date())
        async with self._database.transaction() as tx:
            await store.trim_logs(tx, clock.now() - timedelta(days=DAYS_KEPT))
        return _EVERY_SECONDS


async def arrange(database: Database, today: date) -> None:
    """Each month by itself: what cannot be done now keeps nothing else from being done. Raises the first failure."""
    async with database.connection() as connection:
        missing, over = await store.months_to_arrange(connection, today, DAYS_KEPT)
    steps: list[Callable[[Tx], Awaitable[None]]] = [partial(store.add_month, month=each) for each in missing]
    steps += [partial(store.drop_month, part=each) for each in over]
    failures = []
    for step in steps:
        try:
            async with database.transaction() as tx:
                await step(tx)
        except DangolError as error:
            failures.append(error)
    if failures:
        raise failures[0]

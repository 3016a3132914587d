"""Resolved events in; what campaigns may be for is kept, and nothing goes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from msgspec import Struct

from libs.common import clock
from libs.common.db import Database
from libs.common.events import ERASED, EventResolved, Fact
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from libs.common.unit import Message, UnitTx
from services.campaign.results import store
from services.campaign.results.goals import ALWAYS, done_of

DAYS_KEPT = 400
_EVERY_SECONDS = 3600.0
_LOOK_EVERY_SECONDS = 2.0


class Gathering:
    """A worker of its own: however far behind it is, no decision waits for it."""

    def __init__(self) -> None:
        self._asked: frozenset[str] = frozenset()
        self._looked: float | None = None

    async def on_resolved(self, batch: Sequence[Message[EventResolved]], tx: UnitTx) -> Sequence[Fact]:
        wanted = ALWAYS | await self._wanted(tx)
        oldest = tx.now - timedelta(days=DAYS_KEPT)
        found = [done for each in batch if (done := done_of(each.event, wanted)) is not None]
        erased = {each.event.customer_id for each in batch if each.event.type == ERASED}
        await store.keep(tx, tx.unit, [each for each in found if each.at > oldest and each.customer_id not in erased])
        await store.forget(tx, erased)
        return []

    async def _wanted(self, tx: UnitTx) -> frozenset[str]:
        """The event types that campaigns were ever written for: a goal outlives its campaign by its window."""
        if self._looked is None or time.monotonic() - self._looked > _LOOK_EVERY_SECONDS:
            written = await store.goals_written(tx)
            self._asked = frozenset(msgspec.json.decode(body, type=_Goal).event for _, body in written)
            self._looked = time.monotonic()
        return self._asked


class _Goal(Struct):
    event: str


class Keeping(Recurring):
    """A component: what lies too far back for any report goes."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        super().__init__("results", self._turn, metrics)
        self._database = database

    async def _turn(self) -> float:
        async with self._database.transaction() as tx:
            await store.forget_before(tx, clock.now() - timedelta(days=DAYS_KEPT))
        return _EVERY_SECONDS

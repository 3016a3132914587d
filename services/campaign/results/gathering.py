"""Resolved events in; what campaigns may be for is kept, and nothing goes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

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


class Gathering:
    """A worker of its own: however far behind it is, no decision waits for it. `asked` names the event types that
    campaigns have for goals.
    """

    def __init__(self, asked: Callable[[], frozenset[str]]) -> None:
        self._asked = asked

    async def on_resolved(self, batch: Sequence[Message[EventResolved]], tx: UnitTx) -> Sequence[Fact]:
        wanted = ALWAYS | self._asked()
        oldest = tx.now - timedelta(days=DAYS_KEPT)
        found = [done for each in batch if (done := done_of(each.event, wanted)) is not None]
        erased = {each.event.customer_id for each in batch if each.event.type == ERASED}
        await store.keep(tx, tx.unit, [each for each in found if each.at > oldest and each.customer_id not in erased])
        await store.forget(tx, erased)
        return []


class Keeping:
    """A component: what lies too far back for any report goes."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._recurring = Recurring("results", self._turn, metrics)

    async def start(self) -> None:
        await self._recurring.start()

    async def stop(self) -> None:
        await self._recurring.stop()

    async def failed(self) -> None:
        await self._recurring.failed()

    async def _turn(self) -> float:
        async with self._database.transaction() as tx:
            await store.forget_before(tx, clock.now() - timedelta(days=DAYS_KEPT))
        return _EVERY_SECONDS

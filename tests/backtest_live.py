"""What did the live engine make of what was published, and is it through with it? For tests that compare with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from libs.common import clock, progress
from libs.common.events import RuleTriggered
from libs.common.kafka import Record
from libs.common.topics import EVENT_RESOLVED, TRIGGERED
from tests.log_reading import everything
from tests.rules_place import UNITS, Place

SECONDS_MAX = 60.0


@asynccontextmanager
async def database(place: Place) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        yield connection
    finally:
        await connection.close()


class Given:
    """What was published, and whether the live engine is through with it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._counts = Counter[int]()

    async def publish(self, records: Sequence[Record]) -> None:
        await self._place.publisher.publish(records)
        self._counts.update(record.partition for record in records)

    async def settled(self, clock_ms: int = 0) -> None:
        """All was read; with `clock_ms`, the clocks have come so far and what was due by then has fired."""
        async with database(self._place) as connection, asyncio.timeout(SECONDS_MAX):
            while not await self._has_settled(connection, clock_ms):
                await asyncio.sleep(0.05)

    async def _has_settled(self, connection: Any, clock_ms: int) -> bool:
        rows = await connection.fetch("SELECT unit, progress FROM worker_unit WHERE worker = 'rules.match'")
        units = {row["unit"]: progress.decode(row["progress"]) for row in rows}
        if clock_ms:
            due = await connection.fetchval("SELECT count(*) FROM timer WHERE due <= $1", clock.from_ms(clock_ms))
            return not due and all(each.clock_ms >= clock_ms for each in units.values())
        return all(units[unit].positions.get(EVENT_RESOLVED.name, 0) >= count for unit, count in self._counts.items())


async def emitted(place: Place) -> list[RuleTriggered]:
    async with database(place) as connection:
        records = await everything(
            place.settings.kafka_bootstrap,
            place.settings.topic_prefix,
            TRIGGERED.name,
            range(UNITS),
            wanted=lambda message: message.value is not None,
            connection=connection,
        )
    return [msgspec.json.decode(each.value or b"", type=RuleTriggered) for each in records]

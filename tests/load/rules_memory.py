"""What does the rules service cost without the Kafka client? The service itself, fed from memory.

Run as a process instead of `services.rules`, with the same variables. Before the service starts it reads the whole log
into memory; what the service publishes counts as acknowledged. All else is as it is: leases, transactions, state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.common.kafka import Publisher, Record
from libs.common.runtime import run
from libs.common.topics import EVENT_RESOLVED
from libs.common.unit import runner
from services.rules.app import build
from services.rules.settings import RulesSettings

_log: dict[int, list[Any]] = {}


class MemoryReader:
    """As `UnitReader`, of what was read before."""

    def __init__(self, bootstrap: str, unit: int, names: Sequence[str], **_: object) -> None:
        del bootstrap
        self._names = names
        # The worker of the guards reads another topic, in which nothing lies.
        self._records = _log[unit] if EVENT_RESOLVED.name in names else []
        self._at = 0

    async def start(self, positions: Mapping[str, int]) -> dict[str, int]:
        self._at = positions.get(EVENT_RESOLVED.name, 0)
        return {name: positions.get(name, 0) for name in self._names}

    async def fetch(self, count_max: int, timeout_seconds: float) -> dict[str, list[Any]]:
        found = self._records[self._at : self._at + count_max]
        self._at += len(found)
        if not found:
            await asyncio.sleep(timeout_seconds)
        return {EVENT_RESOLVED.name: found} if found else {}

    def read_to_end_ms(self, name: str) -> int | None:
        del name
        return int(time.time() * 1000)

    def lag(self, name: str, position: int) -> int | None:
        del name, position
        return 0

    async def open_aside(self) -> int:
        return 0

    def close_aside(self) -> None:
        return

    async def stop(self) -> None:
        return


async def _acknowledged(self: Publisher, records: Sequence[Record], seconds_max: float | None = None) -> None:
    del self, records, seconds_max


async def _read(settings: RulesSettings) -> None:
    topic = settings.topic_prefix + EVENT_RESOLVED.name
    partitions = [TopicPartition(topic, unit) for unit in range(settings.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, group_id=None)
    await consumer.start()
    consumer.assign(partitions)
    await consumer.seek_to_beginning()
    ends = await consumer.end_offsets(partitions)
    for partition in partitions:
        _log[partition.partition] = []
    while any(len(_log[each.partition]) < ends[each] for each in partitions):
        for each, records in (await consumer.getmany(timeout_ms=500)).items():
            _log[each.partition] += records
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(_read(RulesSettings()))
    runner.__dict__["UnitReader"] = MemoryReader
    Publisher.publish = _acknowledged  # type: ignore[method-assign]
    run("rules", RulesSettings, build)

"""How does a unit read its partitions, from positions that our own database remembers?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from libs.common.errors import BrokerAway, Misconfigured
from libs.common.kafka.shapes import FETCH_BYTES_MAX, Received


class UnitReader:
    """Reads partition `unit` of several topics, for the one process that owns the unit.

    A reader of its own for each unit: the client keeps one fetch in flight per broker and holds it back while any of
    its partitions has unread data, so units that shared a reader would wait for one another.
    """

    def __init__(
        self,
        bootstrap: str,
        unit: int,
        names: Sequence[str],
        *,
        aside: str,
        prefix: str,
        wait_seconds_max: float = 0.5,
        bytes_max: int = FETCH_BYTES_MAX,
    ) -> None:
        """`aside` is one more topic, which is not read until `open_aside`."""
        self._partitions = {name: TopicPartition(prefix + name, unit) for name in [*names, aside]}
        self._names = {prefix + name: name for name in [*names, aside]}
        self._aside = self._partitions[aside]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=int(wait_seconds_max * 1000),
            max_partition_fetch_bytes=bytes_max,
            metadata_max_age_ms=60_000,
            request_timeout_ms=10_000,
        )

    async def start(self, positions: Mapping[str, int]) -> dict[str, int]:
        """Connect and go to `positions`; a topic without one starts at its oldest message. Returns where it starts."""
        try:
            await self._consumer.start()
            self._consumer.assign(list(self._partitions.values()))
            fresh = [partition for name, partition in self._partitions.items() if name not in positions]
            oldest = await self._consumer.beginning_offsets(fresh) if fresh else {}
        except (KafkaError, OSError) as error:
            raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
        start = {name: positions.get(name, oldest.get(tp, 0)) for name, tp in self._partitions.items()}
        for name, offset in start.items():
            self._consumer.seek(self._partitions[name], offset)
        self.close_aside()
        return start

    async def open_aside(self) -> int:
        """Start to read the topic aside; returns the offset at which it ends now."""
        try:
            end = await self._consumer.end_offsets([self._aside])
        except (KafkaError, OSError) as error:
            raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
        self._consumer.resume(self._aside)
        return int(end[self._aside])

    def close_aside(self) -> None:
        self._consumer.pause(self._aside)

    async def fetch(self, count_max: int, timeout_seconds: float) -> dict[str, list[Received]]:
        """Messages by topic in the order of the log, at most `count_max` of them; empty when none came in time."""
        try:
            found = await self._consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=count_max)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise Misconfigured(
                f"the next message to read is no longer in the log ({error}); nothing is skipped by itself: "
                "restore the log, or move the unit's position by hand after weighing what is lost"
            ) from error
        except (KafkaError, OSError) as error:
            raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
        return {self._names[tp.topic]: messages for tp, messages in found.items() if messages}

    def read_to_end_ms(self, name: str) -> int | None:
        """When this topic was last seen to hold nothing unread, by our clock; None while something is waiting."""
        partition = self._partitions[name]
        highwater = self._consumer.highwater(partition)
        polled = self._consumer.last_poll_timestamp(partition)
        if highwater is None or polled is None or polled < 0:
            return None
        state = self._consumer._subscription.subscription.assignment.state_value(partition)
        return int(polled) if state.has_valid_position and state.position >= highwater else None

    def lag(self, name: str, position: int) -> int | None:
        partition = self._partitions[name]
        # Whoever measures asks also while it is still connecting, and the client takes that for a mistake.
        if partition not in self._consumer.assignment():
            return None
        highwater = self._consumer.highwater(partition)
        return None if highwater is None else max(0, int(highwater) - position)

    async def stop(self) -> None:
        await _close(self._consumer)


class Announcer:
    """Publishes positions under the name of a consumer group, for lag tools alone; nothing of ours reads them back."""

    def __init__(self, bootstrap: str, *, prefix: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._group = group
        self._consumer: AIOKafkaConsumer | None = None
        self._assigned: frozenset[TopicPartition] = frozenset()

    async def announce(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Positions by topic and partition; trouble is nobody's concern here, the next round tries again."""
        offsets = {TopicPartition(self._prefix + topic, unit): at for (topic, unit), at in positions.items()}
        try:
            async with asyncio.timeout(2.0):
                consumer = self._consumer or await self._connect()
                if self._assigned != offsets.keys():
                    self._assigned = frozenset(offsets)
                    consumer.assign(list(offsets))
                    consumer.pause(*offsets)
                    for partition, offset in offsets.items():
                        consumer.seek(partition, offset)
                await consumer.commit(offsets)
        except (KafkaError, OSError, TimeoutError):
            await self.stop()

    async def stop(self) -> None:
        consumer, self._consumer, self._assigned = self._consumer, None, frozenset()
        if consumer is not None:
            await _close(consumer)

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        self._consumer = consumer
        await consumer.start()
        return consumer


async def _close(consumer: AIOKafkaConsumer) -> None:
    """Closing waits for a broker that may be gone; ours does not wait for ever."""
    closing = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([closing], timeout=2.0)
    if not closing.done():
        closing.cancel()
    elif not closing.cancelled():
        closing.exception()

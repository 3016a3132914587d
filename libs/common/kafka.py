"""How do bytes get into Kafka and out of it? The only file that speaks to the client library.

`Publisher` gathers everything that is waiting into one flush and answers all at once; `UnitReader` reads one unit's
partitions from positions that our own database remembers; `ensure_topics` makes the catalogue true.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    for_code,
)

from libs.common import logs, topics
from libs.common.errors import BrokerAway, Misconfigured

MESSAGE_BYTES_MAX = 900_000
"""A larger message is refused before it is committed anywhere: a broker that says no would stop a unit for good."""

_BATCH_BYTES_MAX = 1_000_000
_DAY_MS = 86_400_000

Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    """A message to publish; `topic` is the catalogue's name, without the installation's prefix."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = []


class Received(Protocol):
    """A message as it was read; `timestamp` is when the broker appended it, in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Publisher:
    """Publishes with acks from all replicas; everything queued while a flush is out goes with the next one.

    There is no timer: at rest a record leaves at once, under load flushes grow by themselves. A producer that fails is
    thrown away and made anew, because the client's idempotent producer can wedge for good after a batch expired
    (aio-libs/aiokafka#1017); repeats that follow from this are dropped by the reader.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str = "",
        timeout_seconds: float = 10.0,
        queue_bytes_max: int = 64 << 20,
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._timeout = timeout_seconds
        self._queue_bytes_max = queue_bytes_max
        self._queue: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._queue_bytes = 0
        self._wake = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._log = logs.get("publisher")
        self.rebuilt = 0
        self.healthy = False

    async def start(self) -> None:
        """Begin at once, whether or not the broker is there yet; `publish` says so when it is not."""
        self._task = asyncio.create_task(self._run(), name="publisher")

    async def stop(self) -> None:
        """Send what is queued, then close."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._discard()

    async def publish(self, records: Sequence[Record]) -> None:
        """Returns when every record is acknowledged. BrokerAway: some may have arrived all the same."""
        if not records:
            return
        size = sum(len(record.value or b"") + 100 for record in records)
        if self._queue_bytes + size > self._queue_bytes_max:
            raise BrokerAway("the queue of unacknowledged messages is full")
        if self._stopping:
            raise BrokerAway("shutting down")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((records, done))
        self._queue_bytes += size
        self._wake.set()
        try:
            await done
        finally:
            self._queue_bytes -= size

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            queue, self._queue = self._queue, []
            if queue:
                await self._answer(queue)
            elif self._stopping:
                return
            if self._queue or self._stopping:
                self._wake.set()

    async def _answer(self, queue: Sequence[tuple[Sequence[Record], asyncio.Future[None]]]) -> None:
        trouble: BrokerAway | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await self._flush(record for records, _ in queue for record in records)
            self.healthy = True
        except Exception as error:  # noqa: BLE001 - the loop must outlive any trouble of one flush.
            trouble = BrokerAway(f"Kafka did not acknowledge: {type(error).__name__}: {error}")
            self.healthy = False
            self._log.warning("publish_failed", error=repr(error), waiting=len(queue))
            await self._discard()
        for _, done in queue:
            if done.done():
                continue
            if trouble is None:
                done.set_result(None)
            else:
                done.set_exception(trouble)

    async def _flush(self, records: Iterable[Record]) -> None:
        producer = self._producer or await self._connect()
        by_partition: dict[tuple[str, int], list[Record]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(record)
        acknowledgements: list[asyncio.Future[Any]] = []
        for (topic, partition), group in by_partition.items():
            await self._enqueue(producer, self._prefix + topic, partition, group, acknowledgements)
        for acknowledgement in acknowledgements:
            await acknowledgement

    @staticmethod
    async def _enqueue(
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        group: Sequence[Record],
        acknowledgements: list[asyncio.Future[Any]],
    ) -> None:
        batch = producer.create_batch()
        for _, _, key, value, headers in group:
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                batch.close()
                acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        # An open batch would wait for more until the linger time is over.
        batch.close()
        acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES_MAX,
            max_request_size=4 * _BATCH_BYTES_MAX,
            request_timeout_ms=int(self._timeout * 1000),
            metadata_max_age_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException:
            with contextlib.suppress(KafkaError, OSError):
                await producer.stop()
            raise
        self._producer = producer
        self.rebuilt += 1
        return producer

    async def _discard(self) -> None:
        """Let go of the producer without waiting for what it still holds: that has already been reported as failed."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        closing = asyncio.ensure_future(producer.stop())
        await asyncio.wait([closing], timeout=1.0)
        if not closing.done():
            closing.cancel()
            await asyncio.wait([closing], timeout=1.0)
            await producer.client.close()
        if closing.done() and not closing.cancelled():
            closing.exception()


class UnitReader:
    """Reads partition `unit` of several topics, for the one process that owns the unit.

    A reader of its own for each unit: the client keeps one fetch in flight per broker and holds it back while any of
    its partitions has unread data, so units that shared a reader would wait for one another.
    """

    def __init__(self, bootstrap: str, unit: int, names: Sequence[str], *, aside: str, prefix: str) -> None:
        """`aside` is one more topic, which is not read until `open_aside`."""
        self._partitions = {name: TopicPartition(prefix + name, unit) for name in [*names, aside]}
        self._names = {prefix + name: name for name in [*names, aside]}
        self._aside = self._partitions[aside]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=500,
            max_partition_fetch_bytes=4 * _BATCH_BYTES_MAX,
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
        highwater = self._consumer.highwater(self._partitions[name])
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


async def partition_counts(bootstrap: str, prefix: str, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each topic has; a topic that does not exist is absent."""
    admin = await _admin(bootstrap)
    try:
        described = await admin.describe_topics([prefix + name for name in names])
    finally:
        await admin.close()
    return {
        topic["topic"].removeprefix(prefix): len(topic["partitions"]) for topic in described if not topic["error_code"]
    }


async def ensure_topics(
    bootstrap: str,
    *,
    prefix: str,
    partitions: int,
    replicas: int = 1,
    catalogue: Sequence[topics.Topic] = topics.CATALOGUE,
) -> list[str]:
    """Create what is missing of the catalogue and its dead letters; returns the names that were made.

    Misconfigured: a topic exists with another number of partitions, which would silently move customers to other units.
    """
    wanted = {topic.name: _topic_settings(topic.retention_days) for topic in catalogue}
    wanted |= {topics.dead_letters(topic.owner): _topic_settings(topics.DEAD_LETTER_DAYS) for topic in catalogue}
    for consumer in {consumer.split(".")[0] for topic in catalogue for consumer in topic.consumers}:
        wanted[topics.dead_letters(consumer)] = _topic_settings(topics.DEAD_LETTER_DAYS)
    existing = await partition_counts(bootstrap, prefix, list(wanted))
    check_partitions(existing, partitions)
    missing = [
        NewTopic(prefix + name, partitions, replicas, topic_configs=settings)
        for name, settings in wanted.items()
        if name not in existing
    ]
    if missing:
        await _create(bootstrap, missing)
    return [topic.name.removeprefix(prefix) for topic in missing]


async def _create(bootstrap: str, missing: Sequence[NewTopic]) -> None:
    admin = await _admin(bootstrap)
    try:
        answer = await admin.create_topics(list(missing))
    except TopicAlreadyExistsError:
        return
    finally:
        await admin.close()
    for name, code, *message in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise Misconfigured(f"Kafka refuses to create {name}: {for_code(code).__name__} {message}")


def check_partitions(existing: Mapping[str, int], partitions: int) -> None:
    for name, count in existing.items():
        if count != partitions:
            raise Misconfigured(
                f"topic {name} has {count} partitions and DANGOL_PARTITIONS is {partitions}: customers would move to "
                "other units. Set DANGOL_PARTITIONS to what the topics have."
            )


def _topic_settings(retention_days: int | None) -> dict[str, str]:
    common = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(4 * _BATCH_BYTES_MAX)}
    if retention_days is None:
        return common | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    return common | {"retention.ms": str(retention_days * _DAY_MS)}


async def _admin(bootstrap: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
    except (KafkaConnectionError, OSError) as error:
        await admin.close()
        raise BrokerAway(f"no Kafka at {bootstrap}: {error}") from error
    return admin

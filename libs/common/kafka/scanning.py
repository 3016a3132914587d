"""What lies in a topic at this moment? Read from wherever one was, for whoever looks for something in it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from libs.common.errors import BrokerAway
from libs.common.kafka.shapes import Received

_MESSAGES_AT_ONCE = 500
_SILENCE_SECONDS_MAX = 30.0
# Nobody waits behind this: a broker that is busy for a while is better waited for than given up.
_ANSWER_MS_MAX = 30_000


async def through(
    bootstrap: str, *, prefix: str, name: str, partitions: Collection[int], since: Mapping[int, int] | None = None
) -> AsyncIterator[tuple[int, Received]]:
    """(partition, message) up to where the partitions ended when it began; the event loop breathes in between.

    `since` are the offsets to begin at, by partition, where that is not the oldest message.
    """
    wanted = [TopicPartition(prefix + name, partition) for partition in sorted(partitions)]
    async with _consumer(bootstrap) as consumer:
        consumer.assign(wanted)
        begins, ends = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        for each in wanted:
            begins[each] = max(begins[each], (since or {}).get(each.partition, 0))
            consumer.seek(each, begins[each])
        open_ = {each for each in wanted if begins[each] < ends[each]}
        heard = time.monotonic()
        while open_:
            found = await consumer.getmany(*open_, timeout_ms=200, max_records=_MESSAGES_AT_ONCE)
            for partition, messages in found.items():
                for message in messages:
                    if message.offset < ends[partition]:
                        yield partition.partition, message
            # The last offsets of a compacted log may hold no message any more.
            open_ = {each for each in open_ if await consumer.position(each) < ends[each]}
            heard = time.monotonic() if found else heard
            if time.monotonic() - heard > _SILENCE_SECONDS_MAX:
                raise BrokerAway(f"{name} cannot be read to its end")
            await asyncio.sleep(0)


async def still_there(
    bootstrap: str, *, prefix: str, name: str, places: Collection[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Those of the places (partition, offset) at which there is a message; compaction and age take them away."""
    offsets: dict[TopicPartition, list[int]] = {}
    for partition, offset in sorted(places):
        offsets.setdefault(TopicPartition(prefix + name, partition), []).append(offset)
    found: set[tuple[int, int]] = set()
    async with _consumer(bootstrap) as consumer:
        ends = await consumer.end_offsets(list(offsets))
        for partition, asked in offsets.items():
            consumer.assign([partition])
            while asked and asked[0] < ends[partition]:
                present, reached = await _next_after(consumer, partition, asked[0], ends[partition])
                found.update((partition.partition, each) for each in asked if each in present)
                asked = [each for each in asked if each >= reached]
    return found


async def _next_after(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, end: int
) -> tuple[set[int], int]:
    """The offsets of the next messages from `offset` on, and up to where that is all there are."""
    consumer.seek(partition, offset)
    began = time.monotonic()
    while time.monotonic() - began < _SILENCE_SECONDS_MAX:
        got = await consumer.getmany(partition, timeout_ms=200, max_records=_MESSAGES_AT_ONCE)
        position = await consumer.position(partition)
        if got or position >= end:
            return {message.offset for message in got.get(partition, ())}, max(position, offset + 1)
    raise BrokerAway(f"{partition.topic} cannot be read at {offset}")


@contextlib.asynccontextmanager
async def _consumer(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=_ANSWER_MS_MAX,
    )
    try:
        await consumer.start()
        yield consumer
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
    finally:
        await consumer.stop()

"""What lies in a topic at this moment? All of it from the oldest message on, for whoever looks for something in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from libs.common.errors import BrokerAway
from libs.common.kafka.shapes import Received

_MESSAGES_AT_ONCE = 500
_SILENCE_SECONDS_MAX = 10.0


async def through(
    bootstrap: str, *, prefix: str, name: str, partitions: Collection[int]
) -> AsyncIterator[tuple[int, Received]]:
    """(partition, message) up to where the partitions ended when it began; the event loop breathes in between."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=10_000,
    )
    wanted = [TopicPartition(prefix + name, partition) for partition in sorted(partitions)]
    try:
        await consumer.start()
        consumer.assign(wanted)
        begins, ends = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        open_ = {each for each in wanted if begins[each] < ends[each]}
        for each in wanted:
            consumer.seek(each, begins[each])
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
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
    finally:
        await consumer.stop()

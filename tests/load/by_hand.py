"""How would somebody write a stage who needs it once? Short loops: read a batch, work in one transaction, send.

They remember their position and nothing else: no ownership, no outbox, no repeats, no marks, no timers. What a worker
costs beyond them is the price of those promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from zlib import crc32

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.load.echo import ECHOED, SAID, Echoed, Said
from tests.load.meter import Meter
from tests.load.stages import BATCH, UNITS
from tests.tally import GIVEN, SPLIT, Given, Split

Sent = tuple[str, bytes, bytes]
"""Topic, key and value of a message on its way out."""

POSITIONS = "CREATE TABLE IF NOT EXISTS position (unit int PRIMARY KEY, next bigint NOT NULL)"
_KEEP = (
    "INSERT INTO position SELECT * FROM unnest($1::int[], $2::bigint[])"
    " ON CONFLICT (unit) DO UPDATE SET next = excluded.next"
)

Work = Callable[[Any, list[Any]], Awaitable[list[Sent]]]
"""A connection in a transaction and the records of a batch in, messages out."""


async def batches(topic: str, work: Work, database_url: str, bootstrap: str, meter: Meter) -> None:
    """The frame that all loops by batch share."""
    async with _clients(database_url, bootstrap) as (connection, consumer, producer):
        await connection.execute(POSITIONS)
        consumer.assign([TopicPartition(topic, unit) for unit in range(UNITS)])
        await consumer.seek_to_beginning()
        while meter.missing:
            fetched = await consumer.getmany(timeout_ms=500, max_records=BATCH)
            records = [record for group in fetched.values() for record in group]
            if not records:
                continue
            ends = {partition.partition: group[-1].offset + 1 for partition, group in fetched.items() if group}
            async with connection.transaction():
                out = await work(connection, records)
                await connection.execute(_KEEP, list(ends), list(ends.values()))
            await _send(producer, out)
            meter.note(len(records))


async def echo(database_url: str, bootstrap: str, meter: Meter) -> None:
    decode, encode = msgspec.json.Decoder(Said).decode, msgspec.json.Encoder().encode

    async def work(connection: Any, records: list[Any]) -> list[Sent]:
        del connection
        said = [decode(record.value) for record in records]
        return [
            (ECHOED.name, each.key[::-1].encode(), encode(Echoed(each.key, each.number, each.text))) for each in said
        ]

    await batches(SAID.name, work, database_url, bootstrap, meter)


async def tally_event_by_event(database_url: str, bootstrap: str, meter: Meter) -> None:
    """The loop of the first day: each event reads, writes, sends and commits for itself."""
    decode, encode = msgspec.json.Decoder(Given).decode, msgspec.json.Encoder().encode
    async with _clients(database_url, bootstrap, group="by-hand") as (connection, consumer, producer):
        consumer.subscribe([GIVEN.name])
        while meter.missing:
            record = await consumer.getone()
            given = decode(record.value)
            async with connection.transaction():
                last = await connection.fetchval("SELECT last FROM tally WHERE stage = 'split' AND key = $1", given.key)
                if last is None:
                    await connection.execute(
                        "INSERT INTO tally VALUES ('split', $1, 0, $2, 1)", given.key, given.number
                    )
                else:
                    await connection.execute(
                        "UPDATE tally SET last = $2, times = times + 1 WHERE stage = 'split' AND key = $1",
                        given.key,
                        given.number,
                    )
            out = encode(Split(given.key, given.number))
            await producer.send_and_wait(SPLIT.name, out, key=given.key[::-1].encode())
            await consumer.commit()
            meter.note(1)


@asynccontextmanager
async def _clients(database_url: str, bootstrap: str, group: str | None = None) -> AsyncIterator[tuple[Any, Any, Any]]:
    connection = await asyncpg.connect(database_url)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4_000_000,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=1_000_000
    )
    await asyncio.gather(consumer.start(), producer.start())
    try:
        yield connection, consumer, producer
    finally:
        await asyncio.gather(consumer.stop(), producer.stop(), connection.close())


async def _send(producer: Any, messages: Iterable[Sent]) -> None:
    batches: dict[tuple[str, int], Any] = {}
    for topic, key, value in messages:
        place = (topic, crc32(key) % UNITS)
        batch = batches.get(place)
        if batch is None:
            batch = batches[place] = producer.create_batch()
        if batch.append(timestamp=None, key=key, value=value) is None:
            raise ValueError("the messages of one batch do not fit into one request")
    sent = []
    for (topic, partition), batch in batches.items():
        batch.close()
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)

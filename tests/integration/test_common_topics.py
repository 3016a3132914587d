"""Are topics brought to what the catalogue says, and is a log read from where one was?"""

from __future__ import annotations

import asyncio
from functools import partial

from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from libs.common.kafka import Publisher, Record, ensure_topics, still_there, through
from libs.common.kafka.altering import settings_of
from libs.common.kafka.catalogue import connected
from libs.common.topics import DEAD_LETTER_DAYS
from tests import tally
from tests.tally import GIVEN, SPLIT, UNITS

LETTERS = "tally.dead-letter.v1"


async def test_topics_of_an_earlier_version_get_todays_settings_and_keep_what_others_have_set(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    name = topic_prefix + LETTERS
    admin = await connected(kafka_bootstrap)
    old = {"retention.ms": "1000000000", "max.compaction.lag.ms": "1000"}
    await admin.create_topics([NewTopic(name, UNITS, 1, topic_configs=old)])
    wanted = {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(DEAD_LETTER_DAYS * 86_400_000),
        "max.compaction.lag.ms": "1000",
    }
    try:
        made = await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS, catalogue=tally.TOPICS)
        assert set(made) == {GIVEN.name, SPLIT.name}
        # A broker shows what was changed a moment later.
        async with asyncio.timeout(20):
            while not wanted.items() <= (await settings_of(admin, [name]))[name].items():
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def test_a_log_is_read_on_from_where_one_was_and_asked_what_is_still_there(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS, catalogue=tally.TOPICS)
    publisher = Publisher(kafka_bootstrap, prefix=topic_prefix)
    await publisher.start()
    for _ in range(3):
        await publisher.publish([Record(GIVEN.name, 1, b"k", b"{}")] * 400)
    await publisher.stop()
    where = partial(through, kafka_bootstrap, prefix=topic_prefix, name=GIVEN.name, partitions=[0, 1])
    read = [(at, message.offset) async for at, message in where(since={1: 1_190})]
    assert read == [(1, offset) for offset in range(1_190, 1_200)]
    places = {(1, 0), (1, 3), (1, 700), (1, 1_199), (1, 1_200), (0, 0)}
    look = partial(still_there, kafka_bootstrap, prefix=topic_prefix, name=GIVEN.name, places=places)
    assert await look() == {(1, 0), (1, 3), (1, 700), (1, 1_199)}
    admin = await connected(kafka_bootstrap)
    try:
        await admin.delete_records({TopicPartition(topic_prefix + GIVEN.name, 1): RecordsToDelete(500)})
    finally:
        await admin.close()
    assert await look() == {(1, 700), (1, 1_199)}

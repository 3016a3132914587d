"""Where does a campaign worker under test stand? Its database, its topics, and what comes out of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from libs.common import clock, documents, migrations, progress
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.events import Consent, Fact, MessageSettled, ProfileUpdated
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.metrics import Metrics
from libs.common.topics import (
    CONTACT_REQUESTED,
    CONTACTS_COUNTED,
    DECIDED,
    EVENT_RESOLVED,
    MESSAGE_SETTLED,
    PROFILE_UPDATED,
    RESPONSE_RECEIVED,
    TRIGGERED,
    Topic,
    dead_letters,
    partition_of,
)
from libs.common.unit import Floor
from libs.common.worker import Worker
from services.campaign.app import spec_of
from services.campaign.document import KIND, compile_library
from tests.campaign_situations import COMPANY, trigger
from tests.log_reading import everything

UNITS = 2
TOPICS = {
    each.event: each
    for each in (
        *(CONTACT_REQUESTED, CONTACTS_COUNTED, DECIDED, EVENT_RESOLVED),
        *(MESSAGE_SETTLED, PROFILE_UPDATED, RESPONSE_RECEIVED, TRIGGERED),
    )
}
DOCUMENT = {
    "id": "spring",
    "name": "Spring",
    "trigger": "offer.spring",
    "channel": "sms",
    "template": "spring-text",
    "quiet_hours": None,
    "cap": {"times": 1, "per": "7d"},
}

F = TypeVar("F", bound=Fact)


@dataclass
class Place:
    floor: Floor
    library: SnapshotWatcher[Any]
    connection: Any

    async def activate(self, **changes: Any) -> None:
        body = DOCUMENT | changes
        async with self.floor.database.transaction() as tx:
            written = await documents.create_version(tx, KIND, str(body["id"]), msgspec.json.encode(body), author="m")
            await documents.activate(tx, KIND, written.id, written.version, author="m")
        await self.library.refresh()

    async def give(self, *events: Fact) -> None:
        await self.floor.publisher.publish([_record(event) for event in events])

    async def meet(self, *customers: ProfileUpdated) -> None:
        """Gives profiles and waits until they are known: they travel by another way than triggers."""
        await self.give(*customers)
        ids = [each.customer_id for each in customers]
        async with asyncio.timeout(20):
            while await self.connection.fetchval(
                "SELECT count(*) FROM customer WHERE customer_id = ANY($1)", ids
            ) < len(ids):
                await asyncio.sleep(0.05)

    async def mark(self) -> None:
        """Rules say that everything up to now has been sent, so that gated timers may fire."""
        now = clock.to_ms(datetime.now(UTC))
        stamps = [progress.stamp(progress.origin_of("rules.match", unit), now) for unit in range(UNITS)]
        await self.floor.publisher.publish(
            [
                Record(TRIGGERED.name, unit, None, None, [(progress.MARK, stamp)])
                for unit in range(UNITS)
                for stamp in stamps
            ]
        )

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(sql)]

    async def until(self, sql: str, wanted: list[tuple[Any, ...]], seconds: float = 60.0) -> None:
        found: list[tuple[Any, ...]] = []
        try:
            async with asyncio.timeout(seconds):
                while (found := await self.rows(sql)) != wanted:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{sql} gave {found}, not {wanted}") from None

    async def published(self, kind: type[F]) -> list[F]:
        return [msgspec.json.decode(value, type=kind) for value in await self._read(TOPICS[kind].name)]

    async def buried(self, number: int = 0) -> int:
        return len(await self._read(dead_letters("campaign"), number))

    async def _read(self, topic: str, number: int = 0) -> list[bytes]:
        """Every message of a topic, marks left out."""
        found = await everything(
            self.floor.bootstrap,
            self.floor.prefix,
            topic,
            range(UNITS),
            number=number,
            wanted=lambda each: each.value is not None,
            connection=self.connection,
        )
        return [each.value or b"" for each in found]


@asynccontextmanager
async def staged(kafka_bootstrap: str, database_url: str, topic_prefix: str) -> AsyncIterator[Place]:
    """Topics and tables of its own, and the campaigns that are in force there."""
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS)
    await migrations.upgrade("campaign", database_url)
    database = Database(database_url, application="test")
    await database.start()
    publisher = Publisher(kafka_bootstrap, prefix=topic_prefix)
    await publisher.start()
    connection = await asyncpg.connect(database_url)
    library = SnapshotWatcher(KIND, database.connection, compile_library, Metrics("test", process=False))
    await library.start()
    floor = Floor("one", database, publisher, kafka_bootstrap, topic_prefix, UNITS)
    yield Place(floor, library, connection)
    await library.stop()
    await connection.close()
    await publisher.stop()
    await database.stop()


def _record(event: Fact) -> Record:
    topic: Topic = TOPICS[type(event)]
    key = topic.key(event).encode()
    return Record(topic.name, partition_of(key, UNITS), key, msgspec.json.encode(event), [])


@asynccontextmanager
async def running(place: Place, *, buried: int = 0) -> AsyncIterator[Worker]:
    """A worker at work; afterwards exactly so many messages must have been found impossible to handle."""
    worker = Worker(spec_of(place.library, COMPANY, lambda outcome, gate: None), place.floor)
    await worker.start()
    try:
        yield worker
        await place.buried(buried)
    finally:
        await worker.stop()
    assert await place.buried() == buried


def customer(customer_id: str = "c1", version: int = 1, sms: bool = True, **changes: Any) -> ProfileUpdated:
    said = Consent(sms, clock.now())
    base = ProfileUpdated(
        customer_id,
        f"person-of-{customer_id}",
        version,
        {"phone": "+821012345678"},
        {"sms": said},
        "Asia/Seoul",
    )
    return msgspec.structs.replace(base, **changes)


def settled(message_id: str, contacted: bool, customer_id: str = "c1") -> MessageSettled:
    status = "accepted" if contacted else "dropped"
    return MessageSettled(message_id, "", "spring", customer_id, "sms", status, contacted, clock.now())


def fired(number: int = 1, customer_id: str = "c1", **changes: Any) -> Any:
    return trigger(number, customer_id, **({"occurred_at": clock.now()} | changes))

"""What do benchmarks of the rules service stand on? Rules in force, a log to read, and the hands that write to it."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.ports import free_port
from libs.common import clock, migrations, progress
from libs.common.auth import issue_token
from libs.common.db import Tx
from libs.common.documents import activate, create_version
from libs.common.events import EventResolved, RuleTriggered
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.topics import EVENT_RESOLVED, TRIGGERED, partition_of
from services.rules.api import KIND
from services.rules.document.segments import KIND as SEGMENT
from tests.load.ground import SECRET, Ground, server

UNITS: Final = 4
Document = dict[str, Any]
_ORIGIN: Final = "profile.apply/0"
_FILLED_AT_ONCE: Final = 2_000
_COUNTED: Final = re.compile(r'dangol_rules_worker_total\{what="(\w+)",worker="rules\.match"\} ([0-9.e+]+)')


def variables_of(stand: Ground) -> dict[str, str]:
    """A database, a prefix of topics and a port of its own."""
    name = f"b{clock.new_id().hex[-10:]}"
    return {
        "DANGOL_DATABASE_URL": stand.postgres.url,
        "DANGOL_DATABASE_PREFIX": f"{name}_",
        "DANGOL_KAFKA_BOOTSTRAP": stand.kafka.bootstrap,
        "DANGOL_TOPIC_PREFIX": f"{name}.",
        "DANGOL_PARTITIONS": str(UNITS),
        "DANGOL_TOKEN_SECRET": SECRET,
        "DANGOL_RULES_PORT": str(free_port()),
        "DANGOL_LOG_LEVEL": "warning",
    }


def database_of(stand: Ground, variables: Mapping[str, str]) -> str:
    return stand.database_url(f"{variables['DANGOL_DATABASE_PREFIX']}rules")


async def prepare(
    stand: Ground, variables: Mapping[str, str], rules: Iterable[Document], segments: Iterable[Document] = ()
) -> None:
    """Tables, topics, and these documents in force as if somebody had activated them."""
    url = database_of(stand, variables)
    await migrations.upgrade("rules", url)
    await ensure_topics(stand.kafka.bootstrap, prefix=variables["DANGOL_TOPIC_PREFIX"], partitions=UNITS)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            tx = Tx(connection)
            for kind, documents in ((SEGMENT, segments), (KIND, rules)):
                for each in documents:
                    await create_version(tx, kind, each["id"], msgspec.json.encode(each), author="bench")
                    await activate(tx, kind, each["id"], 1, author="bench")
    finally:
        await connection.close()


def counted(port: int) -> dict[str, int]:
    """What the worker has done so far, by name: events, timers, failures, buried."""
    return {name: int(float(count)) for name, count in _COUNTED.findall(_metrics(port))}


def until_counted(port: int, what: str, count: int, seconds_max: float = 300.0) -> None:
    end = time.monotonic() + seconds_max
    while (found := counted(port).get(what, 0)) < count:
        if time.monotonic() > end:
            raise AssertionError(f"{found} of {count} {what} after {seconds_max:.0f} s")
        time.sleep(0.1)


async def warm(stand: Ground, variables: Mapping[str, str], seconds_max: float = 120.0) -> None:
    """Rules that are new learn of the past from the log first, which is no part of what is measured."""
    port = int(variables["DANGOL_RULES_PORT"])
    with server("services.rules", port, stand.folder, variables):
        async with Feed(stand.kafka.bootstrap, variables["DANGOL_TOPIC_PREFIX"]) as feed:
            await feed.give(event(each, "hello", f"hello-{each}", clock.now_ms()) for each in one_per_unit())
        await asyncio.to_thread(until_counted, port, "events", UNITS)
        async with asyncio.timeout(seconds_max):
            # It is looked at every few seconds: what is read too early is the figure from before.
            await asyncio.sleep(5.0)
            while "dangol_rules_warming_open_units 0.0" not in await asyncio.to_thread(_metrics, port):
                await asyncio.sleep(0.5)


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def token(role: str = "marketer") -> str:
    return issue_token(SECRET, subject="bench", roles=[role])


class Feed:
    """Writes what the profile service would, and reads what the rules service says."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._publisher = Publisher(bootstrap, prefix=prefix)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
        self._topic = prefix + TRIGGERED.name
        # Above what any feed before has given: readers drop what is not.
        self._seq = clock.now_ms() * 1_000

    async def __aenter__(self) -> Feed:
        await self._publisher.start()
        await self._consumer.start()
        self._consumer.assign([TopicPartition(self._topic, unit) for unit in range(UNITS)])
        await self._consumer.seek_to_end()
        # Where each partition ends is looked up with the first fetch: before anything is written.
        await self._consumer.getmany(timeout_ms=200)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._publisher.stop()
        await self._consumer.stop()

    async def give(self, events: Iterable[EventResolved]) -> None:
        records = []
        for event in events:
            records.append(self._record(event))
            if len(records) == _FILLED_AT_ONCE:
                await self._publisher.publish(records)
                records = []
        await self._publisher.publish(records)

    def _record(self, event: EventResolved) -> Record:
        self._seq += 1
        key = event.customer_id.encode()
        stamp = (progress.ORIGIN, progress.stamp(_ORIGIN, self._seq))
        return Record(EVENT_RESOLVED.name, partition_of(key, UNITS), key, msgspec.json.encode(event), [stamp])

    async def mark(self, now_ms: int) -> None:
        """Every unit upstream vouches for all that came in until then."""
        marks = [(progress.MARK, progress.stamp(f"profile.apply/{unit}", now_ms)) for unit in range(UNITS)]
        await self._publisher.publish(
            [Record(EVENT_RESOLVED.name, unit, None, None, [mark]) for unit in range(UNITS) for mark in marks]
        )

    async def triggers(self, wait_ms: int = 50) -> list[RuleTriggered]:
        """Those that have come since one last looked."""
        found = await self._consumer.getmany(timeout_ms=wait_ms, max_records=5_000)
        return [
            msgspec.json.decode(record.value, type=RuleTriggered)
            for group in found.values()
            for record in group
            if record.value is not None
        ]


def event(customer: str, kind: str, event_id: str, at_ms: int, data: Document | None = None) -> EventResolved:
    """It happened, and came in, at this instant."""
    return EventResolved(
        event_id=event_id,
        customer_id=customer,
        person_id=customer,
        type=kind,
        source="bench",
        time=clock.from_ms(at_ms),
        received_ms=at_ms,
        data=msgspec.Raw(msgspec.json.encode(data or {})),
        profile=msgspec.Raw(b'{"tier":"gold","zone":"Asia/Seoul","consent_email":true}'),
    )


def customers(count: int) -> list[str]:
    return [f"0197{number:08x}-7000-8000-000000000000" for number in range(count)]


def one_per_unit() -> list[str]:
    """A customer of each unit, in their order."""
    found: dict[int, str] = {}
    for each in customers(1_000):
        found.setdefault(partition_of(each.encode(), UNITS), each)
    return [found[unit] for unit in range(UNITS)]


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

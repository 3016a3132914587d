"""Does the worker keep its promises on the real PostgreSQL and the real Kafka, without anybody disturbing it?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.common import clock, lease, worker_tables
from libs.common.db import Database
from libs.common.events import Fact
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.timers import Timer, put
from libs.common.topics import dead_letters, partition_of
from libs.common.unit import Floor, Input, Message, UnitTx, WorkerSpec
from libs.common.unit.runner import TIMER_BATCHES_PER_TICK_MAX, TIMERS_AT_ONCE_MAX
from libs.common.worker import Worker
from tests import tally
from tests.log_reading import everything
from tests.tally import GIVEN, SPLIT, UNITS, Given, Split


@dataclass
class Place:
    """Everything a worker needs, and a plain connection to look at what it did."""

    floor: Floor
    connection: Any
    prefix: str

    async def give(self, events: Sequence[Given], headers: Sequence[tuple[str, bytes]] = ()) -> None:
        await self.floor.publisher.publish(
            [
                Record(
                    GIVEN.name,
                    partition_of(event.key.encode(), UNITS),
                    event.key.encode(),
                    msgspec.json.encode(event),
                    list(headers),
                )
                for event in events
            ]
        )

    async def lasts(self, stage: str) -> dict[str, int]:
        rows = await self.connection.fetch("SELECT key, last FROM tally WHERE stage = $1", stage)
        return {row["key"]: row["last"] for row in rows}

    async def until(self, condition: Any, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.05)

    async def read_all(self, topic: str, *, committed: bool = True) -> list[Any]:
        """Every message of a topic that carries an origin, marks left out; of what is `committed` all."""
        return await everything(
            self.floor.bootstrap,
            self.prefix,
            topic,
            range(UNITS),
            wanted=lambda record: "mark" not in dict(record.headers),
            connection=self.connection if committed else None,
        )


@pytest.fixture
async def place(kafka_bootstrap: str, database_url: str, topic_prefix: str) -> AsyncIterator[Place]:
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS, catalogue=tally.TOPICS)
    connection = await asyncpg.connect(database_url)
    await connection.execute(worker_tables.SQL + tally.TABLES)
    database = Database(database_url, application="test")
    await database.start()
    publisher = Publisher(kafka_bootstrap, prefix=topic_prefix)
    await publisher.start()
    yield Place(Floor("one", database, publisher, kafka_bootstrap, topic_prefix, UNITS), connection, topic_prefix)
    await publisher.stop()
    await database.stop()
    await connection.close()


@contextlib.asynccontextmanager
async def running(floor: Floor, *specs: WorkerSpec) -> AsyncIterator[list[Worker]]:
    workers = [Worker(spec, floor) for spec in specs]
    for worker in workers:
        await worker.start()
    try:
        yield workers
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))


def numbers(keys: int, first: int, last: int) -> list[Given]:
    return [Given(f"key-{key}", number) for number in range(first, last + 1) for key in range(keys)]


async def test_every_message_passes_both_stages_once_and_in_order(place: Place) -> None:
    async with running(place.floor, *tally.specs()):
        await place.give(numbers(10, 1, 50))
        wanted = {f"key-{key}": 50 for key in range(10)}

        async def done() -> bool:
            return await place.lasts("count") == wanted

        await place.until(done)
    assert await place.lasts("split") == wanted
    assert await place.connection.fetchval("SELECT count(*) FROM violation") == 0


async def test_a_message_published_twice_by_its_origin_has_one_effect(place: Place) -> None:
    await place.give([Given("a", 1)], [("origin", b"elsewhere/0:7")])
    await place.give([Given("a", 1)], [("origin", b"elsewhere/0:7")])
    await place.give([Given("a", 2)], [("origin", b"elsewhere/0:9")])
    async with running(place.floor, *tally.specs()):

        async def done() -> bool:
            return (await place.lasts("count")).get("a") == 2

        await place.until(done)
    assert await place.connection.fetchval("SELECT count(*) FROM violation") == 0


async def test_a_poisoned_message_is_buried_with_its_reason_and_the_others_go_on(place: Place) -> None:
    batch = numbers(3, 1, 20)
    batch.insert(31, Given("key-1", 99, poison=True))
    await place.give(batch)
    async with running(place.floor, *tally.specs()):

        async def done() -> bool:
            return await place.lasts("count") == {f"key-{key}": 20 for key in range(3)}

        await place.until(done)
    assert await place.connection.fetchval("SELECT count(*) FROM violation") == 0
    [dead] = await place.read_all(dead_letters("tally"))
    about = dict(dead.headers)
    assert b"a poisoned number" in about["reason"]
    assert about["topic"] == GIVEN.name.encode()
    assert msgspec.json.decode(dead.value, type=Given) == Given("key-1", 99, poison=True)


async def test_bytes_that_are_no_message_are_buried(place: Place) -> None:
    unit = partition_of(b"a", UNITS)
    await place.floor.publisher.publish([Record(GIVEN.name, unit, b"a", b'{"key": 1')])
    await place.give([Given("a", 1)])
    async with running(place.floor, *tally.specs()):

        async def done() -> bool:
            return await place.lasts("count") == {"a": 1}

        await place.until(done)
    [dead] = await place.read_all(dead_letters("tally"))
    assert dead.value == b'{"key": 1'


async def test_a_redriven_dead_letter_is_handled_once_its_cause_is_mended(place: Place) -> None:
    broken, mended = tally.specs()[0], tally.specs()[0]

    async def refuse(batch: Sequence[Message[Given]], tx: UnitTx) -> Sequence[Fact]:
        raise ValueError("not yet")

    broken = replace(broken, inputs=[Input(GIVEN, refuse)])
    await place.give([Given("a", 1)])
    async with running(place.floor, broken):

        async def buried() -> bool:
            return len(await place.read_all(dead_letters("tally"))) == 1

        await place.until(buried)
    async with running(place.floor, mended):
        await lease.ask_redrive(place.connection, "tally.split")

        async def done() -> bool:
            waiting = await place.connection.fetchval("SELECT count(*) FROM worker_unit WHERE redrive")
            return await place.lasts("split") == {"a": 1} and not waiting

        await place.until(done)
        await lease.ask_redrive(place.connection, "tally.split")
        await place.until(done)
    assert await place.connection.fetchval("SELECT count(*) FROM violation") == 0


async def test_a_tombstone_that_cannot_be_handled_is_buried_with_its_key_and_can_be_redriven(place: Place) -> None:
    forgotten: list[str] = []
    mended = False

    async def on_given(batch: Sequence[Message[Given]], tx: UnitTx) -> Sequence[Fact]:
        return ()

    async def on_erased(keys: Sequence[str], tx: UnitTx) -> Sequence[Fact]:
        if not mended and "a" in keys:
            raise ValueError("not yet")
        forgotten.extend(keys)
        return ()

    spec = replace(tally.specs()[0], inputs=[Input(GIVEN, on_given, on_erased=on_erased)])
    keys = [b"a", b"b", b"c"]
    await place.floor.publisher.publish([Record(GIVEN.name, partition_of(key, UNITS), key, None) for key in keys])
    async with running(place.floor, spec):

        async def others() -> bool:
            return sorted(forgotten) == ["b", "c"]

        await place.until(others)
        [dead] = await place.read_all(dead_letters("tally"))
        about = dict(dead.headers)
        assert (about["key"], about["topic"], dead.value is None) == (b"a", GIVEN.name.encode(), False)
        mended = True
        await lease.ask_redrive(place.connection, "tally.split")

        async def all_() -> bool:
            return sorted(forgotten) == ["a", "b", "c"]

        await place.until(all_)


async def test_units_are_shared_fairly_and_taken_over_when_an_instance_leaves(place: Place) -> None:
    async with running(place.floor, tally.specs()[0]) as [first]:

        async def all_mine() -> bool:
            return len(first.units()) == UNITS

        await place.until(all_mine)
        async with running(replace(place.floor, instance="two"), tally.specs()[0]) as [second]:

            async def shared() -> bool:
                return len(first.units()) == len(second.units()) == UNITS // 2

            await place.until(shared)
            assert not set(first.units()) & set(second.units())
        await place.until(all_mine)


async def test_a_gated_timer_waits_for_the_clock_of_its_origins_and_then_fires_once(place: Place) -> None:
    fired: list[tuple[str, bool]] = []

    async def on_timers(batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        fired.extend((timer.key, timer.due <= tx.clock) for timer in batch)
        return []

    count = replace(tally.specs()[1], on_timers=on_timers, timer_grace_seconds=0.0)
    async with place.floor.database.transaction() as tx:
        await put(tx, "tally.count", 1, [Timer("gated", clock.now() + timedelta(seconds=1))])
        await put(tx, "tally.count", 2, [Timer("plain", clock.now(), gated=False)])
    async with running(place.floor, count):
        # Nobody upstream has said how far it is: the wall clock passes, the gated timer stays.
        await asyncio.sleep(4)
        assert fired == [("plain", False)]
        async with running(place.floor, tally.specs()[0]):

            async def done() -> bool:
                return len(fired) == 2

            await place.until(done)
            await asyncio.sleep(1.5)
    assert fired == [("plain", False), ("gated", True)]


async def test_a_timer_that_cannot_be_handled_is_buried_and_the_others_fire(place: Place) -> None:
    fired: list[str] = []

    async def on_timers(batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        if any(timer.key == "bad" for timer in batch):
            raise ValueError("a bad timer")
        fired.extend(timer.key for timer in batch)
        return []

    async with place.floor.database.transaction() as tx:
        keys = ["a", "bad", "c"]
        await put(tx, "tally.count", 1, [Timer(key, clock.now(), key.encode(), gated=False) for key in keys])
    async with running(place.floor, replace(tally.specs()[1], on_timers=on_timers)):

        async def done() -> bool:
            return sorted(fired) == ["a", "c"]

        await place.until(done)
    [dead] = await place.read_all(dead_letters("tally"))
    about = dict(dead.headers)
    assert (about["key"], about["topic"]) == (b"bad", b"timer")
    assert dead.key == about["origin"], "a letter has a key of its own, by which it can be erased"
    assert b"a bad timer" in dict(dead.headers)["reason"]


async def test_a_herd_of_timers_does_not_hold_up_what_comes_in_meanwhile(place: Place) -> None:
    handled: list[int] = []

    async def on_timers(batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        if not handled:
            await place.give([Given("a", 1)])
        handled.append(await tx.fetchval("SELECT count(*) FROM tally"))
        return []

    unit = partition_of(b"a", UNITS)
    herd = [
        Timer(f"{number:05}", clock.now(), gated=False)
        for number in range(3 * TIMER_BATCHES_PER_TICK_MAX * TIMERS_AT_ONCE_MAX)
    ]
    async with place.floor.database.transaction() as tx:
        await put(tx, "tally.split", unit, herd)
    async with running(place.floor, replace(tally.specs()[0], on_timers=on_timers)):

        async def done() -> bool:
            return len(handled) == 3 * TIMER_BATCHES_PER_TICK_MAX

        await place.until(done, 60)
    assert handled[0] == 0
    assert handled[-1] == 1


async def test_an_idle_unit_keeps_its_clock_in_its_row(place: Place) -> None:
    """Others read there how old the unit's knowledge may be; silence upstream is not age."""
    started = clock.now_ms()
    async with running(place.floor, *tally.specs()):

        async def kept() -> bool:
            clocks = await place.connection.fetch(
                "SELECT coalesce((progress->>'clock_ms')::bigint, 0) AS at FROM worker_unit"
            )
            return len(clocks) == 2 * UNITS and all(row["at"] > started + 6000 for row in clocks)

        await place.until(kept)


async def test_a_worker_with_another_number_of_units_refuses_to_start(place: Place) -> None:
    async with running(place.floor, tally.specs()[0]) as [first]:

        async def all_mine() -> bool:
            return len(first.units()) == UNITS

        await place.until(all_mine)
    async with running(replace(place.floor, units=UNITS + 1), tally.specs()[0]) as [other]:

        async def refused() -> bool:
            return any("DANGOL_PARTITIONS" in problem for problem in other.problems())

        await place.until(refused)
        assert other.units() == []


async def test_what_was_committed_and_not_published_is_published_after_a_takeover(place: Place) -> None:
    """The broker is out of reach for the first owner after its commit; the next owner finds the outbox."""
    nowhere = Publisher("127.0.0.1:1", timeout_seconds=0.5)
    await nowhere.start()
    await place.give([Given("a", 1)])
    async with running(replace(place.floor, publisher=nowhere), tally.specs()[0]):

        async def committed() -> bool:
            return bool(await place.connection.fetchval("SELECT count(*) FROM outbox"))

        await place.until(committed)
    assert await place.read_all(SPLIT.name, committed=False) == []
    await nowhere.stop()
    async with running(place.floor, *tally.specs()):

        async def done() -> bool:
            return await place.lasts("count") == {"a": 1}

        await place.until(done)
    assert await place.lasts("split") == {"a": 1}


async def test_a_worker_publishes_only_to_its_own_topics(place: Place) -> None:
    async def on_given(batch: Sequence[Message[Given]], tx: UnitTx) -> Sequence[Fact]:
        return [Split("a", 1)]

    await place.give([Given("a", 1)])
    async with running(place.floor, WorkerSpec("tally.split", [Input(GIVEN, on_given)], [])) as [worker]:

        async def refused() -> bool:
            return any("may not publish Split" in problem for problem in worker.problems())

        await place.until(refused)

"""How fast is a backtest with one rule? From memory, which is the rule's own cost, and from Kafka, as it is in earnest.

Events are resolved purchases, visits and searches with the profile that they carry, 1.3 kB each; between them are marks
as many as four units send. One event in ten is a visit. The rules look at visits, so they show what is passed over,
what is counted, and what waits.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count, islice
from typing import Any, NamedTuple

import msgspec

from libs.common import clock, progress
from libs.common.events import EventResolved
from libs.common.kafka import History, Publisher, Record, ensure_topics
from libs.common.topics import EVENT_RESOLVED, partition_of
from services.rules.backtest.running import run
from services.rules.backtest.shapes import Question, Task, Told
from services.rules.backtest.simulation import Run, Simulation
from tests.load import cores
from tests.load.ground import REPORT, Ground, ground, told_by
from tests.load.rows import Row, Scale, company

UNITS = 4
EVENTS = 200_000
CUSTOMERS = 50_000
PROMISED = 100_000.0
START_MS = 1_772_000_000_000
_EVENT_EVERY_MS = 20
_MARKS_EVERY = 50
_BATCH = 5_000
_MODULE = "tests.load.rules_backtest"
_THRICE = {"of": "count", "event": "visit", "over": {"last": "7d"}}
RULES: dict[str, dict[str, Any]] = {
    "event": {"type": "event", "event": "visit", "where": [{"field": "event.amount", "op": "at_least", "value": 990}]},
    "measure": {"type": "measure", "measure": _THRICE, "reaches": 3},
    "absence": {"type": "absence", "after": {"event": "visit"}, "no": {"event": "purchase"}, "for": "1h"},
}


class Spent(NamedTuple):
    """Wall and CPU seconds of so many events, and how many of them were decoded whole."""

    events: int
    decoded: int
    seconds: float
    cpu_seconds: float
    fires: int

    @property
    def per_second_of_cpu(self) -> float:
        return self.events / self.cpu_seconds


def rows(scale: Scale) -> list[Row]:
    total = max(EVENTS, scale.events(EVENTS))
    with ground() as stand:
        asyncio.run(_fill(stand, total))
        busy = cores.busy_seconds()
        began = time.monotonic()
        reading = _best(stand, {"reads": total}, scale.rounds)
        memory = {kind: _best(stand, {"kind": kind, "memory": total}, scale.rounds) for kind in RULES}
        kafka = {kind: _best(stand, {"kind": kind}, scale.rounds) for kind in RULES}
        seconds = time.monotonic() - began
        foreign = (cores.busy_seconds() - busy) / seconds - 2.0
    disturbed = company(max(0.0, foreign))
    found = []
    for kind in RULES:
        for place, spent in (("Kafka", kafka[kind]), ("memory", memory[kind])):
            note = f"{spent.events:,} events, {spent.decoded:,} decoded, {spent.fires:,} fires; best of {scale.rounds}"
            name = f"backtest of one {kind} rule from {place}"
            found.append(
                Row(name, spent.per_second_of_cpu, "events/s of a core", "promised", PROMISED, note + disturbed)
            )
    alone = reading.per_second_of_cpu
    best = kafka["event"].per_second_of_cpu
    return [*found, Row("of which reading Kafka alone", best, "events/s of a core", "reading alone", alone, disturbed)]


def _best(stand: Ground, order: dict[str, Any], rounds: int) -> Spent:
    wanted = {**order, "bootstrap": stand.kafka.bootstrap}
    found = [Spent(**told_by(_MODULE, wanted, cores.measured())) for _ in range(rounds)]
    return min(found, key=lambda each: each.cpu_seconds)


# --- what is read ----------------------------------------------------------------------------------------------------


def records(total: int) -> Iterator[Record]:
    chance, topic = random.Random(7), EVENT_RESOLVED.name
    profile = {f"trait_{number}": f"a value of trait {number}" for number in range(18)}
    body = msgspec.Raw(msgspec.json.encode({**profile, "tier": "gold", "zone": "Asia/Seoul", "visits_30d": 3}))
    items = [{"sku": f"sku-{number}", "quantity": 1, "price": "12500", "category": "tv"} for number in range(3)]
    for number in range(total):
        customer = f"0197{chance.randrange(CUSTOMERS):08d}-7000-8000-000000000000"
        at_ms = START_MS + number * _EVENT_EVERY_MS
        event = EventResolved(
            event_id=f"store-{number % 40}-{number}",
            customer_id=customer,
            person_id=customer,
            type=chance.choices(("visit", "purchase", "search", "product_view"), (1, 3, 3, 3))[0],
            source="store-031/pos-2",
            time=clock.from_ms(at_ms),
            received_ms=at_ms,
            channel="pos",
            data=msgspec.Raw(
                msgspec.json.encode({"amount": chance.randrange(1000), "currency": "KRW", "items": items})
            ),
            profile=body,
        )
        key = customer.encode()
        stamp = (progress.ORIGIN, progress.stamp("profile.apply/0", number + 1))
        yield Record(topic, partition_of(key, UNITS), key, msgspec.json.encode(event), [stamp])
        if number % _MARKS_EVERY == 0:
            for origin in range(UNITS):
                mark = (progress.MARK, progress.stamp(f"profile.apply/{origin}", at_ms))
                yield from (Record(topic, unit, None, None, [mark]) for unit in range(UNITS))


def runs(total: int) -> Iterator[Run]:
    """Partition by partition, as the batches of a log are."""
    given = records(total)
    for number in count():
        by_unit: dict[int, list[_Message]] = {}
        for each in islice(given, _BATCH // 10):
            by_unit.setdefault(each.partition, []).append(_Message(each))
        if not by_unit:
            return
        yield from ((START_MS + number, unit, messages) for unit, messages in by_unit.items())


class _Message:
    """As small as the client's own."""

    __slots__ = ("headers", "key", "value")

    def __init__(self, record: Record) -> None:
        self.key, self.value = record.key, record.value
        self.headers = tuple(record.headers)


async def _fill(stand: Ground, total: int) -> None:
    await ensure_topics(stand.kafka.bootstrap, prefix="", partitions=UNITS, catalogue=[EVENT_RESOLVED])
    publisher = Publisher(stand.kafka.bootstrap)
    await publisher.start()
    batch: list[Record] = []
    for record in records(total):
        batch.append(record)
        if len(batch) >= _BATCH:
            await publisher.publish(batch)
            batch = []
    await publisher.publish(batch)
    await publisher.stop()


# --- what is measured ------------------------------------------------------------------------------------------------


def question(kind: str) -> Question:
    rule = {"id": f"one-{kind}", "name": "x", "when": RULES[kind], "emit": {"trigger": "a.b"}}
    since, until = clock.from_ms(1), clock.now() + timedelta(days=1)
    return Question(msgspec.Raw(msgspec.json.encode(rule)), since, until, "Asia/Seoul", grace_seconds=0)


def of_memory(kind: str, total: int) -> Spent:
    given = list(runs(total))
    made = Simulation(question(kind), UNITS, 1 << 30)
    began, cpu = time.perf_counter(), time.process_time()
    for each in given:
        made.take([each])
    spent = time.perf_counter() - began, time.process_time() - cpu
    return Spent(made.events, made.decoded, *spent, made.report(1.0, 0).fires)


async def of_kafka(kind: str, bootstrap: str) -> Spent:
    told: list[Told] = []
    task = Task(question(kind), bootstrap, "", EVENT_RESOLVED.name, UNITS, 1024)
    began, cpu = time.perf_counter(), time.process_time()
    await run(task, told.append)
    spent = time.perf_counter() - began, time.process_time() - cpu
    report = told[-1].report
    assert report is not None
    return Spent(report.events_read, report.events_decoded, *spent, report.fires)


async def of_reading(bootstrap: str) -> Spent:
    events = 0
    began, cpu = time.perf_counter(), time.process_time()
    topic = EVENT_RESOLVED.name
    async with History(bootstrap, prefix="", name=topic, partitions=UNITS, since_ms=0, until_ms=1 << 43) as history:
        async for chunk in history.chunks():
            events += sum(1 for _, _, messages in chunk for message in messages if message.value is not None)
    return Spent(events, 0, time.perf_counter() - began, time.process_time() - cpu, 0)


def measured(order: dict[str, Any]) -> Spent:
    if "reads" in order:
        return asyncio.run(of_reading(order["bootstrap"]))
    if "memory" in order:
        return of_memory(order["kind"], order["memory"])
    return asyncio.run(of_kafka(order["kind"], order["bootstrap"]))


def main(arguments: Sequence[str]) -> int:
    import gc

    # As the process of a job does.
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
    print(REPORT + json.dumps(measured(json.loads(arguments[0]))._asdict()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How do two sides do the same stage, one after the other, on the same messages? Each run has a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.topics import partition_of
from tests.load import cores
from tests.load.ground import Ground, told_by
from tests.load.stages import STAGES, UNITS, Stage, make_tables

_FILLED_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Run:
    """One side's best figures: events a second, and CPU microseconds per event by process.

    `foreign` is how many cores were busy with what is not ours, in the calmest round.
    """

    per_second: float
    process: float
    postgres: float
    kafka: float
    foreign: float


async def fill(stage: Stage, stand: Ground, count: int) -> None:
    """The stage's topic, full of `count` messages."""
    bootstrap = stand.kafka.bootstrap
    await ensure_topics(bootstrap, prefix="", partitions=UNITS, catalogue=stage.topics)
    publisher = Publisher(bootstrap)
    await publisher.start()
    encode, topic, records = msgspec.json.Encoder().encode, stage.source, []
    for fact in stage.facts(count):
        key = topic.key(fact).encode()
        records.append(Record(topic.name, partition_of(key, UNITS), key, encode(fact)))
        if len(records) == _FILLED_AT_ONCE:
            await publisher.publish(records)
            records = []
    await publisher.publish(records)
    await publisher.stop()


def alternating(stand: Ground, name: str, sides: Sequence[tuple[str, int]], rounds: int) -> dict[str, Run]:
    """A, B, A, B ...; each side with how many of the messages it is to handle. The best of all rounds."""
    found: dict[str, list[Run]] = {side: [] for side, _ in sides}
    for _ in range(rounds):
        for side, total in sides:
            found[side].append(_once(stand, STAGES[name], side, total))
    return {side: _best(runs) for side, runs in found.items()}


def _once(stand: Ground, stage: Stage, side: str, total: int) -> Run:
    order = {
        "stage": stage.name,
        "side": side,
        "database_url": asyncio.run(_database(stage, stand)),
        "bootstrap": stand.kafka.bootstrap,
        "total": total,
        "watched": stand.pids,
    }
    told = told_by("tests.load.subject", order, cores.measured())
    events, cpu = told["events"], told["cpu"]
    each = {name: seconds / events * 1e6 for name, seconds in cpu.items()}
    return Run(
        events / told["seconds"], each["process"], each["postgres"], each["kafka"], told["foreign"] / told["seconds"]
    )


async def _database(stage: Stage, stand: Ground) -> str:
    url = await stand.fresh_database(*([stage.tables] if stage.tables else []))
    await make_tables(stage, url)
    return url


def _best(runs: Sequence[Run]) -> Run:
    return Run(
        max(run.per_second for run in runs),
        min(run.process for run in runs),
        min(run.postgres for run in runs),
        min(run.kafka for run in runs),
        min(run.foreign for run in runs),
    )

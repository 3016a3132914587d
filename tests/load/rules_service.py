"""How many events a second does the rules service work off, and what takes the time?

The whole service with 1,000 rules of every kind on the measured core, its state and the log of its triggers on
PostgreSQL; once as it is and once fed from memory, so that the cost of the Kafka client is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from tests.load import cores
from tests.load.ground import Ground, ground, server
from tests.load.rows import Row, Scale, company
from tests.load.rules_ground import (
    Feed,
    counted,
    database_of,
    prepare,
    until_counted,
    variables_of,
    warm,
)
from tests.load.rules_mixes import MIXES, events, rules, segments

RULES: Final = 1_000
_EVENTS: Final = 200_000
_PROMISED: Final = 25_000.0
_PROMISED_WITHOUT: Final = 50_000.0
_MODULES: Final = {"with": "services.rules", "without": "tests.load.rules_memory"}


@dataclass(frozen=True, slots=True)
class Worked:
    """Events a second, CPU microseconds an event by process, and triggers and customers with a state in the end."""

    per_second: float
    process: float
    postgres: float
    kafka: float
    foreign: float
    triggers: int
    states: int
    failures: int


def rows(scale: Scale) -> list[Row]:
    total = scale.events(_EVENTS)
    found: dict[str, list[Worked]] = {side: [] for side in _MODULES}
    with ground() as stand:
        for _ in range(scale.rounds):
            for side, module in _MODULES.items():
                found[side].append(_run(stand, module, total))
    whole, bare = (min(found[side], key=lambda each: each.process) for side in _MODULES)
    if whole.failures or bare.failures or not whole.triggers:
        raise AssertionError(f"the run is not what it should be: {whole}, {bare}")
    about = f"{total:,} events, {whole.triggers:,} triggers logged, {whole.states:,} states"
    disturbed = company(max(whole.foreign, bare.foreign))
    name = f"rules service, {RULES:,} rules"
    return [
        Row(name, 1e6 / whole.process, "events/s of a core", "promised", _PROMISED, about + disturbed),
        Row(
            f"{name}, without the Kafka client", 1e6 / bare.process, "events/s of a core", "promised", _PROMISED_WITHOUT
        ),
        Row(f"{name}: CPU of the process", whole.process, "µs/event", "without Kafka", bare.process),
        Row(f"{name}: CPU of PostgreSQL", whole.postgres, "µs/event"),
        Row(f"{name}: CPU of Kafka", whole.kafka, "µs/event"),
        Row(f"{name}: throughput on its core", whole.per_second, "events/s", "without Kafka", bare.per_second),
    ]


def _run(stand: Ground, module: str, total: int) -> Worked:
    variables = variables_of(stand)
    asyncio.run(_fill(stand, variables, total))
    port = int(variables["DANGOL_RULES_PORT"])
    with server(module, port, stand.folder, variables) as pid:
        watched = {**stand.pids, "process": pid}
        # The start, in which caches are empty and statements unprepared, is not part of the figure.
        until_counted(port, "events", total // 10)
        before, began, first = _spent(watched), time.perf_counter(), counted(port)["events"]
        until_counted(port, "events", total)
        seconds, last = time.perf_counter() - began, counted(port)
        spent = {name: now - before[name] for name, now in _spent(watched).items()}
    count = last["events"] - first
    each = {name: spent[name] / count * 1e6 for name in watched}
    foreign = max(0.0, spent["machine"] - sum(spent[name] for name in watched)) / seconds
    triggers, states = asyncio.run(_kept(stand, variables))
    failures = last.get("failures", 0) + last.get("buried", 0)
    figures = (each["process"], each["postgres"], each["kafka"], foreign)
    return Worked(count / seconds, *figures, triggers, states, failures)


async def _fill(stand: Ground, variables: Mapping[str, str], total: int) -> None:
    mix = MIXES[1]
    await prepare(stand, variables, rules(mix, RULES), segments(mix))
    await warm(stand, variables)
    async with Feed(stand.kafka.bootstrap, variables["DANGOL_TOPIC_PREFIX"]) as feed:
        await feed.give(events(mix, total))


async def _kept(stand: Ground, variables: Mapping[str, str]) -> tuple[int, int]:
    connection = await asyncpg.connect(database_of(stand, variables))
    try:
        triggers = await connection.fetchval("SELECT count(*) FROM trigger_log")
        return int(triggers), int(await connection.fetchval("SELECT count(*) FROM rule_state"))
    finally:
        await connection.close()


def _spent(watched: Mapping[str, int]) -> dict[str, float]:
    return {**{name: cores.cpu_seconds(pid) for name, pid in watched.items()}, "machine": cores.busy_seconds()}

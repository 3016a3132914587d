"""How late does a wait end, and what does it cost to have a million of them? The service, its timers on PostgreSQL.

Upstream says once a second how far it has come, as it does in earnest; a timer's gate opens when it has said that it is
past the due instant and the grace. Lateness is from there until the trigger is in the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from libs.common import clock
from tests.load import cores, rules_waits
from tests.load.ground import Ground, ground, server
from tests.load.rows import Row, Scale
from tests.load.rules_ground import (
    Feed,
    counted,
    customers,
    database_of,
    event,
    one_per_unit,
    prepare,
    quantile,
    until_counted,
    variables_of,
    warm,
)
from tests.load.rules_waits import HOUR_MS, Wait

PENDING: Final = 1_000_000
HERD: Final = 20_000
SET: Final = 20_000
LATE_SECONDS_MAX: Final = 1.0
_DRIPPING_SECONDS: Final = 30
_DRIPS_PER_SECOND: Final = 100
_TOLD_EVERY_SECONDS: Final = 0.02
_BEFORE_SECONDS: Final = 8
_QUIET_SECONDS: Final = 240.0
_GRACE_MS: Final = 2_000
_TELLS: Final = {
    "id": "tells",
    "name": "x",
    "when": {"type": "event", "event": "told"},
    "emit": {"trigger": "bench.told"},
}


@dataclass
class Timed:
    """Instants in seconds of one clock. `marks` is until when upstream vouched, in ms, and when it said so."""

    due_ms: dict[str, int] = field(default_factory=dict)
    fired: dict[str, float] = field(default_factory=dict)
    marks: list[tuple[int, float]] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)
    came: dict[str, float] = field(default_factory=dict)

    def late(self, rule: str) -> list[float]:
        """Seconds after the gate, of those of a rule."""
        found = []
        for customer, due_ms in self.due_ms.items():
            if customer.startswith(rule):
                gate = next(said for vouched, said in self.marks if vouched >= due_ms + _GRACE_MS)
                found.append(self.fired[customer] - gate)
        return found

    def told_ms(self, since: float, until: float) -> list[float]:
        return [(self.came[id_] - at) * 1000 for id_, at in self.sent.items() if since <= at < until]


def rows(scale: Scale) -> list[Row]:
    share = min(1.0, scale.share)
    pending, herd = int(PENDING * share), int(HERD * share)
    with ground() as stand:
        full, timed = _run(stand, pending, herd, share)
        empty, _ = _run(stand, 0, 0, share)
    name = f"timers, {pending:,} pending"
    drips, herded = timed.late("dripping"), timed.late("herded")
    opened = min(said for vouched, said in timed.marks if vouched >= max(timed.due_ms.values()) + _GRACE_MS)
    passed = opened + max(herded)
    calm, busy = timed.told_ms(0.0, opened - 3.0), timed.told_ms(opened, passed + 1.0)
    told = f"{len(drips):,} of them, {_DRIPS_PER_SECOND} due a second; to be 1 or less"
    return [
        Row(f"{name}: after the gate, p99", quantile(drips, 0.99), "s", "promised", LATE_SECONDS_MAX, told),
        Row(f"{name}: after the gate, median", quantile(drips, 0.5), "s"),
        Row(f"{name}: CPU of an event that sets or ends one", full, "µs", "none pending", empty, "with PostgreSQL"),
        Row(f"{herd:,} due in one second: the last one after the gate", max(herded), "s"),
        Row(
            f"{herd:,} due in one second: live event to trigger, p99",
            quantile(busy, 0.99),
            "ms",
            "before it",
            quantile(calm, 0.99),
            f"200 events/s; most {max(busy):,.0f} ms",
        ),
    ]


def _run(stand: Ground, pending: int, herd: int, share: float) -> tuple[float, Timed]:
    """CPU microseconds of an event that sets or ends a wait; and, if there are any pending, when timers fired."""
    variables = variables_of(stand)
    url = database_of(stand, variables)
    asyncio.run(prepare(stand, variables, [*rules_waits.rules(), _TELLS]))
    asyncio.run(warm(stand, variables))
    since_ms = clock.now_ms()
    day_ms = 24 * HOUR_MS
    waits = (Wait("pending", each, since_ms - number % 30 * day_ms) for number, each in enumerate(customers(pending)))
    asyncio.run(rules_waits.copy(url, waits))
    port = int(variables["DANGOL_RULES_PORT"])
    variables["DANGOL_TIMER_GRACE_SECONDS"] = str(_GRACE_MS / 1000)
    with server("services.rules", port, stand.folder, variables) as pid:
        cost = asyncio.run(_set_and_ended(stand, variables, {**stand.pids, "process": pid}, int(SET * share)))
        timed = asyncio.run(_timed(stand, variables, herd)) if pending else Timed()
    return cost, timed


async def _set_and_ended(stand: Ground, variables: Mapping[str, str], watched: Mapping[str, int], count: int) -> float:
    port, now_ms = int(variables["DANGOL_RULES_PORT"]), clock.now_ms()
    names = [f"set-{number}" for number in range(count)]
    async with Feed(stand.kafka.bootstrap, variables["DANGOL_TOPIC_PREFIX"]) as feed:
        # The first of them find everything cold.
        for kind, half in (("warm", names[: count // 10]), ("pending", names)):
            first = (await asyncio.to_thread(counted, port)).get("events", 0)
            before = {name: cores.cpu_seconds(pid) for name, pid in watched.items()}
            await feed.give(event(each, "pending", f"{kind}-{each}", now_ms) for each in half)
            await feed.give(event(each, "purchase", f"{kind}-end-{each}", now_ms) for each in half)
            await asyncio.to_thread(until_counted, port, "events", first + 2 * len(half))
            spent = {name: cores.cpu_seconds(pid) - before[name] for name, pid in watched.items()}
    return (spent["process"] + spent["postgres"]) / (2 * count) * 1e6


async def _timed(stand: Ground, variables: Mapping[str, str], herd: int) -> Timed:
    timed, over = Timed(), asyncio.Event()
    first_ms = clock.now_ms() + (_BEFORE_SECONDS + herd // 1_000) * 1_000
    herd_ms = first_ms + (_DRIPPING_SECONDS + 5) * 1_000
    drips = _DRIPS_PER_SECOND * _DRIPPING_SECONDS
    timed.due_ms = {f"dripping-{n}": first_ms + n * 1_000 // _DRIPS_PER_SECOND for n in range(drips)}
    timed.due_ms |= {f"herded-{n}": herd_ms + n * 1_000 // herd for n in range(herd)}
    waits = [Wait(name.partition("-")[0], name, due - HOUR_MS) for name, due in timed.due_ms.items()]
    await rules_waits.copy(database_of(stand, variables), waits)
    async with Feed(stand.kafka.bootstrap, variables["DANGOL_TOPIC_PREFIX"]) as feed:
        tasks = [asyncio.create_task(work(feed, timed, over)) for work in (_mark, _tell, _read)]
        try:
            async with asyncio.timeout((herd_ms - clock.now_ms()) / 1_000 + _QUIET_SECONDS):
                while len(timed.fired) < len(timed.due_ms) and not any(task.done() for task in tasks):
                    await asyncio.sleep(0.2)
        finally:
            over.set()
        await asyncio.gather(*tasks)
    return timed


async def _mark(feed: Feed, timed: Timed, over: asyncio.Event) -> None:
    while not over.is_set():
        await asyncio.sleep(1.0 - time.time() % 1.0)
        now_ms = clock.now_ms()
        await feed.mark(now_ms)
        timed.marks.append((now_ms, time.perf_counter()))


async def _tell(feed: Feed, timed: Timed, over: asyncio.Event) -> None:
    number, due, those = 0, time.perf_counter(), one_per_unit()
    while not over.is_set():
        batch = []
        for customer in those:
            number += 1
            timed.sent[f"told-{number}"] = time.perf_counter()
            batch.append(event(customer, "told", f"told-{number}", clock.now_ms()))
        await feed.give(batch)
        due += _TOLD_EVERY_SECONDS
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def _read(feed: Feed, timed: Timed, over: asyncio.Event) -> None:
    while not over.is_set() or len(timed.came) < len(timed.sent):
        found = await feed.triggers(20)
        now = time.perf_counter()
        for each in found:
            if each.rule_id == "tells":
                timed.came[each.event_id] = now
            else:
                timed.fired[each.customer_id] = now

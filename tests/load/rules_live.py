"""How soon does an edit of a rule count in every process, and what does it hold up? Two instances under load.

Four times fifty events a second tell, unit by unit, which version of one rule fires; beside them come events that many
other rules look at. Every edit is a new version, written and activated over HTTP while this goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.local.ports import free_port
from libs.common import clock
from libs.common.events import EventResolved
from tests.load.ground import Ground, ground, server
from tests.load.rows import Row, Scale
from tests.load.rules_ground import (
    UNITS,
    Feed,
    counted,
    event,
    one_per_unit,
    prepare,
    quantile,
    token,
    variables_of,
)
from tests.load.rules_mixes import MIXES, events, rules, segments

SIZES: Final = (1_000, 10_000)
LIVE_SECONDS_MAX: Final = 2.0
_EDITS: Final = 10
_EDIT_EVERY_SECONDS: Final = 4.0
_TOLD_EVERY_SECONDS: Final = 0.02
_BESIDE_PER_TURN: Final = 16
_AFTER_SECONDS: Final = 2.0
_START_SECONDS_MAX: Final = 120.0
_TELLS: Final = {
    "id": "tells",
    "name": "x",
    "when": {"type": "event", "event": "told"},
    "emit": {"trigger": "bench.told"},
}


@dataclass
class Seen:
    """By event: when it was sent and of which unit it is; when its trigger came and of which version it is."""

    sent: dict[str, tuple[float, int]] = field(default_factory=dict)
    came: dict[str, tuple[float, int]] = field(default_factory=dict)
    edits: list[tuple[int, float]] = field(default_factory=list)

    def live_seconds(self) -> list[float]:
        """Of each edit: from its answer until the last trigger by an older version came, the way there included."""
        found = []
        for version, answered in self.edits:
            old = [at for at, by in self.came.values() if by < version]
            found.append(max(0.0, max(old, default=0.0) - answered))
        return found

    def latencies_ms(self, *, edited: bool) -> list[float]:
        """Of what was sent in the moments after an edit, or at other times."""
        found = []
        for id_, (at, _) in self.came.items():
            sent = self.sent[id_][0]
            near = any(answered - 1.0 <= sent <= answered + _AFTER_SECONDS for _, answered in self.edits)
            if near == edited:
                found.append((at - sent) * 1000)
        return found

    def went_back(self) -> int:
        """How often a unit fired by an older version after a newer one."""
        count, newest = 0, [0] * UNITS
        for id_, (_, unit) in self.sent.items():
            version = self.came[id_][1] if id_ in self.came else newest[unit]
            count += version < newest[unit]
            newest[unit] = max(newest[unit], version)
        return count


def rows(scale: Scale) -> list[Row]:
    quick = scale.share < 1
    sizes = SIZES[:1] if quick else SIZES
    edits = max(2, int(_EDITS * scale.share))
    with ground() as stand:
        return [row for size in sizes for row in _rows(size, _run(stand, size, edits))]


def _rows(size: int, seen: Seen) -> list[Row]:
    lost, back = len(seen.sent) - len(seen.came), seen.went_back()
    if lost or back:
        raise AssertionError(f"{lost} of {len(seen.sent)} events fired nothing, {back} by a version that was over")
    live = seen.live_seconds()
    name = f"edit of one of {size:,} rules, two instances"
    during, else_ = seen.latencies_ms(edited=True), seen.latencies_ms(edited=False)
    told = f"{len(live)} edits, median {quantile(live, 0.5):.2f} s; {len(seen.came):,} events, none lost"
    return [
        Row(f"{name}: counts everywhere after", max(live), "s at most", "promised", LIVE_SECONDS_MAX, told),
        Row(f"{name}: event to trigger, p99", quantile(during, 0.99), "ms", "at other times", quantile(else_, 0.99)),
        Row(f"{name}: event to trigger, most", max(during), "ms", "at other times", max(else_, default=0.0)),
    ]


def _run(stand: Ground, size: int, edits: int) -> Seen:
    variables = variables_of(stand)
    mix = MIXES[1]
    asyncio.run(prepare(stand, variables, [*rules(mix, size), _TELLS], segments(mix)))
    ports = [int(variables["DANGOL_RULES_PORT"]), free_port()]
    with contextlib.ExitStack() as stack:
        for port in ports:
            own = {**variables, "DANGOL_RULES_PORT": str(port)}
            stack.enter_context(server("services.rules", port, stand.folder, own))
        return asyncio.run(_edited(stand, variables["DANGOL_TOPIC_PREFIX"], ports, edits, events(mix, 20_000)))


async def _edited(stand: Ground, prefix: str, ports: Sequence[int], edits: int, beside: list[EventResolved]) -> Seen:
    seen, over = Seen(), asyncio.Event()
    async with Feed(stand.kafka.bootstrap, prefix) as feed:
        telling = asyncio.create_task(_tell(feed, seen, over, beside))
        reading = asyncio.create_task(_read(feed, seen, over))
        try:
            await _until_shared(ports, telling, reading)
            # What was sent while the units were still being taken is no part of the figures.
            begun = len(seen.sent)
            for version in range(2, edits + 2):
                await asyncio.sleep(_EDIT_EVERY_SECONDS)
                await asyncio.to_thread(_edit, ports[0], version)
                seen.edits.append((version, time.perf_counter()))
            await asyncio.sleep(_EDIT_EVERY_SECONDS)
        finally:
            over.set()
        await telling
        await asyncio.wait_for(reading, _START_SECONDS_MAX)
    for id_ in list(seen.sent)[:begun]:
        del seen.sent[id_]
        seen.came.pop(id_, None)
    return seen


async def _until_shared(ports: Sequence[int], *tasks: asyncio.Task[None]) -> None:
    """Both instances work."""
    async with asyncio.timeout(_START_SECONDS_MAX):
        while not all([(await asyncio.to_thread(counted, port)).get("events", 0) for port in ports]):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.5)


async def _tell(feed: Feed, seen: Seen, over: asyncio.Event, beside: list[EventResolved]) -> None:
    customers, others = one_per_unit(), _for_ever(beside)
    number, due = 0, time.perf_counter()
    while not over.is_set():
        batch = [next(others) for _ in range(_BESIDE_PER_TURN)]
        now = time.perf_counter()
        for unit, customer in enumerate(customers):
            number += 1
            seen.sent[f"told-{number}"] = (now, unit)
            batch.append(event(customer, "told", f"told-{number}", clock.now_ms()))
        await feed.give(batch)
        due += _TOLD_EVERY_SECONDS
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


def _for_ever(given: list[EventResolved]) -> Iterator[EventResolved]:
    while True:
        yield from given


async def _read(feed: Feed, seen: Seen, over: asyncio.Event) -> None:
    while not over.is_set() or len(seen.came) < len(seen.sent):
        found = await feed.triggers()
        now = time.perf_counter()
        for each in found:
            if each.rule_id == "tells":
                seen.came[each.event_id] = (now, each.rule_version)


def _edit(port: int, version: int) -> None:
    _call(port, "PUT", "/tells", {**_TELLS, "name": f"version {version}"}, {"If-Match": f'"{version - 1}"'})
    _call(port, "POST", "/tells/activate", {"version": version}, {})


def _call(port: int, method: str, path: str, body: Any, headers: dict[str, str]) -> None:
    given = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json", **headers}
    address = f"http://127.0.0.1:{port}/v1/rules{path}"
    with urllib.request.urlopen(
        urllib.request.Request(address, json.dumps(body).encode(), given, method=method), timeout=30
    ) as answer:
        answer.read()

"""What is left of the worker's promises when processes die, freeze and return, and both servers go away?

Real processes of the tally service (tests/tally.py) are killed at random and at named points while numbers flow. It
writes down every number that is lost, doubled or out of order; the checker below reads only its tables and the raw log.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest

from deploy.local.broker import KafkaBroker
from deploy.local.postgres import PostgresServer
from libs.common import worker_tables
from libs.common.errors import BrokerAway
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.topics import partition_of
from tests import soaking, tally
from tests.log_reading import everything
from tests.tally import GIVEN, SPLIT, UNITS, Given

KEYS = 24


ROUNDS_MAX = 4
"""A busy machine starts processes slowly: whoever has seen too few deaths after one goes on."""


@dataclass
class Fleet:
    """Processes of the tally service, a stream of numbers into it, and the checker's view of what came of it."""

    database_url: str
    bootstrap: str
    prefix: str
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)
    deaths: int = 0

    def launch(self, crash: str = "") -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.tally", self.database_url, self.bootstrap, self.prefix, crash],
                stdout=out,
                stderr=out,
            )
        self.processes.append(process)
        return process

    def bury(self, process: subprocess.Popen[bytes], signal_number: int = signal.SIGKILL) -> None:
        if process.poll() is None:
            process.send_signal(signal_number)
        process.wait(20)
        self.processes.remove(process)
        self.deaths += 1

    def replace_the_dead(self, crash: str = "") -> None:
        for process in [process for process in self.processes if process.poll() is not None]:
            self.bury(process)
            self.launch(crash)

    async def feed(self, seconds: float, per_second: int = 200) -> None:
        """Numbers for all keys in turn; what the broker did not acknowledge is published again under the same stamp."""
        publisher = Publisher(self.bootstrap, prefix=self.prefix, timeout_seconds=5.0)
        await publisher.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            records = []
            for _ in range(per_second // 10):
                key = f"key-{random.randrange(KEYS)}"
                self.given[key] = self.given.get(key, 0) + 1
                stamp = f"feeder/0:{sum(self.given.values())}".encode()
                event = msgspec.json.encode(Given(key, self.given[key]))
                unit = partition_of(key.encode(), UNITS)
                records.append(Record(GIVEN.name, unit, key.encode(), event, [("origin", stamp)]))
            while True:
                try:
                    await publisher.publish(records)
                    break
                except BrokerAway:
                    await asyncio.sleep(0.2)
            await asyncio.sleep(0.1)
        await publisher.stop()

    async def verdict(self, seconds: float = 40.0) -> None:
        """Waits until all numbers came through both stages, then demands that each did so once and in order."""
        connection = await asyncpg.connect(self.database_url)
        try:
            reached: dict[str, dict[str, int]] = {}
            until = time.monotonic() + seconds
            while time.monotonic() < until and any(reached.get(s) != self.given for s in ("split", "count")):
                await asyncio.sleep(0.2)
                rows = await connection.fetch("SELECT stage, key, last FROM tally")
                reached = {"split": {}, "count": {}}
                for row in rows:
                    reached[row["stage"]][row["key"]] = row["last"]
            violations = await connection.fetch("SELECT * FROM violation")
            assert [tuple(row) for row in violations] == []
            assert reached == {"split": self.given, "count": self.given}
            assert await connection.fetch("SELECT * FROM tally WHERE times <> last") == []
        finally:
            await connection.close()
        assert await self._published() == self.given

    async def _published(self) -> dict[str, int]:
        """From the raw log alone: of each key how many different numbers stage one published."""
        numbers: dict[str, set[int]] = {}
        for record in await everything(self.bootstrap, self.prefix, SPLIT.name, range(UNITS)):
            if record.value is not None:
                split = msgspec.json.decode(record.value, type=tally.Split)
                numbers.setdefault(split.key, set()).add(split.number)
        return {key: len(found) for key, found in numbers.items()}


@pytest.fixture
async def fleet(postgres: PostgresServer, broker: KafkaBroker, fresh_name: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    server = await asyncpg.connect(postgres.url)
    await server.execute(f'CREATE DATABASE "{fresh_name}"')
    await server.close()
    url = urlunsplit(urlsplit(postgres.url)._replace(path=f"/{fresh_name}"))
    connection: Any = await asyncpg.connect(url)
    await connection.execute(worker_tables.SQL + tally.TABLES)
    await connection.close()
    await ensure_topics(broker.bootstrap, prefix=f"{fresh_name}.", partitions=UNITS, catalogue=tally.TOPICS)
    fleet = Fleet(url, broker.bootstrap, f"{fresh_name}.", tmp_path / "tally.log")
    yield fleet
    for process in list(fleet.processes):
        fleet.bury(process)


async def test_kill_9_at_random_loses_nothing_and_doubles_nothing(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.launch()
    for _ in range(ROUNDS_MAX):
        feeding = asyncio.create_task(fleet.feed(soaking.seconds(15)))
        while not feeding.done():
            await asyncio.sleep(random.uniform(0.5, 1.5))
            fleet.bury(random.choice(fleet.processes))
            fleet.launch()
        await feeding
        if fleet.deaths >= 8:
            break
    await fleet.verdict()
    assert fleet.deaths >= 8


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "after_publish"])
async def test_death_at_a_named_point_leaves_no_trace(fleet: Fleet, point: str) -> None:
    crash = f"{point}:0.05"
    for _ in range(2):
        fleet.launch(crash)
    for _ in range(ROUNDS_MAX):
        feeding = asyncio.create_task(fleet.feed(10))
        while not feeding.done():
            await asyncio.sleep(0.2)
            fleet.replace_the_dead(crash)
        await feeding
        if fleet.deaths >= 5:
            break
    for process in list(fleet.processes):
        fleet.bury(process)
    fleet.launch()
    await fleet.verdict()
    assert fleet.deaths >= 5, "the point was hardly ever reached"


async def test_a_frozen_owner_that_wakes_after_its_lease_was_taken_changes_nothing(fleet: Fleet) -> None:
    first = fleet.launch()
    feeding = asyncio.create_task(fleet.feed(16))
    await asyncio.sleep(3)
    for _ in range(2):
        os.kill(first.pid, signal.SIGSTOP)
        second = fleet.launch()
        await asyncio.sleep(5)
        os.kill(first.pid, signal.SIGCONT)
        await asyncio.sleep(1)
        fleet.bury(second)
    await feeding
    await fleet.verdict()


async def test_instances_that_come_and_go_hand_the_units_over(fleet: Fleet) -> None:
    fleet.launch()
    feeding = asyncio.create_task(fleet.feed(14))
    while not feeding.done():
        guest, other = fleet.launch(), fleet.launch()
        await asyncio.sleep(2.5)
        fleet.bury(guest, signal.SIGTERM)
        fleet.bury(other)
    await feeding
    await fleet.verdict()


async def test_postgresql_that_restarts_at_once_is_only_a_pause(fleet: Fleet, postgres: PostgresServer) -> None:
    for _ in range(2):
        fleet.launch()
    feeding = asyncio.create_task(fleet.feed(10))
    for _ in range(2):
        await asyncio.sleep(3)
        await asyncio.to_thread(postgres.stop, immediate=True)
        await asyncio.to_thread(postgres.start)
    await feeding
    await fleet.verdict()


@pytest.mark.parametrize("seconds", [5, 90] if soaking.soaks() else [5, 30])
async def test_a_broker_that_was_away_is_only_a_pause(fleet: Fleet, broker: KafkaBroker, seconds: int) -> None:
    """Sixty seconds are longer than any time-out of the producer, after which its client is known to wedge."""
    for _ in range(2):
        fleet.launch()
    feeding = asyncio.create_task(fleet.feed(seconds + 6))
    await asyncio.sleep(3)
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(broker.start)
    await feeding
    await fleet.verdict()

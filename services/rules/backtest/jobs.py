"""Which jobs run beside this process of the service? Taken from a queue, each in a process of its own, at leisure.

A job is a row with a lease. Whoever holds it says every half second how far it is; when its process is gone, or that of
the service, the lease runs out and the job begins anew elsewhere, three times at the most. One that comes no further
has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from libs.common import clock, logs
from libs.common.db import Database, Row
from libs.common.documents.reading import load_snapshot
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from libs.common.topics import EVENT_RESOLVED
from services.rules.backtest import store
from services.rules.backtest.shapes import LiveRule, Question, Step, Task, Told

ROOT = Path(__file__).resolve().parents[3]
KEPT = timedelta(days=90)
ATTEMPTS_MAX = 3
SILENCE_SECONDS_MAX = 300.0
_TURN_SECONDS = 0.5
_TRIM_EVERY = timedelta(hours=1)
_LINE_BYTES_MAX = 64 << 20
_told = msgspec.json.Decoder(Told)


class Place(NamedTuple):
    """Where the log is, by what a job is bounded, and what the live engine goes by."""

    me: str
    bootstrap: str
    prefix: str
    partitions: int
    company_zone: str
    grace_seconds: float
    running_max: int
    memory_mb: int
    log_level: str


class Jobs(Recurring):
    """A component. `wake` makes it look for work at once."""

    def __init__(self, database: Database, metrics: Metrics, place: Place) -> None:
        super().__init__("backtests", self._turn, metrics)
        self._database = database
        self._place = place
        self._running: dict[UUID, _Job] = {}
        self._trimmed_at = clock.from_ms(0)
        self._ended = metrics.counter("backtests_total", "Backtests that ended, by how.", ["state"])

    async def stop(self) -> None:
        """What is under way begins anew in the next process, and nothing is held against it."""
        await super().stop()
        jobs, self._running = self._running, {}
        for job in jobs.values():
            await job.kill()
        if jobs:
            async with self._database.connection() as connection:
                await store.give_back(connection, self._place.me, jobs, interrupted=False)

    async def _turn(self) -> float:
        await self._renew()
        await self._end_silent()
        for id, job in list(self._running.items()):
            if job.is_over:
                del self._running[id]
                await self._end(id, job)
        await self._claim()
        await self._trim()
        return _TURN_SECONDS

    async def _renew(self) -> None:
        if not self._running:
            return
        async with self._database.connection() as connection:
            steps = {id: job.step for id, job in self._running.items()}
            wanted = await store.renew(connection, self._place.me, steps)
        for id in self._running.keys() - wanted:
            # Cancelled, or so late that somebody else is at it.
            await self._running.pop(id).kill()

    async def _end_silent(self) -> None:
        for job in self._running.values():
            if not job.is_over and time.monotonic() - job.heard > SILENCE_SECONDS_MAX:
                await job.kill()
                job.give_up(f"it came no further for {SILENCE_SECONDS_MAX:g} seconds, and was ended")

    async def _end(self, id: UUID, job: _Job) -> None:
        last = await job.result()
        if last is None:
            logs.get("backtest").warning("backtest_interrupted", backtest=str(id), code=job.code)
            async with self._database.connection() as connection:
                await store.give_back(connection, self._place.me, [id], interrupted=True)
            return
        async with self._database.transaction() as tx:
            if await store.end(tx, self._place.me, id, clock.now(), last.report, last.examples, last.error):
                self._ended.labels("failed" if last.error else "finished").inc()

    async def _claim(self) -> None:
        async with self._database.transaction() as tx:
            rows = await store.claim(tx, self._place.me, self._place.running_max, ATTEMPTS_MAX, clock.now())
            live = await _live_rules(tx.connection) if any(row["overlap"] for row in rows) else []
        for row in rows:
            self._running[row["id"]] = await _Job.begun(self._told_to(row, live))

    def _told_to(self, row: Row, live: Sequence[LiveRule]) -> Task:
        place = self._place
        question = Question(
            rule=msgspec.Raw(row["document"].encode()),
            since=row["since"],
            until=row["until"],
            company_zone=place.company_zone,
            version=row["version"],
            in_force_before=row["in_force_before"],
            ignore_valid=row["ignore_valid"],
            examples=row["examples"],
            live=list(live) if row["overlap"] else [],
            grace_seconds=place.grace_seconds,
        )
        topic = EVENT_RESOLVED.name
        return Task(
            question,
            place.bootstrap,
            place.prefix,
            topic,
            place.partitions,
            place.memory_mb,
            place.log_level,
            parent=os.getpid(),
        )

    async def _trim(self) -> None:
        now = clock.now()
        if now - self._trimmed_at > _TRIM_EVERY:
            self._trimmed_at = now
            async with self._database.transaction() as tx:
                await store.trim(tx, now - KEPT, now - timedelta(days=1 + (EVENT_RESOLVED.retention_days or 0)))


async def _live_rules(connection: Any) -> list[LiveRule]:
    _, documents = await load_snapshot(connection, "rule")
    return [LiveRule(msgspec.Raw(each.body), each.version, each.ramp_percent) for each in documents]


class _Job:
    """A process that is at one job, and what it has told."""

    def __init__(self, process: asyncio.subprocess.Process, task: Task) -> None:
        self._process = process
        self._task = task
        self._last: Told | None = None
        self._listening = asyncio.create_task(self._listen(), name="backtest")
        self.step: Step | None = None
        self.heard = time.monotonic()

    @classmethod
    async def begun(cls, task: Task) -> _Job:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.rules.backtest",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=_LINE_BYTES_MAX,
            # A signal to the service's terminal is for the service, which ends its jobs itself.
            start_new_session=True,
        )
        return cls(process, task)

    @property
    def is_over(self) -> bool:
        return self._listening.done()

    @property
    def code(self) -> int | None:
        return self._process.returncode

    async def result(self) -> Told | None:
        """The last word; None when it ended without one."""
        await self._listening
        return self._last

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._listening

    def give_up(self, error: str) -> None:
        """Let this be its last word, unless it had one."""
        self._last = self._last or Told(error=error)

    async def _listen(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(msgspec.json.encode(self._task) + b"\n")
            await self._process.stdin.drain()
            self._process.stdin.close()
        try:
            while line := await self._process.stdout.readline():
                self._hear(_told.decode(line))
        except (ValueError, msgspec.DecodeError) as error:
            # Half a line of a process that was ended, or something that is none of ours.
            logs.get("backtest").warning("backtest_unreadable", error=str(error))
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()

    def _hear(self, told: Told) -> None:
        self.step, self.heard = told.step or self.step, time.monotonic()
        if told.report is not None or told.error:
            self._last = told

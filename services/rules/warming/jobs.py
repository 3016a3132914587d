"""Which questions about the past are answered now? All that wait, in one reading, one at a time in all processes.

Where little is to be read it is read here: to start a process would cost more. The rows have a lease, as backtests
have: when whoever was at it is gone, it begins anew. Trouble is written down and tried again, at ever longer intervals,
and nothing waits for it: rules go on with what they have seen themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from libs.common import clock, logs, timers
from libs.common.db import Database, Row
from libs.common.errors import DangolError
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from libs.common.timers import Timer
from libs.common.topics import EVENT_RESOLVED
from services.rules.engine import state
from services.rules.engine.state import State
from services.rules.processes import Child
from services.rules.warming import sources, store
from services.rules.warming.reading import Step, Task, Told, read
from services.rules.warming.unit import TIMER_KEY

BESIDE_MESSAGES_MAX = 5_000
SILENCE_SECONDS_MAX = 300.0
RETRY_SECONDS = (5.0, 600.0)
_TURN_SECONDS = 0.5
_REST_SECONDS = 2.0
_TRIM_EVERY = timedelta(hours=1)


class Place(NamedTuple):
    """Where the log and the database are, by what a reading is bounded, and what the live engine goes by."""

    me: str
    worker: str
    bootstrap: str
    prefix: str
    partitions: int
    company_zone: str
    grace_seconds: float
    database_url: str
    memory_mb: int
    log_level: str


class _Beside:
    """A reading in the process of the service."""

    def __init__(self, task: Task, database: Database) -> None:
        self.step: Step | None = None
        self.heard = time.monotonic()
        self._last: Told | None = None
        self._reading = asyncio.create_task(self._read(task, database), name="warming")

    @property
    def is_over(self) -> bool:
        return self._reading.done()

    async def result(self) -> Told | None:
        await self._reading
        return self._last

    async def kill(self) -> None:
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    def give_up(self, error: str) -> None:
        self._last = self._last or Told(error=error)

    async def _read(self, task: Task, database: Database) -> None:
        try:
            await read(task, database, self._hear)
        except (DangolError, ValueError, msgspec.DecodeError) as error:
            self.give_up(str(error))

    def _hear(self, told: Told) -> None:
        self.step, self.heard = told.step or self.step, time.monotonic()
        if told.is_last:
            self._last = told


class WarmingJobs(Recurring):
    """A component. `number` says which snapshot is in use here: idle units are told that there is a new one."""

    def __init__(self, database: Database, metrics: Metrics, place: Place, number: Callable[[], int]) -> None:
        super().__init__("warming", self._turn, metrics)
        self._database = database
        self._place = place
        self._number = number
        self._told_number = -1
        self._job: tuple[UUID, Child[Told] | _Beside] | None = None
        self._trimmed_at = clock.from_ms(0)
        self._ended = metrics.counter("warmings_total", "Readings of the past that ended, by how.", ["state"])
        self._open = metrics.gauge("warming_open_units", "Units that wait for what the past tells rules that are new.")
        self._age = metrics.gauge("warming_age_seconds", "How long the oldest of them has been open.")
        self._failing = metrics.gauge("warming_failing_units", "Those of them whose last reading failed.")

    async def stop(self) -> None:
        await super().stop()
        job, self._job = self._job, None
        if job is not None:
            await job[1].kill()
            async with self._database.connection() as connection:
                await store.give_back(connection, self._place.me)

    async def _turn(self) -> float:
        await self._tell_units()
        if self._job is not None:
            await self._look_after(*self._job)
        if self._job is None:
            await self._claim()
        await self._measure()
        return _TURN_SECONDS if self._job is not None else _REST_SECONDS

    async def _tell_units(self) -> None:
        number = self._number()
        if number != self._told_number:
            async with self._database.transaction() as tx:
                for unit in range(self._place.partitions):
                    await timers.put(tx, self._place.worker, unit, [_timer()])
            self._told_number = number

    async def _look_after(self, id: UUID, job: Child[Told] | _Beside) -> None:
        if job.is_over:
            self._job = None
            await self._end(id, await job.result())
            return
        step = job.step or Step(0, 0)
        async with self._database.connection() as connection:
            wanted = await store.renew(connection, self._place.me, id, step.messages_read, step.messages_total or None)
        if not wanted:
            self._job = None
            await job.kill()
        elif time.monotonic() - job.heard > SILENCE_SECONDS_MAX:
            await job.kill()
            job.give_up(f"it came no further for {SILENCE_SECONDS_MAX:g} seconds, and was ended")

    async def _end(self, id: UUID, last: Told | None) -> None:
        if last is None or last.error:
            error = "its process ended before it was done" if last is None else last.error
            logs.get("warming").warning("warming_failed", job=str(id), error=error)
            self._ended.labels("failed").inc()
            async with self._database.connection() as connection:
                await store.fail(connection, self._place.me, id, error)
            return
        since = clock.from_ms(last.since_ms) if last.since_ms else None
        async with self._database.transaction() as tx:
            units = await store.end(tx, self._place.me, id, last.customers or {}, since)
            if units:
                await store.add_beginners(tx, id, lambda customer_id: state.encode(State(customer_id)))
            for unit in units:
                await timers.put(tx, self._place.worker, unit, [_timer()])
        if units:
            self._ended.labels("read").inc()

    async def _claim(self) -> None:
        id = clock.new_id()
        async with self._database.transaction() as tx:
            for unit in await store.lapse(tx, RETRY_SECONDS):
                await timers.put(tx, self._place.worker, unit, [_timer()])
            rows = await store.claim(tx, self._place.me, id, self._place.partitions)
            if not rows:
                return
            await store.drop_warmed(tx, {row["unit"] for row in rows})
            task = await self._asked(tx.connection, id, rows)
        little = sum(task.units.values()) <= BESIDE_MESSAGES_MAX
        job = _Beside(task, self._database) if little else await Child.begun("services.rules.warming", task, Told)
        self._job = id, job

    async def _asked(self, connection: Any, id: UUID, rows: Sequence[Row]) -> Task:
        place = self._place
        wanted = [each for row in rows for each in store.rules_of(row)]
        # What came after the first question of a unit was heard by it.
        units: dict[int, int] = {}
        for row in rows:
            units[row["unit"]] = min(row["position"], units.get(row["unit"], row["position"]))
        return Task(
            id,
            await sources.load(connection, wanted),
            units,
            min(clock.to_ms(row["asked_at"]) for row in rows),
            place.bootstrap,
            place.prefix,
            EVENT_RESOLVED.name,
            place.partitions,
            place.company_zone,
            place.grace_seconds,
            place.database_url,
            place.memory_mb,
            place.log_level,
            parent=os.getpid(),
        )

    async def _measure(self) -> None:
        async with self._database.connection() as connection:
            found = await store.figures(connection)
        self._open.set(found["open"])
        self._age.set(found["age"])
        self._failing.set(found["failing"])
        if clock.now() - self._trimmed_at > _TRIM_EVERY:
            self._trimmed_at = clock.now()
            async with self._database.transaction() as tx:
                await store.trim(tx)


def _timer() -> Timer:
    return Timer(TIMER_KEY, clock.now(), gated=False)

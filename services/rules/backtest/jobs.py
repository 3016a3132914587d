"""Which jobs run beside this process of the service? Taken from a queue, each in a process of its own, at leisure.

A job is a row with a lease. Whoever holds it says every half second how far it is; when its process is gone, or that of
the service, the lease runs out and the job begins anew elsewhere, three times at the most. One that comes no further
has failed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
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
from services.rules.backtest.gates import Door, GateExample
from services.rules.backtest.shapes import NONE, Example, LiveRule, Question, Task, Told
from services.rules.membership import store as membership
from services.rules.processes import Child

KEPT = timedelta(days=90)
ATTEMPTS_MAX = 3
SILENCE_SECONDS_MAX = 300.0
_TURN_SECONDS = 0.5
_TRIM_EVERY = timedelta(hours=1)


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
    archive: str = ""
    campaign_url: str = ""
    campaign_token_file: str = ""

    def door(self) -> Door:
        """By the token that is there now: it may be exchanged while the service runs."""
        try:
            token = Path(self.campaign_token_file).read_text("utf-8").strip() if self.campaign_token_file else ""
        except (OSError, UnicodeDecodeError):
            token = ""
        return Door(self.campaign_url, token)


class Jobs(Recurring):
    """A component. `wake` makes it look for work at once."""

    def __init__(self, database: Database, metrics: Metrics, place: Place) -> None:
        super().__init__("backtests", self._turn, metrics)
        self._database = database
        self._place = place
        self._running: dict[UUID, Child[Told]] = {}
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

    async def _end(self, id: UUID, job: Child[Told]) -> None:
        last = await job.result()
        if last is None:
            logs.get("backtest").warning("backtest_interrupted", backtest=str(id), code=job.code)
            async with self._database.connection() as connection:
                await store.give_back(connection, self._place.me, [id], interrupted=True)
            return
        found: list[Example | GateExample] = [*last.examples, *last.gate_examples]
        async with self._database.transaction() as tx:
            if await store.end(tx, self._place.me, id, clock.now(), last.report, found, last.error):
                self._ended.labels("failed" if last.error else "finished").inc()

    async def _claim(self) -> None:
        async with self._database.transaction() as tx:
            rows = await store.claim(tx, self._place.me, self._place.running_max, ATTEMPTS_MAX, clock.now())
            live = await _live_rules(tx.connection) if any(row["overlap"] for row in rows) else []
            segments = await membership.written(tx, in_force=False) if rows else {}
        for row in rows:
            task = self._told_to(row, live, segments)
            self._running[row["id"]] = await Child.begun("services.rules.backtest", task, Told)

    def _told_to(self, row: Row, live: Sequence[LiveRule], segments: Mapping[str, bytes]) -> Task:
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
            campaign=NONE if row["campaign"] is None else msgspec.Raw(row["campaign"].encode()),
            segments={id: msgspec.Raw(body) for id, body in segments.items()},
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
            archive=place.archive,
            door=place.door() if question.asks_gates else None,
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

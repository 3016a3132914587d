"""How fast does the profile service work off a backlog, and how fast does it answer meanwhile?

The whole service as it runs in production, identify and apply in one process on the measured core; PostgreSQL and
Kafka on the other. Customers are known before; every event is a purchase, which changes the state of its customer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from deploy.local.ports import free_port
from libs.common import clock, migrations
from libs.common.auth import issue_token
from libs.common.kafka import ensure_topics
from services.profile.store import arrivals
from tests.load import cores, crowd
from tests.load.ground import SECRET, Ground, ground, server
from tests.load.rows import Row, Scale, company

UNITS: Final = 4
MILLION: Final = 1_000_000
_EVENTS: Final = 240_000
_PROMISED_UNIFORM: Final = 12_000.0
_PROMISED_HOT: Final = 20_000.0
_ASKED_PER_SECOND: Final = 20.0
_LIVE_AGE_DAYS: Final = 35
_HANDLED: Final = re.compile(r'dangol_profile_worker_total\{what="events",worker="profile\.(\w+)"\} ([0-9.e+]+)')


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events a second through the whole service, and CPU microseconds an event, by process."""

    per_second: float
    process: float
    postgres: float
    kafka: float
    foreign: float
    answers_ms: tuple[float, ...] = ()

    @property
    def p99_ms(self) -> float:
        took = sorted(self.answers_ms)
        return took[min(len(took) - 1, math.ceil(0.99 * len(took)) - 1)] if took else math.nan


def rows(scale: Scale) -> list[Row]:
    """A million customers, all alike and a few hot; beside each the rate that is promised."""
    total = scale.events(_EVENTS)
    customers = max(10_000, int(MILLION * min(1.0, scale.share)))
    with ground() as stand:
        uniform = _run(stand, customers, customers, total, asks=True)
        hot = _run(stand, customers, 1_000, total)
        few = _run(stand, 10_000, 10_000, total)
        one = _run(stand, 10_000, 1, min(total, 100_000))
    disturbed = company(max(uniform.foreign, hot.foreign))
    known = f"{customers:,} customers known"
    return [
        Row(
            f"backlog, {known}, drawn evenly", uniform.per_second, "events/s", "promised", _PROMISED_UNIFORM, disturbed
        ),
        Row("backlog, 1,000 of them hot", hot.per_second, "events/s", "promised", _PROMISED_HOT),
        *_shares("drawn evenly", uniform),
        *_shares("hot", hot),
        Row(f"CPU an event, {known}", _cost(uniform), "µs", "10,000 customers", _cost(few), "to be 1.5 or less"),
        Row(
            "CPU an event of one customer alone", _cost(one), "µs", "10,000 customers", _cost(few), "to be 1.5 or less"
        ),
        Row("customer 360 under the backlog, p99", uniform.p99_ms, "ms", "promised", 20.0),
    ]


def _shares(of: str, run: Backlog) -> list[Row]:
    return [
        Row(f"CPU an event, {of}: the process", run.process, "µs"),
        Row(f"CPU an event, {of}: PostgreSQL", run.postgres, "µs"),
        Row(f"CPU an event, {of}: Kafka", run.kafka, "µs"),
    ]


def _cost(run: Backlog) -> float:
    return run.process + run.postgres


def _run(stand: Ground, known: int, drawn: int, total: int, *, asks: bool = False) -> Backlog:
    variables = _variables(stand)
    asyncio.run(_prepare(stand, variables, known, drawn, total))
    port = int(variables["DANGOL_PROFILE_PORT"])
    with contextlib.ExitStack() as stack:
        pid = stack.enter_context(server("services.profile", port, stand.folder, variables))
        watched = {**stand.pids, "process": pid}
        asked: _Asking | None = None
        if asks:
            # Who answers people does not work off events; both have the same core.
            answering = {**variables, "DANGOL_WORKS": "false", "DANGOL_PROFILE_PORT": str(free_port())}
            asked = _Asking(int(answering["DANGOL_PROFILE_PORT"]), known)
            stack.enter_context(server("services.profile", asked.port, stand.folder, answering))
        # The start, in which caches are empty and statements unprepared, is not part of the figure.
        _until(port, total // 10)
        if asked is not None:
            asked.start()
        before, began, first = _spent(watched), time.perf_counter(), _handled(port)
        _until(port, total)
        seconds, last = time.perf_counter() - began, _handled(port)
        spent = {name: now - before[name] for name, now in _spent(watched).items()}
        answers = asked.finished() if asked is not None else ()
    count = last - first
    each = {name: spent[name] / count * 1e6 for name in watched}
    foreign = (spent["machine"] - sum(spent[name] for name in watched)) / seconds
    return Backlog(count / seconds, each["process"], each["postgres"], each["kafka"], max(0.0, foreign), answers)


def _variables(stand: Ground) -> dict[str, str]:
    name = f"b{clock.new_id().hex[-10:]}"
    return {
        "DANGOL_DATABASE_URL": stand.postgres.url,
        "DANGOL_DATABASE_PREFIX": f"{name}_",
        "DANGOL_KAFKA_BOOTSTRAP": stand.kafka.bootstrap,
        "DANGOL_TOPIC_PREFIX": f"{name}.",
        "DANGOL_PARTITIONS": str(UNITS),
        "DANGOL_TOKEN_SECRET": SECRET,
        "DANGOL_PROFILE_PORT": str(free_port()),
    }


async def _prepare(stand: Ground, variables: Mapping[str, str], known: int, drawn: int, total: int) -> None:
    prefix = variables["DANGOL_TOPIC_PREFIX"]
    settled = f"known_{known}"
    if not await _is_there(stand, settled):
        await _settle(stand.database_url(settled), known)
    await _execute(
        stand.postgres.url,
        f"CREATE DATABASE {variables['DANGOL_DATABASE_PREFIX']}profile TEMPLATE {settled} STRATEGY FILE_COPY",
    )
    await ensure_topics(stand.kafka.bootstrap, prefix=prefix, partitions=UNITS)
    await crowd.pour(stand.kafka.bootstrap, prefix, UNITS, crowd.events(total, drawn))


async def _is_there(stand: Ground, name: str) -> bool:
    connection = await asyncpg.connect(stand.postgres.url)
    try:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name))
    finally:
        await connection.close()


async def _settle(url: str, known: int) -> None:
    """A database of customers, to be copied: to fill it for each run again would take longer than the runs."""
    await migrations.upgrade("profile", url)
    connection = await asyncpg.connect(url)
    try:
        await arrivals.arrange_days(connection, clock.now().date(), _LIVE_AGE_DAYS)
    finally:
        await connection.close()
    await crowd.settle(url, known, UNITS)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _handled(port: int) -> int:
    """Events that both stages are through with."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        found = {name: float(count) for name, count in _HANDLED.findall(answer.read().decode())}
    return int(min(found.get("identify", 0.0), found.get("apply", 0.0)))


def _until(port: int, count: int, seconds_max: float = 300.0) -> None:
    end = time.monotonic() + seconds_max
    while _handled(port) < count:
        if time.monotonic() > end:
            raise SystemExit(f"error: {_handled(port)} of {count} events after {seconds_max:.0f} s")
        time.sleep(0.1)


def _spent(watched: Mapping[str, int]) -> dict[str, float]:
    return {**{name: cores.cpu_seconds(pid) for name, pid in watched.items()}, "machine": cores.busy_seconds()}


class _Asking:
    """Reads whole customers at a steady rate from a thread of its own, on the core of the load."""

    def __init__(self, port: int, customers: int) -> None:
        self.port = port
        self._token = issue_token(SECRET, subject="bench", roles=["agent"])
        self._address = f"http://127.0.0.1:{port}/v1/customers"
        self._customers = customers
        self._took: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finished(self) -> tuple[float, ...]:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        return tuple(self._took)

    def _ask(self) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores.others())
        number, due = 0, time.perf_counter()
        while not self._over.is_set():
            number += 1
            customer = crowd.record_of(number * 7919 % self._customers)
            request = urllib.request.Request(
                f"{self._address}/{customer}", headers={"Authorization": f"Bearer {self._token}"}
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer.read()
            # From when it was due: what waits behind a slow answer has waited, too.
            self._took.append((time.perf_counter() - due) * 1000)
            due += 1 / _ASKED_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))

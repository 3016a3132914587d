"""What does a benchmark stand on? Servers of its own on the core of the load, and processes on the measured core."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.local import children
from deploy.local.broker import KafkaBroker
from deploy.local.ports import answers, free_port
from deploy.local.postgres import PostgresServer
from deploy.local.settings import ROOT
from libs.common import clock
from tests.load import cores

SECRET = "a-secret-of-the-benchmarks-0123456789-abcdefgh"
REPORT = "report: "
"""How the line begins in which a measured process says what it found."""
_START_SECONDS_MAX = 30.0
_STOP_SECONDS_MAX = 12.0
_KAFKA_HEAP_MB = 600
# A machine that stalls for some seconds is not a broker that has died: it would lose the lead of every partition.
_PATIENT = {"broker.session.timeout.ms": "60000"}


@dataclass(frozen=True)
class Ground:
    """A PostgreSQL that keeps its promises and a Kafka, both thrown away afterwards."""

    folder: Path
    postgres: PostgresServer
    kafka: KafkaBroker

    @property
    def pids(self) -> dict[str, int]:
        found = {"postgres": self.postgres.pid, "kafka": self.kafka.pid}
        return {name: pid for name, pid in found.items() if pid is not None}

    def database_url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.postgres.url)._replace(path=f"/{name}"))

    async def fresh_database(self, *scripts: str) -> str:
        """The address of a new database, after these scripts."""
        name = f"b{clock.new_id().hex[-12:]}"
        await self._run(self.postgres.url, f'CREATE DATABASE "{name}" STRATEGY FILE_COPY')
        for script in scripts:
            await self._run(self.database_url(name), script)
        return self.database_url(name)

    @staticmethod
    async def _run(url: str, script: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(script)
        finally:
            await connection.close()


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    with (
        tempfile.TemporaryDirectory(prefix="dangol-bench-", ignore_cleanup_errors=True) as folder,
        cores.pinned(cores.others()),
        PostgresServer(Path(folder) / "postgres", free_port()) as postgres,
        KafkaBroker(Path(folder) / "kafka", free_port(), _KAFKA_HEAP_MB, settings=_PATIENT) as kafka,
    ):
        yield Ground(Path(folder), postgres, kafka)


@contextlib.contextmanager
def server(module: str, port: int, folder: Path, variables: Mapping[str, str]) -> Iterator[int]:
    """A process of ours on the measured core, from when it answers HTTP; gives its pid."""
    log = folder / f"{module}.log"
    with cores.pinned(cores.measured()):
        child = children.spawn([sys.executable, "-m", module], log, env={**os.environ, **variables}, cwd=ROOT)
    try:
        children.wait_until(lambda: answers(port), child, log, module, seconds_max=_START_SECONDS_MAX)
        yield child.pid
    finally:
        children.end(child, signal.SIGTERM, _STOP_SECONDS_MAX)


def told_by(module: str, order: object, on: frozenset[int], *, seconds_max: float = 400.0) -> dict[str, Any]:
    """Runs a module with one JSON argument to its end; the line of its output that is a report is its answer."""
    output = output_of([sys.executable, "-m", module, json.dumps(order)], on, seconds_max=seconds_max)
    line = next(line for line in reversed(output.splitlines()) if line.startswith(REPORT))
    answer: dict[str, Any] = json.loads(line.removeprefix(REPORT))
    return answer


def output_of(command: Sequence[str], on: frozenset[int], *, seconds_max: float = 400.0) -> str:
    """Everything that a command says; it dies with us, and an AssertionError tells how it failed."""
    with tempfile.TemporaryDirectory(prefix="dangol-bench-") as folder, cores.pinned(on):
        log = Path(folder) / "output"
        child = children.spawn(command, log, env=dict(os.environ), cwd=ROOT)
        try:
            code = child.wait(seconds_max)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            children.end(child, signal.SIGKILL, _STOP_SECONDS_MAX)
        if code != 0:
            how = f"ended with code {code}" if code is not None else f"was not through after {seconds_max:.0f} s"
            words = children.last_words(log, 20, "\n")
            raise AssertionError(f"{' '.join(command[1:3])} {how}:\n{words}")
        return log.read_text(errors="replace")

"""Who goes through the files that were uploaded? Each ingest process, a few at a time, by a lease on each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.common import clock, logs
from libs.common.errors import DangolError, Fenced
from libs.common.metrics import Metrics
from services.ingest.imports.inflating import Unreadable
from services.ingest.imports.owing import owed
from services.ingest.imports.passes import Import, Tools
from services.ingest.imports.progress import CHECKING, FAILED, Progress
from services.ingest.store import import_sheets, import_work
from services.ingest.store import imports as store

RENEW_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 10.0
DISAGREEING_KEPT: Final = timedelta(days=7)
REJECTS_KEPT: Final = timedelta(days=14)


class RunnerLimits(NamedTuple):
    at_once_max: int
    idle_max: timedelta


class ImportRunner:
    """A component. A process that dies loses nothing: another takes its imports over once their leases have run out."""

    def __init__(self, tools: Tools, me: str, limits: RunnerLimits, meters: ImportMeters) -> None:
        self._tools = tools
        self._me = me
        self._limits = limits
        self._meters = meters
        self._running: dict[str, tuple[Import, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get(__name__)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="imports")

    async def stop(self) -> None:
        """What is under way is let go where it stands; the next owner goes on from what was written down."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        held = list(self._running.values())
        for _, task in held:
            task.cancel()
        await asyncio.gather(*(task for _, task in held), return_exceptions=True)
        with contextlib.suppress(DangolError):
            async with self._tools.database.connection() as connection:
                for each, _ in held:
                    await import_work.release(connection, self._me, each.import_id, each.epoch)

    async def failed(self) -> None:
        assert self._task is not None
        await asyncio.wait([self._task])
        self._task.result()

    def look(self) -> None:
        """Something may be there to be taken: need not wait for the next round."""
        self._wake.set()

    async def _run(self) -> None:
        swept = -SWEEP_SECONDS
        away = False
        while not self._stopping:
            try:
                await self._settle()
                await self._renew()
                await self._claim()
                if time.monotonic() - swept >= SWEEP_SECONDS:
                    swept = time.monotonic()
                    await self._sweep()
                away = False
            except DangolError as error:
                if not away:
                    self._log.warning("imports do not go on now", error=f"{type(error).__name__}: {error}")
                away = True
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._wake.wait()

    async def _claim(self) -> None:
        if not self._tools.reception.registry.loaded:
            return
        while len(self._running) < self._limits.at_once_max and not self._stopping:
            async with self._tools.database.connection() as connection:
                row = await import_work.claim(connection, self._me, list(self._running))
            if row is None:
                return
            self._hold(Import(row, self._me, self._tools))

    def _hold(self, taken: Import) -> None:
        self._log.info("import taken", import_id=taken.import_id, state=taken.state, epoch=taken.epoch)
        task = asyncio.create_task(self._go_through(taken), name=f"import {taken.import_id}")
        task.add_done_callback(lambda _: self._wake.set())
        self._running[taken.import_id] = (taken, task)
        self._meters.running = len(self._running)

    async def _go_through(self, taken: Import) -> None:
        if taken.state == CHECKING and not await taken.check():
            return
        await taken.send()

    async def _settle(self) -> None:
        """What has ended, and how."""
        for import_id, (_, task) in list(self._running.items()):
            if not task.done():
                continue
            error = task.exception() if not task.cancelled() else None
            if error is not None and not isinstance(error, Fenced):
                await self._fail(import_id, error)
            del self._running[import_id]
            self._meters.running = len(self._running)
            self._log.info("import let go", import_id=import_id, error=type(error).__name__ if error else "")

    async def _fail(self, import_id: str, error: BaseException) -> None:
        detail = str(error)
        if not isinstance(error, Unreadable):
            # One file that meets a mistake of ours must neither stop the others nor be tried for ever.
            self._log.error("an import failed", import_id=import_id, exc_info=error)
            detail = "Something went wrong here; the log knows it by the id of the import."
        async with self._tools.database.connection() as connection:
            await store.end(connection, import_id, FAILED, detail, clock.now())

    async def _renew(self) -> None:
        if not self._running:
            return
        async with self._tools.database.connection() as connection:
            ours = await import_work.renew(connection, self._me, list(self._running))
        for import_id in self._running.keys() - ours:
            # Cancelled by its owner, or taken over: the task ends at its next word with the database; this is sooner.
            self._running[import_id][1].cancel()

    async def _sweep(self) -> None:
        now = clock.now()
        async with self._tools.database.connection() as connection:
            expired = await store.expire(connection, now - self._limits.idle_max, now - DISAGREEING_KEPT, now)
            await store.forget_rejects(connection, now - REJECTS_KEPT)
            self._meters.waiting, self._meters.oldest_seconds = await store.backlog(connection)
            expected = await import_sheets.every(connection)
            days = {(now + timedelta(days=shift)).date() for shift in range(-9, 2)}
            self._meters.owed = len(list(owed(expected, await store.come(connection, sorted(days)), now, None)))
        if expired:
            self._log.info("imports expired", number=len(expired))


class ImportMeters(Collector):
    """What is counted of imports. The gauges are of the database, the same in every process."""

    def __init__(self, metrics: Metrics) -> None:
        self.running = 0
        self.waiting = 0
        self.oldest_seconds = 0.0
        self.owed = 0
        self._lines = metrics.counter("import_lines_total", "Lines of files by what became of them.", ["result"])
        self._bytes = metrics.counter("import_read_bytes_total", "Bytes of files, inflated, that were gone through.")
        metrics.registry.register(self)

    def note(self, before: Progress, after: Progress) -> None:
        self._bytes.inc(after.position - before.position)
        for result in ("accepted", "refused", "skipped"):
            if number := getattr(after, result) - getattr(before, result):
                self._lines.labels(result).inc(number)

    def collect(self) -> list[Metric]:
        told = (
            ("running_imports_number", "Imports that this process goes through.", self.running),
            ("waiting_imports_number", "Imports that nobody goes through yet.", self.waiting),
            ("oldest_waiting_import_seconds", "Since the oldest of them was complete.", self.oldest_seconds),
            ("sheets_owed", "Branches whose latest sheet is overdue.", self.owed),
        )
        return [GaugeMetricFamily(f"dangol_ingest_{name}", text, value=value) for name, text, value in told]

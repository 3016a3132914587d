"""Which units run here? A worker keeps leases on its fair share of the units and runs each of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from libs.common import lease, logs, timers
from libs.common.errors import DangolError, Misconfigured, StoreAway
from libs.common.kafka import Announcer
from libs.common.unit import Floor, UnitRunner, WorkerSpec

RENEW_SECONDS = 1.0
REVIVE_SECONDS = 5.0
_RENEW_TIMEOUT_SECONDS = 2.5


class Worker:
    """Starts at once, with or without a database; takes units as they become free and lets go of what it lost.

    When a worker dies by a fault of its own, its process ends and is started anew. One that is not `vital`, because
    something matters more in its process, is started anew in there.
    """

    def __init__(self, spec: WorkerSpec, floor: Floor, *, vital: bool = True) -> None:
        self.spec = spec
        self._floor = floor
        self._vital = vital
        self._runners: dict[int, UnitRunner] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._announcer = Announcer(floor.bootstrap, prefix=floor.prefix, group=spec.name)
        self._stopping = asyncio.Event()
        self._registered = False
        self._renewed = 0.0
        self._trouble = "no unit has been taken yet"
        self._log = logs.get("worker").bind(worker=spec.name)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=f"{self.spec.name}.keep")

    async def stop(self) -> None:
        """Finish the batch in hand, hand the units back, and say that this process is gone."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self._let_go(list(self._runners))
        await self._announcer.stop()
        with contextlib.suppress(DangolError, TimeoutError):
            async with (
                asyncio.timeout(_RENEW_TIMEOUT_SECONDS),
                self._floor.database.connection() as connection,
            ):
                await lease.leave(connection, self.spec.name, self._floor.instance)

    async def failed(self) -> None:
        """Returns never, unless the keeper itself dies, which is a reason to end the process."""
        while True:
            assert self._task is not None
            await asyncio.wait([self._task])
            if self._stopping.is_set():
                return
            error = self._task.exception() or RuntimeError(f"{self.spec.name} stopped by itself")
            if self._vital:
                raise error
            self._trouble = f"died and is started anew: {type(error).__name__}: {error}"
            self._log.critical("worker_died", exc_info=error)
            await asyncio.sleep(REVIVE_SECONDS)
            await self.start()

    def problems(self) -> list[str]:
        """Why this worker cannot work as it should; empty when all is well."""
        found = [f"{self.spec.name}: {self._trouble}"] if self._trouble else []
        if not found and time.monotonic() - self._renewed > 2 * lease.LEASE_SECONDS:
            found.append(f"{self.spec.name}: leases have not been renewed for a while")
        return found + [
            f"{self.spec.name}/{unit}: {runner.book.trouble}"
            for unit, runner in sorted(self._runners.items())
            if runner.book.trouble
        ]

    def units(self) -> list[int]:
        return sorted(self._runners)

    def lag(self) -> dict[tuple[str, int], int]:
        """Unread messages by topic and unit, of the units that run here."""
        return {(topic, unit): count for unit, runner in self._runners.items() for topic, count in runner.lag().items()}

    def clocks_ms(self) -> dict[int, int]:
        return {unit: runner.progress.clock_ms for unit, runner in self._runners.items()}

    async def _keep(self) -> None:
        turn = 0
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(_RENEW_TIMEOUT_SECONDS + lease.LEASE_SECONDS):
                    await self._turn()
                self._trouble = ""
            except (DangolError, TimeoutError) as error:
                self._trouble = f"{type(error).__name__}: {error}"
                self._log.warning("leases_not_renewed", error=self._trouble)
                if isinstance(error, Misconfigured):
                    await self._pause(5.0)
            turn += 1
            if turn % 5 == 0:
                await self._announce()
            await self._pause(RENEW_SECONDS / 2 if len(self._runners) < self._floor.units else RENEW_SECONDS)

    async def _announce(self) -> None:
        positions = {
            (topic, unit): offset
            for unit, runner in self._runners.items()
            for topic, offset in runner.progress.positions.items()
        }
        if positions:
            await self._announcer.announce(positions)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _turn(self) -> None:
        name, me = self.spec.name, self._floor.instance
        if not self._registered:
            async with self._floor.database.transaction() as tx:
                await lease.register(tx, name, self._floor.units)
            self._registered = True
        for unit in [unit for unit, task in self._tasks.items() if task.done()]:
            await self._let_go([unit])
        async with self._floor.database.connection() as connection:
            holdings, alive = await lease.renew(connection, name, me)
            soonest = await timers.soonest(connection, name, list(self._runners))
        if len(holdings) != self._floor.units:
            # A database that was put back to an earlier state: the rows are made anew, and no unit is what it was.
            self._registered = False
            raise StoreAway(f"{len(holdings)} of {self._floor.units} units are on record")
        self._renewed = time.monotonic()
        for each in holdings:
            if (runner := self._runners.get(each.unit)) is not None:
                runner.soonest = soonest.get((each.unit, True)), soonest.get((each.unit, False))
                runner.redrive_asked = each.redrive
        plan = lease.plan(me, holdings, {unit: runner.book.epoch for unit, runner in self._runners.items()}, alive)
        await self._let_go([*plan.lost, *plan.release])
        if plan.take and not self._stopping.is_set():
            async with self._floor.database.connection() as connection:
                taken = await lease.take(connection, name, me, plan.take)
            for won in taken:
                self._run(won)

    def _run(self, taken: lease.Lease) -> None:
        runner = UnitRunner(self.spec, self._floor, taken)
        self._runners[taken.unit] = runner
        self._tasks[taken.unit] = asyncio.create_task(runner.run(), name=f"{self.spec.name}/{taken.unit}")
        self._log.info("unit_taken", unit=taken.unit, epoch=taken.epoch)

    async def _let_go(self, units: Sequence[int]) -> None:
        """Drain, then release: a batch in hand is finished first, so that nothing is done twice without need."""
        tasks = [self._tasks[unit] for unit in units]
        for unit in units:
            self._runners[unit].stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=lease.LEASE_SECONDS * 2)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for unit in units:
            del self._runners[unit], self._tasks[unit]
        if units:
            with contextlib.suppress(DangolError):
                async with self._floor.database.connection() as connection:
                    await lease.release(connection, self.spec.name, self._floor.instance, units)
                self._log.info("units_released", units=sorted(units))

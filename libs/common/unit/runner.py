"""How does one unit read, decide, remember and tell? The batch protocol, for the process that holds the unit's lease.

    batch     one transaction: the lease row is locked and mine · repeats dropped · load, step, save · outbox · progress
    publish   from memory, in order, one batch in flight; the unit stands still until it succeeds
    doubt     any failure: read the row again, publish what the outbox holds, go on from there

A transient failure is tried again for ever and never split. Anything else is some message's fault: the batch is
halved until the message is found, which is buried in the dead letters with its reason, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from libs.common import clock, lease, logs, timers
from libs.common.errors import DangolError, Fenced, Misconfigured, Poison, Transient
from libs.common.events import Fact
from libs.common.kafka import UnitReader
from libs.common.progress import Progress
from libs.common.unit import burial
from libs.common.unit.book import Book
from libs.common.unit.burial import DeadLetter, Pace
from libs.common.unit.reading import Batch, Reading, Records
from libs.common.unit.shapes import Floor, Tombstone, UnitTx, WorkerSpec

TICK_SECONDS = 1.0
TIMERS_AT_ONCE_MAX = 500
"""In one transaction."""
TIMER_BATCHES_PER_TICK_MAX = 8
CLOCK_KEPT_SECONDS = 5.0
"""An idle unit writes its clock down that often: others judge by the row how fresh what the unit wrote is."""
BACKOFF_SECONDS_MAX = 5.0

REST_SECONDS = 0.02
"""Between two batches of a busy unit that are far from full: each costs a transaction, whatever it holds."""

_NOT_THE_MESSAGES_FAULT = (Transient, Fenced, Misconfigured, NameError, ImportError)
"""Our own trouble, broken code included: no message is buried for it."""


class UnitRunner:
    """Runs one unit from the moment its lease is taken until it is lost or let go.

    Once a second the worker tells it `soonest`, when its first gated and its first other timer are due, and whether an
    operator asks for its dead letters.
    """

    def __init__(self, spec: WorkerSpec, floor: Floor, taken: lease.Lease) -> None:
        self.spec = spec
        self.book = Book(spec, floor, taken)
        self.soonest: tuple[datetime | None, datetime | None] = (None, None)
        self.redrive_asked = False
        self._floor = floor
        self._reader: UnitReader | None = None
        self._reading = Reading(spec)
        self._pace = Pace()
        self._next_tick = self._rested = 0.0
        self._redrive_until: int | None = None
        self._grace = timedelta(seconds=spec.timer_grace_seconds)
        self._log = logs.get("worker").bind(worker=spec.name, unit=taken.unit, epoch=taken.epoch)

    @property
    def progress(self) -> Progress:
        return self.book.progress

    def stop(self) -> None:
        """Finish what is in hand, then let go."""
        self.book.stopping = True

    async def run(self) -> None:
        """Returns when the unit belongs to somebody else or `stop` was called; survives everything else."""
        failures = 0
        try:
            while not self.book.stopping:
                try:
                    await self._recover()
                    while not self.book.stopping:
                        await self._cycle()
                        failures, self.book.trouble = 0, ""
                except Fenced:
                    self._log.info("unit_lost")
                    return
                except Exception as error:  # noqa: BLE001 - a unit outlives any failure of a batch.
                    failures += 1
                    await self._wait_after(error, failures)
        finally:
            await self._close_reader()

    async def _wait_after(self, error: Exception, failures: int) -> None:
        trouble = self.book.trouble = f"{type(error).__name__}: {error}"
        self._log.warning("unit_waits", error=trouble, expected=isinstance(error, DangolError), failures=failures)
        self._count("failures", 1)
        longest = 30.0 if isinstance(error, Misconfigured) else min(BACKOFF_SECONDS_MAX, 0.05 * 2**failures)
        until = time.monotonic() + longest * random.uniform(0.5, 1.0)
        while time.monotonic() < until and not self.book.stopping:
            await asyncio.sleep(min(0.2, longest))

    async def _recover(self) -> None:
        """After a take-over or any doubt: read the row, publish what may be unpublished, and read on from there."""
        await self.book.reload()
        # An unfinished redrive is still asked for in the row, and begins anew.
        self._redrive_until = None
        await self.book.publish_outstanding()
        await self._close_reader()
        names = [each.topic.name for each in self.spec.inputs]
        floor, unit = self._floor, self.book.unit
        self._reader = UnitReader(
            floor.bootstrap,
            unit,
            names,
            aside=self.spec.dead_letters,
            prefix=floor.prefix,
            wait_seconds_max=self.spec.fetch_seconds_max,
            bytes_max=self.spec.fetch_bytes_max,
        )
        self.progress.positions = await self._reader.start(self.progress.positions)

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    async def _cycle(self) -> None:
        assert self._reader is not None
        wait = min(0.5, max(0.0, self._next_tick - time.monotonic()))
        fetched = await self._reader.fetch(self.spec.batch_max, wait)
        if fetched:
            started = time.perf_counter()
            records = [(topic, record) for topic, records in fetched.items() for record in records]
            await self._process(records)
            self._floor.timed(self.spec.name, time.perf_counter() - started, len(records))
            if len(records) < self.spec.batch_max // 2:
                await asyncio.sleep(max(0.0, self._rested + REST_SECONDS - time.monotonic()))
            self._rested = time.monotonic()
        if time.monotonic() >= self._next_tick:
            more = await self._tick()
            # All units of a process tick together, so that their marks share one flush.
            self._next_tick = 0.0 if more else (time.monotonic() // TICK_SECONDS + 1) * TICK_SECONDS

    # --- messages ----------------------------------------------------------------------------------------------

    async def _process(self, records: Records) -> None:
        batch = self._read(records)
        if batch.empty:
            return
        await self._pace_burials(len(batch.dead))
        try:
            await self.book.commit(lambda tx: self._handle(batch, tx))
        except _NOT_THE_MESSAGES_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, some message brings it about: find that one.
            await self._isolate(records, error)

    async def _isolate(self, records: Records, error: Exception) -> None:
        await self.book.reload()
        if len(records) > 1:
            middle = len(records) // 2
            await self._process(records[:middle])
            await self._process(records[middle:])
            return
        self._read(records)
        await self._pace_burials(1)
        dead = Batch(dead=[(*records[0], _reason(error))])
        await self.book.commit(lambda tx: self._handle(dead, tx))

    def _read(self, records: Records) -> Batch:
        batch = self._reading.read(records, self.progress)
        if batch.repeats:
            self._count("repeats", batch.repeats)
        return batch

    async def _handle(self, batch: Batch, tx: UnitTx) -> list[Fact | Tombstone | DeadLetter]:
        results: list[Fact | Tombstone | DeadLetter] = []
        for each in self.spec.inputs:
            messages = batch.messages.get(each.topic.name)
            if messages:
                results += await each.handler(messages, tx)
                self._count("events", len(messages))
            if each.on_erased is not None and (keys := batch.erased.get(each.topic.name)):
                results += await each.on_erased(keys, tx)
                self._count("erased", len(keys))
        for topic, record, reason in batch.dead:
            self._count("buried", 1)
            self._log.error("message_buried", topic=topic, offset=record.offset, reason=reason[:500])
            results.append(burial.of_message(topic, record, reason, dead_letters=self.spec.dead_letters))
        return results

    async def _pace_burials(self, count: int) -> None:
        while count and not self._pace.allows(count):
            limit = burial.BURIED_PER_MINUTE_MAX
            self.book.trouble = f"more than {limit} messages buried within a minute: the unit stands still"
            if self.book.stopping:
                raise Transient(self.book.trouble)
            await asyncio.sleep(0.5)
        self._pace.note(count)

    # --- time --------------------------------------------------------------------------------------------------

    async def _tick(self) -> bool:
        """Move the clock, fire what is due, look after a redrive, and say downstream how far this unit has come.

        Says whether more is due: where everybody is due at midnight, the rest fires after what came in meanwhile.
        """
        assert self._reader is not None
        marked = [each.topic.name for each in self.spec.inputs if each.topic.marks and not each.feedback]
        read = {
            each.topic.name: self._reader.read_to_end_ms(each.topic.name)
            for each in self.spec.inputs
            if each.topic.name not in marked
        }
        self.progress.advance_clock(marked, read, self._floor.units)
        more = self._is_due() and await self._fire_some()
        if self.progress.clock_ms - self.book.committed_clock_ms >= CLOCK_KEPT_SECONDS * 1000:
            await self.book.commit(_nothing)
        await self._redrive()
        await self.book.publish_marks()
        return more

    async def _fire_some(self) -> bool:
        due, self.soonest = self.soonest, (None, None)
        for _ in range(TIMER_BATCHES_PER_TICK_MAX):
            if self.book.stopping or not await self._fire(TIMERS_AT_ONCE_MAX):
                return False
        self.soonest = due
        return True

    def _is_due(self) -> bool:
        """Whether a timer waits that may fire now, as far as the worker has seen: most ticks need no transaction."""
        gated, plain = self.soonest
        ready = clock.from_ms(self.progress.clock_ms) - self._grace
        return (gated is not None and gated <= ready) or (plain is not None and plain <= clock.now())

    async def _fire(self, count_max: int) -> bool:
        """Fire at most so many timers; says whether more may be due. One that cannot be handled is buried."""
        fired: list[timers.Timer] = []

        async def work(tx: UnitTx) -> Sequence[Fact | Tombstone]:
            fired[:] = await timers.pop(tx, tx.worker, tx.unit, tx.clock - self._grace, tx.now, count_max)
            return await self.spec.on_timers(fired, tx) if fired and self.spec.on_timers is not None else ()

        try:
            await self.book.commit(work)
        except _NOT_THE_MESSAGES_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - some timer brings it about: find that one.
            await self.book.reload()
            if count_max > 1:
                await self._fire(count_max // 2)
            else:
                await self._bury_first_timer(error)
            return True
        self._count("timers", len(fired))
        return len(fired) >= count_max

    async def _bury_first_timer(self, error: Exception) -> None:
        async def work(tx: UnitTx) -> Sequence[DeadLetter]:
            due = await timers.pop(tx, tx.worker, tx.unit, tx.clock - self._grace, tx.now, 1)
            return [burial.of_timer(each, _reason(error)) for each in due]

        await self._pace_burials(1)
        await self.book.commit(work)
        self._count("buried", 1)
        self._log.error("timer_buried", reason=_reason(error)[:500])

    async def _redrive(self) -> None:
        """Open the dead letters for as far as they reach when it is asked for; close them when that is read."""
        assert self._reader is not None
        if self._redrive_until is None:
            if self.redrive_asked:
                self.progress.positions.setdefault(self.spec.dead_letters, 0)
                self._redrive_until = await self._reader.open_aside()
        elif self.progress.positions[self.spec.dead_letters] >= self._redrive_until:
            await self.book.commit(_nothing, redriven=True)
            self._reader.close_aside()
            self._redrive_until, self.redrive_asked = None, False

    def lag(self) -> dict[str, int]:
        """Unread messages by topic, as far as known."""
        if self._reader is None:
            return {}
        found = {name: self._reader.lag(name, at) for name, at in self.progress.positions.items()}
        return {name: count for name, count in found.items() if count is not None}

    def _count(self, what: str, count: int) -> None:
        if count:
            self._floor.counted(self.spec.name, what, count)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Poison) else f"{type(error).__name__}: {error}"


async def _nothing(tx: UnitTx) -> Sequence[Fact]:
    del tx
    return ()

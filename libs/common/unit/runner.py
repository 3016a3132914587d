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
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from libs.common import clock, lease, logs, outbox, progress, timers
from libs.common.errors import BrokerAway, DangolError, Fenced, Misconfigured, Poison, Transient
from libs.common.events import Fact
from libs.common.kafka import MESSAGE_BYTES_MAX, Received, Record, UnitReader
from libs.common.topics import partition_of
from libs.common.unit.aftermath import Aftermath
from libs.common.unit.burial import BURIED_PER_MINUTE_MAX, Pace, dead_letter
from libs.common.unit.reading import Batch, Reading, Records
from libs.common.unit.shapes import Floor, UnitTx, WorkerSpec

TICK_SECONDS = 1.0
TIMERS_PER_TICK_MAX = 500
BACKOFF_SECONDS_MAX = 5.0


class UnitRunner:
    """Runs one unit from the moment its lease is taken until it is lost or let go."""

    def __init__(self, spec: WorkerSpec, floor: Floor, taken: lease.Lease) -> None:
        self.spec = spec
        self.unit = taken.unit
        self.epoch = taken.epoch
        self.cache: dict[str, Any] = {}
        self.progress = progress.decode(taken.progress)
        self.trouble = ""
        self.stopping = False
        self._floor = floor
        self._revision = taken.revision
        self._origin = progress.origin_of(spec.name, taken.unit)
        self._reader: UnitReader | None = None
        self._reading = Reading(spec)
        self._encoder = msgspec.json.Encoder()
        self._topics = {topic.event: topic for topic in spec.outputs}
        self._published_seq = self._forgotten_seq = 0
        self._next_tick = 0.0
        self._pace = Pace()
        compacted = [topic.name for topic in spec.outputs if topic.compacted]
        self._aftermath = Aftermath(compacted, 2 * floor.publisher.timeout_seconds)
        self._redrive_until: int | None = None
        self._grace = timedelta(seconds=spec.timer_grace_seconds)
        # Told by the worker once a second: when the first gated and the first other timer are due, and whether an
        # operator asks for the dead letters.
        self.soonest: tuple[datetime | None, datetime | None] = (None, None)
        self.redrive_asked = False
        self._log = logs.get("worker").bind(worker=spec.name, unit=self.unit, epoch=self.epoch)

    async def run(self) -> None:
        """Returns when the unit belongs to somebody else or `stopping` is set; survives everything else."""
        failures = 0
        try:
            while not self.stopping:
                try:
                    await self._recover()
                    while not self.stopping:
                        await self._cycle()
                        failures, self.trouble = 0, ""
                except Fenced:
                    self._log.info("unit_lost")
                    return
                except Exception as error:  # noqa: BLE001 - a unit outlives any failure of a batch.
                    failures += 1
                    await self._wait_after(error, failures)
        finally:
            await self._close_reader()

    async def _wait_after(self, error: Exception, failures: int) -> None:
        self.trouble = f"{type(error).__name__}: {error}"
        self._log.warning("unit_waits", error=self.trouble, expected=isinstance(error, DangolError), failures=failures)
        self._count("failures", 1)
        longest = 30.0 if isinstance(error, Misconfigured) else min(BACKOFF_SECONDS_MAX, 0.05 * 2**failures)
        until = time.monotonic() + longest * random.uniform(0.5, 1.0)
        while time.monotonic() < until and not self.stopping:
            await asyncio.sleep(min(0.2, longest))

    # --- reading -----------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """After a take-over or any doubt: believe the database alone, and publish what it says may be unpublished."""
        await self._reload()
        # An unfinished redrive is still asked for in the row, and begins anew with the next commit.
        self._redrive_until = None
        async with self._floor.database.connection() as connection:
            waiting = await outbox.load(connection, self.spec.name, self.unit)
        self._aftermath.watch(waiting)
        await self._publish(waiting)
        await self._close_reader()
        names = [each.topic.name for each in self.spec.inputs]
        reader = UnitReader(
            self._floor.bootstrap,
            self.unit,
            names,
            aside=self.spec.dead_letters,
            prefix=self._floor.prefix,
        )
        self._reader = reader
        self.progress.positions = await reader.start(self.progress.positions)

    async def _reload(self) -> None:
        self.cache.clear()
        async with self._floor.database.connection() as connection:
            row = await lease.read(connection, self.spec.name, self._floor.instance, self.unit, self.epoch)
        self._revision = row.revision
        self.progress = progress.decode(row.progress)

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
        if time.monotonic() >= self._next_tick:
            await self._tick()
            # All units of a process tick together, so that their marks share one flush.
            self._next_tick = (time.monotonic() // TICK_SECONDS + 1) * TICK_SECONDS

    async def _process(self, records: Records) -> None:
        batch = self._read(records)
        if batch.empty:
            return
        try:
            await self._commit(lambda tx: self._handle(batch, tx), batch.dead)
        except (Transient, Fenced, Misconfigured):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, some message brings it about: find that one.
            await self._isolate(records, error)

    async def _isolate(self, records: Records, error: Exception) -> None:
        await self._reload()
        if len(records) > 1:
            middle = len(records) // 2
            await self._process(records[:middle])
            await self._process(records[middle:])
            return
        topic, record = records[0]
        reason = str(error) if isinstance(error, Poison) else f"{type(error).__name__}: {error}"
        self._read(records)
        await self._commit(self._nothing, [(topic, record, reason)])

    def _read(self, records: Records) -> Batch:
        batch = self._reading.read(records, self.progress)
        if batch.repeats:
            self._count("repeats", batch.repeats)
        return batch

    async def _handle(self, batch: Batch, tx: UnitTx) -> list[Fact]:
        events: list[Fact] = []
        for each in self.spec.inputs:
            messages = batch.messages.get(each.topic.name)
            if messages:
                events += await each.handler(messages, tx)
                self._count("events", len(messages))
        return events

    async def _nothing(self, tx: UnitTx) -> list[Fact]:
        del tx
        return []

    # --- committing and publishing -----------------------------------------------------------------------------

    async def _commit(
        self,
        work: Callable[[UnitTx], Awaitable[Sequence[Fact]]],
        dead: Sequence[tuple[str, Received, str]] = (),
    ) -> None:
        if dead:
            await self._pace_burials(len(dead))
        name, unit = self.spec.name, self.unit
        async with self._floor.database.transaction() as plain:
            asked = await lease.hold(plain, name, self._floor.instance, unit, self.epoch, self._revision)
            if self._published_seq > self._forgotten_seq:
                await outbox.forget(plain, name, unit, self._published_seq)
            tx = self._tx(plain.connection)
            records = [self._stamped(event) for event in await work(tx)]
            records += [self._buried(*each) for each in dead]
            if records:
                await outbox.put(plain, name, unit, self.progress.seq - len(records) + 1, records)
            self.progress.snapshot = tx.snapshot
            redriven = self._redrive_until is not None and self._redrive_ends()
            await lease.save(plain, name, unit, progress.encode(self.progress), redriven=redriven)
            self._floor.crash.reach("before_commit")
        self._floor.crash.reach("after_commit")
        self._revision += 1
        self._forgotten_seq = self._published_seq
        await self._publish(records)
        await self._redrive(asked and not redriven, redriven)

    def _tx(self, connection: Any) -> UnitTx:
        return UnitTx(
            connection,
            worker=self.spec.name,
            unit=self.unit,
            cache=self.cache,
            clock=clock.from_ms(self.progress.clock_ms),
            now=clock.now(),
            snapshot=self.progress.snapshot,
        )

    async def _publish(self, records: Sequence[Record]) -> None:
        delay = 0.05
        while records:
            try:
                await self._floor.publisher.publish(records)
                self._floor.crash.reach("after_publish")
                self._aftermath.note(records)
                break
            except BrokerAway as error:
                if self.stopping:
                    raise
                self.trouble = str(error)
                self._aftermath.watch(records)
                await asyncio.sleep(delay)
                delay = min(1.0, delay * 2)
        self._published_seq = self.progress.seq

    def _stamped(self, event: Fact) -> Record:
        topic = self._topics.get(type(event))
        if topic is None:
            raise Misconfigured(f"{self.spec.name} may not publish {type(event).__name__}")
        key = topic.key(event).encode()
        value = self._encoder.encode(event)
        if len(value) > MESSAGE_BYTES_MAX:
            raise Poison(f"a {topic.name} message of {len(value)} bytes is over the limit of {MESSAGE_BYTES_MAX}")
        return Record(topic.name, partition_of(key, self._floor.units), key, value, [self._next_stamp()])

    def _next_stamp(self) -> tuple[str, bytes]:
        self.progress.seq += 1
        return progress.ORIGIN, progress.stamp(self._origin, self.progress.seq)

    # --- dead letters ------------------------------------------------------------------------------------------

    def _buried(self, topic: str, record: Received, reason: str) -> Record:
        self._count("buried", 1)
        self._log.error("message_buried", topic=topic, offset=record.offset, reason=reason[:500])
        return dead_letter(self.spec, self.unit, topic, record, reason, self._next_stamp())

    async def _pace_burials(self, count: int) -> None:
        while not self._pace.allows(count):
            self.trouble = f"more than {BURIED_PER_MINUTE_MAX} messages buried within a minute: the unit stands still"
            if self.stopping:
                raise Transient(self.trouble)
            await asyncio.sleep(0.5)
        self._pace.note(count)

    async def _redrive(self, asked: bool, done: bool) -> None:
        """Open the dead letters for as far as they reach at this moment, or close them again."""
        assert self._reader is not None or not asked
        if done:
            self._redrive_until = None
            if self._reader is not None:
                self._reader.close_aside()
        elif asked and self._redrive_until is None and self._reader is not None:
            self._redrive_until = await self._reader.open_aside()
            self.progress.positions.setdefault(self.spec.dead_letters, 0)

    def _redrive_ends(self) -> bool:
        return self.progress.positions.get(self.spec.dead_letters, 0) >= (self._redrive_until or 0)

    # --- time --------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Move the clock, fire what is due, and tell everybody downstream how far this unit has come."""
        assert self._reader is not None
        marked = [each.topic.name for each in self.spec.inputs if each.topic.marks and not each.feedback]
        read = {
            each.topic.name: self._reader.read_to_end_ms(each.topic.name)
            for each in self.spec.inputs
            if each.topic.name not in marked
        }
        self.progress.advance_clock(marked, read, self._floor.units)
        if self._is_due() or self._redrive_until is not None or self.redrive_asked:
            fired = TIMERS_PER_TICK_MAX
            while fired >= TIMERS_PER_TICK_MAX and not self.stopping:
                fired = await self._fire()
        await self._send_marks()
        await self._publish(self._aftermath.due())

    def _is_due(self) -> bool:
        """Whether a timer waits that may fire now, as far as the worker has seen: most ticks need no transaction."""
        gated, plain = self.soonest
        ready = clock.from_ms(self.progress.clock_ms) - self._grace
        return (gated is not None and gated <= ready) or (plain is not None and plain <= clock.now())

    async def _fire(self) -> int:
        fired = 0

        async def work(tx: UnitTx) -> Sequence[Fact]:
            nonlocal fired
            if self.spec.on_timers is None:
                return ()
            due = await timers.pop(tx, tx.worker, tx.unit, tx.clock - self._grace, tx.now, TIMERS_PER_TICK_MAX)
            fired = len(due)
            return await self.spec.on_timers(due, tx) if due else ()

        self.soonest = (None, None)
        await self._commit(work)
        if fired:
            self._count("timers", fired)
        return fired

    async def _send_marks(self) -> None:
        """Not through the outbox: a mark that is lost is followed by a later one that says more.

        A mark is true whoever owns the unit by now: what was read to the end had been handled and published by then.
        """
        reached = self.progress.clock_ms
        topics = [topic for topic in self.spec.outputs if topic.marks]
        if not topics or reached <= self.progress.marked_ms:
            return
        stamp = [(progress.MARK, progress.stamp(self._origin, reached))]
        everywhere = range(self._floor.units)
        await self._publish([Record(topic.name, unit, None, None, stamp) for topic in topics for unit in everywhere])
        self.progress.marked_ms = reached

    def lag(self) -> dict[str, int]:
        """Unread messages by topic, as far as known."""
        if self._reader is None:
            return {}
        found = {name: self._reader.lag(name, at) for name, at in self.progress.positions.items()}
        return {name: count for name, count in found.items() if count is not None}

    def _count(self, what: str, count: int) -> None:
        self._floor.counted(self.spec.name, what, count)

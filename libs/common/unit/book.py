"""What does a unit remember, and how does that change? State, position and outbox in one transaction, then publishing.

The book is what the database says of the unit, as far as this process knows; after any doubt it is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from libs.common import clock, lease, outbox, progress
from libs.common.errors import BrokerAway, Misconfigured, Poison
from libs.common.events import Fact
from libs.common.kafka import MESSAGE_BYTES_MAX, Record
from libs.common.topics import Topic, partition_of
from libs.common.unit.aftermath import Aftermath
from libs.common.unit.burial import DeadLetter
from libs.common.unit.shapes import Floor, Tombstone, UnitTx, WorkerSpec

REST_MS = 5_000
"""By so much the clock of those who read a unit at rest may be behind at the most."""

Work = Callable[[UnitTx], Awaitable[Sequence[Fact | Tombstone | DeadLetter]]]


class Book:
    """The memory of one unit while this process holds its lease.

    `progress` and `cache` may run ahead of the database within a batch; after a failure both are read anew. `stopping`
    ends waiting for a broker that is away, `trouble` says in words what the unit is waiting for.
    """

    def __init__(self, spec: WorkerSpec, floor: Floor, taken: lease.Lease) -> None:
        self.unit = taken.unit
        self.epoch = taken.epoch
        self.progress = progress.decode(taken.progress)
        self.cache: dict[str, Any] = {}
        self.stopping = False
        self.trouble = ""
        self.committed_clock_ms = self.progress.clock_ms
        self._spec = spec
        self._floor = floor
        self._revision = taken.revision
        self._origin = progress.origin_of(spec.name, taken.unit)
        self._encoder = msgspec.json.Encoder()
        self._topics: dict[type, Topic] = {topic.event: topic for topic in spec.outputs}
        self._published_seq = self._forgotten_seq = self._marked_seq = 0
        compacted = [topic.name for topic in spec.outputs if topic.compacted]
        self._aftermath = Aftermath(compacted, 2 * floor.publisher.timeout_seconds)

    async def reload(self) -> None:
        """Believe the database alone. Fenced when the unit is not ours any more."""
        self.cache.clear()
        async with self._floor.database.connection() as connection:
            row = await lease.read(connection, self._spec.name, self._floor.instance, self.unit, self.epoch)
        self._revision = row.revision
        self.progress = progress.decode(row.progress)
        self.committed_clock_ms = self.progress.clock_ms

    async def publish_outstanding(self) -> None:
        """Publish what the outbox holds: it may have been published before, which readers will notice."""
        async with self._floor.database.connection() as connection:
            records = await outbox.load(connection, self._spec.name, self.unit)
        self._aftermath.watch(records)
        await self.publish(records)

    async def commit(self, work: Work, *, redriven: bool = False) -> None:
        """One transaction: the lease is checked, `work` done, its results put into the outbox; then it is published.

        Whatever `work` raises leaves no trace in the database; the caller reloads before it goes on.
        """
        name, unit = self._spec.name, self.unit
        published = self._published_seq if self._published_seq > self._forgotten_seq else 0
        opening = lease.holding(name, self._floor.instance, unit, self.epoch, self._revision, published)
        async with self._floor.database.transaction(opening) as plain:
            tx = self._tx(plain.connection)
            records = [self._record(each) for each in await work(tx)]
            box = (self.progress.seq - len(records) + 1, outbox.packed(records)) if records else None
            self.progress.snapshot = tx.snapshot
            await lease.save(plain, name, unit, progress.encode(self.progress), redriven=redriven, box=box)
            self._floor.crash.reach("before_commit")
        self._floor.crash.reach("after_commit")
        self._revision += 1
        self.committed_clock_ms = self.progress.clock_ms
        self._forgotten_seq = max(self._forgotten_seq, published)
        await self.publish(records)

    async def publish(self, records: Sequence[Record]) -> None:
        """In order, one batch in flight; the unit stands still until the broker has acknowledged."""
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

    async def publish_marks(self) -> None:
        """Tell everybody downstream how far this unit has come, and put right what an old producer may have left.

        Not through the outbox: a mark that is lost is followed by a later one that says more. A mark is true whoever
        owns the unit by now: what was read to the end had been handled and published by then.
        """
        reached = self.progress.clock_ms
        topics = [topic for topic in self._spec.outputs if topic.marks]
        if topics and self._is_worth_telling(reached):
            stamp = [(progress.MARK, progress.stamp(self._origin, reached))]
            everywhere = range(self._floor.units)
            await self.publish([Record(topic.name, unit, None, None, stamp) for topic in topics for unit in everywhere])
            self.progress.marked_ms, self._marked_seq = reached, self.progress.seq
        await self.publish(self._aftermath.due())

    def _is_worth_telling(self, reached: int) -> bool:
        """A unit that has told nothing since its last mark is in no hurry: marks go to every partition, and where
        little happens they would fill the log. All that are at rest speak together, or the slowest would tell the time.
        """
        last = self.progress.marked_ms
        return reached > last and (self.progress.seq > self._marked_seq or reached // REST_MS > last // REST_MS)

    def _tx(self, connection: Any) -> UnitTx:
        return UnitTx(
            connection,
            worker=self._spec.name,
            unit=self.unit,
            cache=self.cache,
            clock=clock.from_ms(self.progress.clock_ms),
            now=clock.now(),
            snapshot=self.progress.snapshot,
            positions=self.progress.positions,
        )

    def _record(self, each: Fact | Tombstone | DeadLetter) -> Record:
        topic = self._topics.get(type(each))
        if topic is None:
            if isinstance(each, DeadLetter):
                return self._buried(each)
            if isinstance(each, Tombstone):
                return self._erased(each)
            raise Misconfigured(f"{self._spec.name} may not publish {type(each).__name__}")
        key = topic.key(each).encode()
        value = self._encoder.encode(each)
        if len(value) > MESSAGE_BYTES_MAX:
            raise Poison(f"a {topic.name} message of {len(value)} bytes is over the limit of {MESSAGE_BYTES_MAX}")
        return Record(topic.name, partition_of(key, self._floor.units), key, value, [self._stamp()])

    def _erased(self, each: Tombstone) -> Record:
        if each.topic not in self._topics.values() or not each.topic.compacted:
            raise Misconfigured(f"{self._spec.name} may not erase from {each.topic.name}")
        key = each.key.encode()
        return Record(each.topic.name, partition_of(key, self._floor.units), key, None, [self._stamp()])

    def _buried(self, letter: DeadLetter) -> Record:
        """Its key is its own, so that it can be erased from the compacted topic; the one it had stands beside it."""
        about = [("worker", self._spec.name.encode()), ("partition", str(self.unit).encode()), *letter.about.items()]
        if letter.key is not None:
            about.append(("key", letter.key))
        stamp = self._stamp()
        return Record(self._spec.dead_letters, self.unit, stamp[1], letter.value, [stamp, *about])

    def _stamp(self) -> tuple[str, bytes]:
        self.progress.seq += 1
        return progress.ORIGIN, progress.stamp(self._origin, self.progress.seq)

"""What was appended to a topic between two instants? All of its partitions as one stream, in the order of appending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from libs.common.errors import BrokerAway, Misconfigured
from libs.common.kafka.shapes import FETCH_BYTES_MAX, Received

_MESSAGES_AT_ONCE = 2_000
_SILENCE_SECONDS_MAX = 30.0


Entry = tuple[int, int, Received]
"""When a message was appended in milliseconds, never earlier than the one before it, its partition, and itself."""


class Span(NamedTuple):
    """What there is to read: how many messages at most, and when the oldest in the log was appended (None: no log)."""

    messages: int
    log_begins_ms: int | None


class History:
    """Used as `async with History(…) as history`; `span` is known then, and `chunks` may be read once.

    Order within a partition is that of the log, whatever clock its brokers had. Between partitions it is that of the
    brokers' clocks, so of two messages of one millisecond in two partitions either may come first. It ends where the
    partitions ended when it began, or before what was appended at `until_ms`.
    """

    def __init__(
        self, bootstrap: str, *, prefix: str, name: str, partitions: int, since_ms: int, until_ms: int
    ) -> None:
        self._name = name
        self._since_ms = since_ms
        self._parts = [
            _Part(bootstrap, TopicPartition(prefix + name, each), until_ms, name) for each in range(partitions)
        ]
        self.span = Span(0, None)

    async def __aenter__(self) -> History:
        try:
            oldest = await asyncio.gather(*(part.start(self._since_ms) for part in self._parts))
        except BaseException:
            await self._stop()
            raise
        begins = min((each for each in oldest if each is not None), default=None)
        self.span = Span(sum(part.end - part.at for part in self._parts), begins)
        return self

    async def __aexit__(self, *trouble: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self._parts), return_exceptions=True)

    async def chunks(self) -> AsyncIterator[list[Entry]]:
        """Some thousand messages at a time."""
        while any(part.open for part in self._parts):
            await asyncio.gather(*(part.fill() for part in self._parts if part.open and not part.held))
            if chunk := _merged(self._parts):
                yield chunk


class _Part:
    """One partition on its way to its end, with a reader of its own: partitions that share one wait for one another."""

    def __init__(self, bootstrap: str, place: TopicPartition, until_ms: int, name: str) -> None:
        self._place = place
        self._until_ms = until_ms
        self._name = name
        self.at = self.end = 0
        self.held: list[Entry] = []
        self.append_ms = 0
        self.open = False
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            request_timeout_ms=20_000,
        )

    async def start(self, since_ms: int) -> int | None:
        """Go to the first message that was appended at `since_ms` or later; returns when the oldest one was."""
        place, consumer = self._place, self._consumer
        try:
            await consumer.start()
            consumer.assign([place])
            self.end = (await consumer.end_offsets([place]))[place]
            oldest = (await consumer.offsets_for_times({place: 0})).get(place)
            begin = (await consumer.offsets_for_times({place: max(0, since_ms)})).get(place)
        except (KafkaError, OSError) as error:
            raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
        self.at = self.end if begin is None else min(begin.offset, self.end)
        self.open = self.at < self.end
        consumer.seek(place, self.at)
        return None if oldest is None else int(oldest.timestamp)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def fill(self) -> None:
        """Hold at least one more message, or be at the end."""
        heard = time.monotonic()
        while self.open and not self.held:
            try:
                found = await self._consumer.getmany(timeout_ms=500, max_records=_MESSAGES_AT_ONCE)
                # The last offsets may hold no message at all: what compaction took away, or a control record.
                self.at = await self._consumer.position(self._place)
            except KafkaError as error:
                self._raise(error)
            for messages in found.values():
                self._hold(messages)
            if self.at >= self.end:
                self.open = False
            if not found and time.monotonic() - heard > _SILENCE_SECONDS_MAX:
                raise BrokerAway(f"{self._name} cannot be read to its end")

    def _raise(self, error: KafkaError) -> None:
        if "OutOfRange" in type(error).__name__:
            raise Misconfigured(f"the log of {self._name} was cut off while it was read: {error!r}") from error
        raise BrokerAway(f"cannot read from Kafka: {error!r}") from error

    def _hold(self, messages: Iterable[Any]) -> None:
        at, partition, end, until_ms = self.append_ms, self._place.partition, self.end, self._until_ms
        for message in messages:
            timestamp = message.timestamp
            if timestamp >= until_ms or message.offset >= end:
                self.open = False
                break
            at = max(at, timestamp)
            self.held.append((at, partition, message))
        self.append_ms = at


def _merged(parts: Iterable[_Part]) -> list[Entry]:
    """All that nothing unread can precede: up to the least instant to which the open partitions are held."""
    horizon = min((part.append_ms for part in parts if part.open), default=None)
    chunk: list[Entry] = []
    for part in parts:
        if horizon is None or part.append_ms <= horizon:
            chunk += part.held
            part.held = []
        else:
            later = (number for number, entry in enumerate(part.held) if entry[0] > horizon)
            kept = next(later, len(part.held))
            chunk += part.held[:kept]
            part.held = part.held[kept:]
    # Made of runs that are sorted already, which costs next to nothing; equal instants keep their order.
    chunk.sort(key=itemgetter(0))
    return chunk

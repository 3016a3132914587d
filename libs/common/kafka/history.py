"""What was appended to a topic between two instants? All of its partitions as one stream, in the order of appending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from libs.common.errors import BrokerAway, Misconfigured
from libs.common.kafka.shapes import FETCH_BYTES_MAX, Received

_SILENCE_SECONDS_MAX = 30.0
_AGAIN_SECONDS = 0.2
_WAIT_MS = 500
_LOG_APPEND_TIME = 1

Run = tuple[int, int, Iterable[Received]]
"""When messages were appended in milliseconds, never earlier than those before them in their partition; its number; and
the messages themselves, to be gone through once."""


class Span(NamedTuple):
    """What there is to read: how many messages at most, and when the oldest in the log was appended (None: no log)."""

    messages: int
    log_begins_ms: int | None


class Earlier(NamedTuple):
    """What is known of a topic from elsewhere: where its log goes on behind it, by partition, and its runs before that.

    `messages` is how many they are at most, and `begins_ms` when the oldest was appended.
    """

    begins: Mapping[int, int]
    runs: Mapping[int, Iterator[list[Run]]]
    messages: int
    begins_ms: int | None


class History:
    """Used as `async with History(…) as history`; `span` is known then, and `chunks` may be read once.

    Order within a partition is that of the log, whatever clock its brokers had. Between partitions it is that of the
    brokers' clocks, so of two messages of one millisecond in two partitions either may come first. It ends where the
    partitions ended when it began, or before what was appended at `until_ms`; each partition begins with what there is
    `earlier`.

    The log's own batches are read, beneath the client's consumer: a message that means nothing to the reader then
    costs a tenth of what the consumer makes of it.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str,
        name: str,
        partitions: int,
        since_ms: int,
        until_ms: int,
        earlier: Earlier | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._since_ms = since_ms
        self._earlier = earlier or Earlier({}, {}, 0, None)
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)
        self._parts = [
            _Part(self._client, TopicPartition(prefix + name, each), until_ms, name, self._earlier.runs.get(each))
            for each in range(partitions)
        ]
        self.span = Span(0, None)

    async def __aenter__(self) -> History:
        try:
            oldest = await self._start()
        except (KafkaError, OSError) as error:
            await self._stop()
            raise BrokerAway(f"cannot read from Kafka: {error!r}") from error
        except BaseException:
            await self._stop()
            raise
        if self._earlier.begins_ms is not None:
            oldest.append(self._earlier.begins_ms)
        messages = self._earlier.messages + sum(part.end - part.at for part in self._parts)
        self.span = Span(messages, min(oldest, default=None))
        return self

    async def __aexit__(self, *trouble: object) -> None:
        await self._stop()

    async def _start(self) -> list[int]:
        """Tells every part where it begins and ends; returns when the oldest message of each was appended."""
        places = [part.place for part in self._parts]
        asking = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None, request_timeout_ms=20_000)
        try:
            await asking.start()
            asking.assign(places)
            ends = await asking.end_offsets(places)
            firsts = await asking.beginning_offsets(places)
            oldest = await asking.offsets_for_times(dict.fromkeys(places, 0))
            begins = await asking.offsets_for_times(dict.fromkeys(places, max(0, self._since_ms)))
        finally:
            await asking.stop()
        await self._client.bootstrap()
        await self._client.set_topics({places[0].topic})
        for part in self._parts:
            found, end = begins[part.place], ends[part.place]
            first = end if found is None else min(found.offset, end)
            self._open(part, first, firsts[part.place], end)
        return [each.timestamp for each in oldest.values() if each is not None]

    def _open(self, part: _Part, first: int, oldest: int, end: int) -> None:
        known = self._earlier.begins.get(part.place.partition)
        if known is not None and not oldest <= known <= end:
            raise Misconfigured(
                f"partition {part.place.partition} of {self._name} has the offsets {oldest} to {end}, and what was "
                f"kept of it elsewhere ends at {known}: what lies between is lost, or it is another log"
            )
        part.open_at(max(first, oldest, known or 0), end)

    async def _stop(self) -> None:
        for part in self._parts:
            await part.stop()
        await self._client.close()

    async def chunks(self) -> AsyncIterator[list[Run]]:
        """Some thousand messages at a time."""
        while any(part.open for part in self._parts):
            await asyncio.gather(*(part.fill() for part in self._parts if part.open and not part.held))
            if chunk := _merged(self._parts):
                yield chunk


class _Part:
    """One partition on its way to its end; the next piece of it is under way while this one is looked at."""

    def __init__(
        self,
        client: AIOKafkaClient,
        place: TopicPartition,
        until_ms: int,
        name: str,
        earlier: Iterator[list[Run]] | None,
    ) -> None:
        self.place = place
        self._client = client
        self._until_ms = until_ms
        self._name = name
        self._earlier = earlier
        self.at = self.end = 0
        self.held: list[Run] = []
        self.append_ms = 0
        self.open = False
        self._fetching: asyncio.Task[bytes] | None = None

    def open_at(self, begin: int, end: int) -> None:
        self.at, self.end = min(begin, end), end
        self.open = self.at < self.end or self._earlier is not None

    async def stop(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def fill(self) -> None:
        """Hold at least one more run, or be at the end."""
        while self._earlier is not None and self.open and not self.held:
            self._take_earlier(self._earlier)
        heard = time.monotonic()
        while self.open and not self.held:
            before, fetching = self.at, self._fetching or self._fetch_on()
            self._fetching = None
            self._hold(await fetching)
            if self.at >= self.end:
                self.open = False
            elif self.open:
                self._fetching = self._fetch_on()
            if self.at > before:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_SECONDS_MAX:
                raise BrokerAway(f"{self._name} cannot be read to its end")

    def _take_earlier(self, runs: Iterator[list[Run]]) -> None:
        some = next(runs, None)
        if some is None:
            self._earlier = None
            self.open = self.at < self.end
            return
        for append_ms, _, messages in some:
            self._hold_run(append_ms, messages)

    def _fetch_on(self) -> asyncio.Task[bytes]:
        return asyncio.create_task(self._fetch(self.at), name=f"history of {self.place}")

    async def _fetch(self, offset: int) -> bytes:
        """The log from there on, in whole batches but for the last; waits for a broker that is away for a while."""
        began = time.monotonic()
        wanted = [(self.place.topic, [(self.place.partition, offset, FETCH_BYTES_MAX)])]
        while True:
            try:
                leader = self._client.cluster.leader_for_partition(self.place)
                request = FetchRequest(_WAIT_MS, 1, FETCH_BYTES_MAX, 0, wanted)
                if leader is not None and leader >= 0:
                    return self._body(await self._client.send(leader, request))
                trouble: Exception = KafkaError("nobody leads the partition")
            except OffsetOutOfRangeError as error:
                raise Misconfigured(f"the log of {self._name} was cut off while it was read: {error!r}") from error
            except (KafkaError, OSError) as error:
                trouble = error
            if time.monotonic() - began > _SILENCE_SECONDS_MAX:
                raise BrokerAway(f"cannot read from Kafka: {trouble!r}") from trouble
            await asyncio.sleep(_AGAIN_SECONDS)
            await self._client.force_metadata_update()

    def _body(self, response: Any) -> bytes:
        [(_, [(_, code, *_, body)])] = response.topics
        if code:
            raise for_code(code)(f"{self._name}, partition {self.place.partition}")
        return bytes(body or b"")

    def _hold(self, body: bytes) -> None:
        records = MemoryRecords(body)
        while records.has_next() and self.open:
            batch: Any = records.next_batch()
            if not batch.validate_crc():
                raise BrokerAway(f"{self._name} holds a damaged batch at offset {self.at}")
            if not batch.is_control_batch:
                self._hold_batch(batch)
            if self.open:
                self.at = max(self.at, batch.next_offset)

    def _hold_batch(self, batch: Any) -> None:
        cut = batch.base_offset < self.at or batch.next_offset > self.end
        if batch.timestamp_type != _LOG_APPEND_TIME:
            for message in self._within(batch):
                self._hold_run(message.timestamp, (message,))
        else:
            self._hold_run(batch.max_timestamp, self._within(batch) if cut else batch)

    def _hold_run(self, append_ms: int, messages: Iterable[Received]) -> None:
        if append_ms >= self._until_ms:
            self.open = False
        elif self.open:
            self.append_ms = max(self.append_ms, append_ms)
            self.held.append((self.append_ms, self.place.partition, messages))

    def _within(self, batch: Iterable[Received]) -> Iterator[Received]:
        """The first and the last batch may hold more than was asked for."""
        begin, end = self.at, self.end
        return (message for message in batch if begin <= message.offset < end)


def _merged(parts: Iterable[_Part]) -> list[Run]:
    """All that nothing unread can precede: up to the least instant to which the open partitions are held."""
    horizon = min((part.append_ms for part in parts if part.open), default=None)
    chunk: list[Run] = []
    for part in parts:
        if horizon is None or part.append_ms <= horizon:
            chunk += part.held
            part.held = []
        else:
            later = (number for number, run in enumerate(part.held) if run[0] > horizon)
            kept = next(later, len(part.held))
            chunk += part.held[:kept]
            part.held = part.held[kept:]
    # Made of sequences that are sorted already, which costs next to nothing; equal instants keep their order.
    chunk.sort(key=itemgetter(0))
    return chunk

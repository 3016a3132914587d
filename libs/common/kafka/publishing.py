"""How do many small messages become few large requests? One flush for everything that is waiting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.common import logs
from libs.common.errors import BrokerAway
from libs.common.kafka.shapes import BATCH_BYTES_MAX, Record

_SWEEP_SECONDS = 0.1


class Publisher:
    """Publishes with acks from all replicas; everything queued while a flush is out goes with the next one.

    There is no timer: at rest a record leaves at once, under load flushes grow by themselves. A producer that fails is
    thrown away and made anew, because the client's idempotent producer can wedge for good after a batch expired
    (aio-libs/aiokafka#1017); repeats that follow from this are dropped by the reader.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str = "",
        timeout_seconds: float = 10.0,
        queue_bytes_max: int = 64 << 20,
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self.timeout_seconds = timeout_seconds
        self._queue_bytes_max = queue_bytes_max
        self._queue: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._queue_bytes = 0
        self._hurried: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._task: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._log = logs.get("publisher")
        self.rebuilt = 0
        self.healthy = False

    async def start(self) -> None:
        """Begin at once, whether or not the broker is there yet; `publish` says so when it is not."""
        self._task = asyncio.create_task(self._run(), name="publisher")
        self._sweeper = asyncio.create_task(self._sweep(), name="publisher deadlines")

    async def stop(self) -> None:
        """Send what is queued, then close."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._discard()

    async def failed(self) -> None:
        """Returns never, unless the task that publishes has ended, which is a reason to end the process."""
        assert self._task is not None
        await asyncio.wait([self._task])
        if not self._stopping:
            raise self._task.exception() or RuntimeError("the publisher stopped by itself")

    async def publish(self, records: Sequence[Record], seconds_max: float | None = None) -> None:
        """Returns when every record is acknowledged. BrokerAway: some may have arrived all the same.

        `seconds_max` is for callers who must answer somebody by then, to a tenth of a second, whatever becomes of the
        records; all who use it in one process use the same.
        """
        if not records:
            return
        size = sum(len(record.value or b"") + 100 for record in records)
        if self._queue_bytes + size > self._queue_bytes_max:
            raise BrokerAway("the queue of unacknowledged messages is full")
        if self._stopping:
            raise BrokerAway("shutting down")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((records, done))
        self._queue_bytes += size
        self._wake.set()
        if seconds_max is not None:
            self._hurried.append((time.monotonic() + seconds_max, done))
        try:
            await done
        finally:
            self._queue_bytes -= size

    async def _sweep(self) -> None:
        """One look at all who are in a hurry costs less than a timer for each."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now, hurried, late = time.monotonic(), self._hurried, False
            while hurried and (hurried[0][1].done() or hurried[0][0] < now):
                _, done = hurried.popleft()
                if not done.done():
                    done.set_exception(BrokerAway("Kafka has not acknowledged in time"))
                    late = True
            if late:
                # Nobody counts them any more, so they must not stay while a flush takes its time to fail.
                self._queue = [each for each in self._queue if not each[1].done()]

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            queue, self._queue = self._queue, []
            if queue:
                await self._answer(queue)
            elif self._stopping:
                return
            if self._queue or self._stopping:
                self._wake.set()

    async def _answer(self, queue: Sequence[tuple[Sequence[Record], asyncio.Future[None]]]) -> None:
        trouble: BrokerAway | None = None
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await self._flush(record for records, _ in queue for record in records)
            self.healthy = True
        except Exception as error:  # noqa: BLE001 - the loop must outlive any trouble of one flush.
            trouble = BrokerAway(f"Kafka did not acknowledge: {type(error).__name__}: {error}")
            self.healthy = False
            self._log.warning("publish_failed", error=repr(error), waiting=len(queue))
        for _, done in queue:
            if done.done():
                continue
            if trouble is None:
                done.set_result(None)
            else:
                done.set_exception(trouble)
        if trouble is not None:
            try:
                await self._discard()
            except Exception as error:  # noqa: BLE001 - the next flush makes a producer anew all the same.
                self._log.warning("producer_not_closed", error=repr(error))

    async def _flush(self, records: Iterable[Record]) -> None:
        producer = self._producer or await self._connect()
        by_partition: dict[tuple[str, int], list[Record]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(record)
        acknowledgements: list[asyncio.Future[Any]] = []
        for (topic, partition), group in by_partition.items():
            await self._enqueue(producer, self._prefix + topic, partition, group, acknowledgements)
        for acknowledgement in acknowledgements:
            await acknowledgement

    @staticmethod
    async def _enqueue(
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        group: Sequence[Record],
        acknowledgements: list[asyncio.Future[Any]],
    ) -> None:
        batch = producer.create_batch()
        for _, _, key, value, headers in group:
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                batch.close()
                acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        # An open batch would wait for more until the linger time is over.
        batch.close()
        acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=4 * BATCH_BYTES_MAX,
            request_timeout_ms=int(self.timeout_seconds * 1000),
            metadata_max_age_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException:
            with contextlib.suppress(KafkaError, OSError):
                await producer.stop()
            raise
        self._producer = producer
        self.rebuilt += 1
        return producer

    async def _discard(self) -> None:
        """Let go of the producer without waiting for what it still holds: that has already been reported as failed."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        closing = asyncio.ensure_future(producer.stop())
        await asyncio.wait([closing], timeout=1.0)
        if not closing.done():
            closing.cancel()
            await asyncio.wait([closing], timeout=1.0)
            await producer.client.close()
        if closing.done() and not closing.cancelled():
            closing.exception()

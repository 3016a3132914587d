"""What does a worker consist of, and what does a handler get to see? Shapes alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from libs.common import timers
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database, Tx
from libs.common.events import Fact
from libs.common.kafka import FETCH_BYTES_MAX, Publisher
from libs.common.topics import Topic, dead_letters

E = TypeVar("E", bound=Fact)


class Message(msgspec.Struct, Generic[E], gc=False):
    """A decoded message with what the log says of it: `value` as it came, when it was appended, how often tried."""

    event: E
    value: bytes
    append_ms: int
    headers: dict[str, bytes] = {}
    attempts: int = 1


class UnitTx(Tx):
    """The transaction of one unit's batch.

    `cache` lives as long as the unit is ours and is emptied after any failure, so what it holds of the unit's own rows
    is true. `clock` is the unit's clock (1970 while unknown); `now` the wall clock at the start of the batch.
    `snapshot` is the number of the documents in force, committed with the position. `positions` are the next offsets
    by topic, behind this batch.
    """

    __slots__ = ("cache", "clock", "now", "positions", "snapshot", "unit", "worker")

    def __init__(
        self,
        connection: Any,
        *,
        worker: str,
        unit: int,
        cache: dict[str, Any],
        clock: datetime,
        now: datetime,
        snapshot: int,
        positions: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(connection)
        self.positions: Mapping[str, int] = positions or {}
        self.worker = worker
        self.unit = unit
        self.cache = cache
        self.clock = clock
        self.now = now
        self.snapshot = snapshot

    async def set_timers(self, wanted: Sequence[timers.Timer]) -> None:
        await timers.put(self, self.worker, self.unit, wanted)

    async def cancel_timers(self, keys: Sequence[str]) -> None:
        await timers.cancel(self, self.worker, self.unit, keys)


class Tombstone(NamedTuple):
    """Says on a compacted topic that nothing is to be known of a key any more; it has no value."""

    topic: Topic
    key: str


Handler = Callable[[Sequence[Message[Any]], UnitTx], Awaitable[Sequence[Fact | Tombstone]]]
TimerHandler = Callable[[Sequence[timers.Timer], UnitTx], Awaitable[Sequence[Fact | Tombstone]]]
ErasedHandler = Callable[[Sequence[str], UnitTx], Awaitable[Sequence[Fact | Tombstone]]]


@dataclass(frozen=True, slots=True)
class Input:
    """`feedback` marks a topic that this worker's own effects flow back through: its marks do not drive our clock.

    `on_erased` is given the keys of tombstones, after `handler` was given what came before them; a key that has come
    to life again within the batch is not among them.
    """

    topic: Topic
    handler: Handler
    feedback: bool = False
    on_erased: ErasedHandler | None = None


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker reads, how it reacts, and what it alone may publish. Inputs are handled in the given order.

    A broker holds the question for more for `fetch_seconds_max` when there is none; the clock stands as long. What is
    asked for at once is at most `batch_max` messages and `fetch_bytes_max` bytes, or the one batch of the log that is
    larger: a worker that shares its process with something in a hurry asks for less.
    """

    name: str
    inputs: Sequence[Input]
    outputs: Sequence[Topic]
    on_timers: TimerHandler | None = None
    batch_max: int = 500
    timer_grace_seconds: float = 2.0
    fetch_seconds_max: float = 0.5
    fetch_bytes_max: int = FETCH_BYTES_MAX

    @property
    def owner(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def dead_letters(self) -> str:
        return dead_letters(self.owner)


@dataclass
class Floor:
    """What all units of a process stand on."""

    instance: str
    database: Database
    publisher: Publisher
    bootstrap: str
    prefix: str
    units: int
    crash: CrashPoints = field(default_factory=CrashPoints)
    counted: Callable[[str, str, int], None] = lambda worker, what, count: None
    timed: Callable[[str, float, int], None] = lambda worker, seconds, count: None

"""What did the past leave of each customer, had these rules been watched and silent? The log in, states out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.common.db import Database
from libs.common.events import EventResolved
from libs.common.kafka import History, Run
from libs.common.topics import partition_of
from services.rules.backtest.engine import Engine, Glimpse
from services.rules.backtest.interest import Interest, opening
from services.rules.backtest.memory import MemoryFull
from services.rules.backtest.partition import Headers, Partition
from services.rules.backtest.reach import WHOLE_LOG, reach_ms
from services.rules.document.language import Rule
from services.rules.engine.snapshot import compile_snapshot
from services.rules.warming import store
from services.rules.warming.sources import Documents

TELL_EVERY_SECONDS = 0.5
ROWS_AT_ONCE = 5_000
_END_MS = 1 << 62


class Task(Struct, frozen=True):
    """`units` says of each unit that asked up to which offset the past goes there; `asked_ms` when the first asked."""

    job: UUID
    documents: Documents
    units: dict[int, int]
    asked_ms: int
    bootstrap: str
    prefix: str
    topic: str
    partitions: int
    company_zone: str
    grace_seconds: float
    database_url: str
    memory_mb: int
    log_level: str = "info"
    parent: int = 0


class Step(Struct, frozen=True):
    """How far the log has been read: messages, of how many."""

    messages_read: int
    messages_total: int


class Told(Struct, frozen=True):
    """A line of the process: progress, and at last how many customers are remembered by unit, or the reason why not.

    `since_ms` is when what was read begins.
    """

    step: Step | None = None
    customers: dict[int, int] | None = None
    since_ms: int = 0
    error: str = ""

    @property
    def is_last(self) -> bool:
        return self.customers is not None or bool(self.error)


Tell = Callable[[Told], None]


class Logged(Protocol):
    """A message of the log, as far as it is looked at."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Fold:
    """Fed by `take`, asked by `remembered`. Units that did not ask are read for the sake of linked records."""

    def __init__(self, task: Task) -> None:
        rules = [msgspec.json.decode(each.body, type=Rule) for each in task.documents.rules]
        sources = [each.silent for each in task.documents.rules]
        segments = [each.silent for each in task.documents.segments]
        snapshot = compile_snapshot(sources, task.company_zone, segments)
        self._task = task
        grace_ms = round(task.grace_seconds * 1000)
        self._engine = Engine(snapshot, task.partitions, grace_ms, task.memory_mb << 20, lambda trigger, grounds: None)
        self._interest = Interest([snapshot], rules)
        # Any event may change the members of a segment.
        self._interest.everything = self._interest.everything or bool(segments)
        self._event = msgspec.json.Decoder(EventResolved).decode
        self._glimpse = msgspec.json.Decoder(Glimpse).decode
        self._parts = [Partition(task.partitions) for _ in range(task.partitions)]
        self.messages = 0
        reaches = [reach_ms(each, in_force_before=False) for each in rules]
        known = [each for each in reaches if each is not WHOLE_LOG]
        boundless = len(known) < len(reaches) or bool(segments)
        self.reads_from_ms = 0 if boundless else max(0, task.asked_ms - max(known, default=0))

    def take(self, runs: Iterable[Run]) -> None:
        """The next messages in the order of appending. MemoryFull."""
        reached_ms = 0
        for append_ms, unit, messages in runs:
            self._take_run(unit, messages, self._task.units.get(unit, _END_MS))
            reached_ms = append_ms
        self._engine.settle(reached_ms)

    def _take_run(self, unit: int, messages: Iterable[Logged], end: int) -> None:
        part, count = self._parts[unit], 0
        for message in messages:
            count += 1
            if message.offset >= end:
                continue
            value = message.value
            if value is None:
                part.note_mark(message.headers)
                self._engine.on_clock(unit, part.clock_ms)
            elif not part.is_repeat(message.headers):
                self._on_event(unit, message.key, value)
        self.messages += count

    def _on_event(self, unit: int, key: bytes | None, value: bytes) -> None:
        try:
            if self._interest.takes(opening(value), value):
                self._engine.on_event(unit, self._event(value))
            elif key is not None and key.decode("utf-8", "replace") in self._engine.waiting:
                self._engine.on_glimpse(self._glimpse(value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What cannot be read was buried where it came in, and counts for nothing here either.
            return

    def remembered(self) -> Iterator[tuple[int, str, bytes]]:
        """Unit, customer and packed state, of the units that asked."""
        for customer_id, body in self._engine.remembered():
            unit = partition_of(customer_id.encode(), self._task.partitions)
            if unit in self._task.units:
                yield unit, customer_id, body


async def read(task: Task, database: Database, tell: Tell) -> None:
    """Tells progress, and a last word; keeps what was remembered. BrokerAway, Misconfigured, StoreAway."""
    # A thousand rules are work for the processor, and this may be the process of the service.
    fold = await asyncio.to_thread(Fold, task)
    told = float("-inf")
    async with History(
        task.bootstrap,
        prefix=task.prefix,
        name=task.topic,
        partitions=task.partitions,
        since_ms=fold.reads_from_ms,
        until_ms=_END_MS,
    ) as history:
        total, since_ms = history.span.messages, max(fold.reads_from_ms, history.span.log_begins_ms or 0)
        try:
            async for runs in history.chunks():
                fold.take(runs)
                if time.perf_counter() - told > TELL_EVERY_SECONDS:
                    told = time.perf_counter()
                    tell(Told(Step(fold.messages, max(total, fold.messages))))
                await asyncio.sleep(0)
        except MemoryFull as full:
            tell(Told(error=f"{full}; raise DANGOL_WARMING_MEMORY_MB"))
            return
    step = Step(fold.messages, max(total, fold.messages))
    tell(Told(step))
    customers = await _keep(task, database, fold)
    if customers is not None:
        tell(Told(step, customers, since_ms))


async def _keep(task: Task, database: Database, fold: Fold) -> dict[int, int] | None:
    """How many customers of each unit; None where nobody wants to know any more.

    A unit that does is not told less because another one has lost interest meanwhile.
    """
    kept: Counter[int] = Counter()
    held: dict[int, list[tuple[str, bytes]]] = {unit: [] for unit in task.units}
    remembered = fold.remembered()
    while chunk := list(islice(remembered, ROWS_AT_ONCE)):
        for unit, customer_id, body in chunk:
            if unit in held:
                held[unit].append((customer_id, body))
        for unit, rows in list(held.items()):
            if rows and not await _keep_rows(task, database, unit, rows):
                del held[unit], kept[unit]
                continue
            kept[unit] += len(rows)
            rows.clear()
    return kept if held else None


async def _keep_rows(task: Task, database: Database, unit: int, rows: list[tuple[str, bytes]]) -> bool:
    async with database.transaction() as tx:
        return await store.keep(tx, task.job, unit, rows)

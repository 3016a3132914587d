"""Which compiled snapshot counts in this process? Looked for once a second, switched whole, never back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from libs.common.documents.reading import load_snapshot, load_together, snapshot_number
from libs.common.documents.shapes import ActiveDocument
from libs.common.errors import NotCaughtUp
from libs.common.metrics import Metrics
from libs.common.watching import INTERVAL_SECONDS, Watcher

RETRY_SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    number: int
    content: T


class SnapshotWatcher(Watcher, Generic[T]):
    """Keeps `compile(documents)` of the newest snapshot of a kind.

    `connect` opens a connection for a moment, such as `database.connection`. `compile` is pure; it runs in a
    thread and its result is never changed afterwards. If it fails, what was compiled before goes on counting.
    Kinds `beside` are read with it, paused ones too; whoever switches one of them raises this kind's number.
    """

    def __init__(
        self,
        kind: str,
        connect: Callable[[], AbstractAsyncContextManager[Any]],
        compile: Callable[[Sequence[ActiveDocument]], T],
        metrics: Metrics,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        with_paused: bool = False,
        beside: Sequence[str] = (),
        meaning: Sequence[str] = (),
    ) -> None:
        super().__init__(kind, interval_seconds=interval_seconds)
        self._kind = kind
        self._connect = connect
        self._compile = compile
        self._with_paused = with_paused
        self._beside = tuple(beside)
        self._meaning = tuple(meaning)
        self._current: Snapshot[T] | None = None
        self._broken: tuple[int, float] | None = None
        self._trouble = "not read yet"
        self._number = metrics.gauge("document_snapshot_number", "The snapshot in use.", ["kind"]).labels(kind)
        self._failures = metrics.counter(
            "document_snapshot_failures_total", "Snapshots that could not be used.", ["kind"]
        ).labels(kind)

    @property
    def current(self) -> Snapshot[T] | None:
        return self._current

    def require(self) -> Snapshot[T]:
        """The snapshot in use; NotCaughtUp while there has never been a usable one."""
        if self._current is None:
            raise NotCaughtUp(f"{self._kind}: no snapshot has been read yet")
        return self._current

    async def refresh(self) -> None:
        async with self._connect() as connection:
            number = await snapshot_number(connection, self._kind)
            if not self._is_wanted(number):
                return
            number, documents = await self._load(connection)
        await self._adopt(number, documents)

    async def _load(self, connection: Any) -> tuple[int, list[ActiveDocument]]:
        if not self._beside:
            return await load_snapshot(connection, self._kind, with_paused=self._with_paused)
        return await load_together(connection, self._kind, self._beside, self._meaning)

    def _is_wanted(self, number: int) -> bool:
        if not self._is_newer(number, -1 if self._current is None else self._current.number):
            return False
        # A snapshot that failed is tried again from time to time: a want of memory passes by itself.
        return self._broken is None or self._broken[0] != number or time.monotonic() > self._broken[1]

    async def _adopt(self, number: int, documents: Sequence[ActiveDocument]) -> None:
        try:
            content = await asyncio.to_thread(self._compile, documents)
        # Whatever is wrong with one document, the process goes on with the snapshot that it has.
        except Exception as error:  # noqa: BLE001
            self._broken = (number, time.monotonic() + RETRY_SECONDS)
            self._refuse(f"snapshot {number} could not be compiled: {type(error).__name__}: {error}")
            return
        if self._current is not None and number <= self._current.number:
            return
        self._current = Snapshot(number, content)
        self._broken, self._trouble = None, ""
        self._number.set(number)
        self._log.info("snapshot_in_use", kind=self._kind, number=number, documents=len(documents))

    def _refuse(self, reason: str) -> None:
        super()._refuse(reason)
        self._failures.inc()

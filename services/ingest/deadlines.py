"""How is a request ended that takes too long? By a sweep over all: a timer for each costs more than its body."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

SWEEP_SECONDS = 0.1

T = TypeVar("T")


class Deadlines:
    """A component. `bounded` is `asyncio.timeout` with a grain of `SWEEP_SECONDS`."""

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._sweeper = asyncio.create_task(self._sweep(), name="deadlines")

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])

    async def bounded(self, work: Coroutine[Any, Any, T], seconds_max: float) -> T:
        """The result of `work`; TimeoutError when it takes longer."""
        try:
            awaited = work.send(None)
        except StopIteration as done:
            # Nothing had to be waited for, as with nearly every body: there is no need to watch it.
            result: T = done.value
            return result
        task = asyncio.current_task()
        assert task is not None
        self._until[task] = time.monotonic() + seconds_max
        try:
            return await _resumed(work, awaited)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise TimeoutError from None
        finally:
            self._until.pop(task, None)
            self._overdue.discard(task)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for task in [task for task, until in self._until.items() if until < now]:
                del self._until[task]
                self._overdue.add(task)
                task.cancel()


@coroutine
def _resumed(work: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """The rest of `work`, which has been started by hand and waits for `awaited`."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - `work` decides what it means, as if it were awaited.
                awaited = work.throw(error)
            else:
                awaited = work.send(sent)
    except StopIteration as done:
        result: T = done.value
        return result

"""What is a service made of? Parts that start, stop, and may die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fastapi import FastAPI
from starlette.types import ASGIApp

from libs.common import logs
from libs.common.errors import DangolError
from libs.common.metrics import Metrics

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 30.0


class Component(Protocol):
    """Anything that lives as long as the process: a pool, a producer, a worker, a watcher.

    `start` returns once it works; `stop` returns once its work is safe, and is called only after a `start`.
    """

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@runtime_checkable
class Mortal(Protocol):
    """A component that can die by itself: `failed` returns or raises when it has, and never before.

    That ends the process. A supervisor starts it anew: the one way to recover that is tried all the time.
    """

    async def failed(self) -> None: ...


class Background:
    """A component made of one coroutine function, which returns soon after `stopping` is set."""

    def __init__(self, name: str, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        self._name = name
        self._work = work
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            try:
                await asyncio.wait({self._task})
            finally:
                # Reached by a bound that ran out, too: what does not listen is cut.
                self._task.cancel()

    async def failed(self) -> None:
        assert self._task is not None
        await asyncio.wait({self._task})
        # Raises what the work raised; work that merely returns has ended too early as well.
        self._task.result()

    async def _run(self) -> None:
        await self._work(self._stopping)


class Recurring(Background):
    """A component made of one step that is done again and again; `turn` returns for how many seconds to rest then.

    It outlives whatever a turn raises: that is counted, told once with its cause, and tried again at a bounded pace.
    """

    def __init__(self, name: str, turn: Callable[[], Awaitable[float]], metrics: Metrics) -> None:
        super().__init__(name, self._recur)
        self._turn = turn
        self._woken = asyncio.Event()
        self._failures = 0
        self._told = ""
        self._counter = metrics.counter(
            "loop_failures_total", "Turns of something that recurs that failed, by its name.", ["loop"]
        ).labels(name)
        self._log = logs.get("recurring").bind(loop=name)

    def wake(self) -> None:
        """Have the next turn now, or after the one that is under way."""
        self._woken.set()

    async def _recur(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self._woken.clear()
            try:
                rest = await self._turn()
                self._note_success()
            except Exception as error:  # noqa: BLE001 - a loop outlives whatever one of its turns meets.
                rest = self._note_failure(error)
            await self._pause(stopping, rest)

    async def _pause(self, stopping: asyncio.Event, seconds: float) -> None:
        waiting = [asyncio.ensure_future(each.wait()) for each in (stopping, self._woken)]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()

    def _note_success(self) -> None:
        if self._failures:
            self._log.info("recovered", failures=self._failures)
        self._failures, self._told = 0, ""

    def _note_failure(self, error: Exception) -> float:
        self._failures += 1
        self._counter.inc()
        trouble = f"{type(error).__name__}: {error}"
        if trouble != self._told:
            self._told = trouble
            if isinstance(error, DangolError):
                self._log.warning("turn_failed", error=trouble)
            else:
                self._log.error("turn_failed", error=trouble, exc_info=error)
        return min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2.0 ** min(self._failures - 1, 10))


@dataclass(frozen=True, slots=True)
class App:
    """The parts of a service, joined by its `app.py`.

    `resources` (pools, producers) start first and stop last; `components` (watchers) and `work` (workers, senders)
    start after them and are drained before HTTP closes. `work` is what any one process of a service can do for all:
    it is left out where the settings say that this one does not work. `asgi` stands in front of `web` where a service
    has its own door.
    """

    web: FastAPI
    resources: Sequence[Component] = ()
    components: Sequence[Component] = ()
    work: Sequence[Component] = ()
    asgi: ASGIApp | None = None

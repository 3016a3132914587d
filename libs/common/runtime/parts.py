"""What is a service made of? Parts that start, stop, and may die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fastapi import FastAPI
from starlette.types import ASGIApp


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

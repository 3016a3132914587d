"""How does a process follow what others change in the database? It looks once a second, and never goes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod

from libs.common import logs

INTERVAL_SECONDS = 1.0
STALE_SECONDS_MAX = 15.0


class Watcher(ABC):
    """A component that keeps something up to date that has a number in the database.

    What is in use stays in use whenever a look fails or finds nothing that can be used; `problems`, which readiness
    shows, say so.
    """

    def __init__(self, name: str, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._name = name
        self._interval_seconds = interval_seconds
        self._seen = time.monotonic()
        self._trouble = ""
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get("watching").bind(watched=name)

    @abstractmethod
    async def refresh(self) -> None:
        """One look; also for an API that wants its own change to count at once."""

    def problems(self) -> list[str]:
        if self._trouble:
            return [f"{self._name}: {self._trouble}"]
        age = time.monotonic() - self._seen
        return [f"{self._name}: not read for {age:.0f} s"] if age > STALE_SECONDS_MAX else []

    async def start(self) -> None:
        """Has the first look, so that what starts afterwards finds something; raises what looking raises."""
        await self.refresh()
        self._stopping.clear()
        self._task = asyncio.create_task(self._watch(), name=f"watching.{self._name}")

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def failed(self) -> None:
        assert self._task is not None
        await asyncio.wait({self._task})
        self._task.result()

    def _noticed(self) -> None:
        """The database was reached."""
        self._seen = time.monotonic()

    def _is_newer(self, number: int, used: int) -> bool:
        """Whether the number that was read is to be taken. A lower one is what a database shows that was restored."""
        self._noticed()
        if number < used:
            self._refuse(f"the database shows number {number}, older than {used} in use; it is not taken")
        elif number == used:
            self._trouble = ""
        return number > used

    def _refuse(self, reason: str) -> None:
        if reason != self._trouble:
            self._log.error("refused", reason=reason)
        self._trouble = logs.mask(reason)

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._stopping.wait()
                    return
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - a loop outlives whatever one of its turns meets.
                # Readiness tells when that has lasted too long.
                self._log.warning("not_read", error=f"{type(error).__name__}: {error}")

"""How fast may the lines of a process's imports go? As fast as the doors leave room, and never above a limit.

The lines are looked at on the event loop itself, in slices of half a millisecond, which can give way to a request: a
thread beside it goes on while requests wait for the interpreter.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

SLICE_SECONDS: Final = 0.0005
_QUIET_SECONDS: Final = 0.0001
_PAUSE_PER_WORK: Final = 4.0
_PAUSE_SECONDS_MIN: Final = 0.002
_PAUSE_SECONDS_MAX: Final = 0.05


class Gait:
    """Shared by all imports of a process."""

    def __init__(self, lines_per_second_max: float) -> None:
        self._rate = lines_per_second_max
        # When the lines that were let through by now should have been through, at the limit.
        self._due = time.monotonic()
        # Processor time of slices, so that imports do not take one another for requests.
        self._worked = 0.0

    def stride(self) -> Stride:
        return Stride(self)

    async def spend(self, lines: int) -> None:
        """Waits until the lines before these have had their time."""
        now = time.monotonic()
        wait = self._due - now
        self._due = max(self._due, now) + lines / self._rate
        if wait > 0:
            await asyncio.sleep(wait)

    async def give_way(self, worked: float) -> None:
        """Lets the loop turn once, and more often when others had work to do meanwhile."""
        self._worked += worked
        # In processor time: what another process takes from this one is no work of the doors.
        began, slices = time.thread_time(), self._worked
        await asyncio.sleep(0)
        others = time.thread_time() - began - (self._worked - slices)
        if others > _QUIET_SECONDS:
            # A request takes several turns: after this one there will be more of it.
            await asyncio.sleep(min(max(others * _PAUSE_PER_WORK, _PAUSE_SECONDS_MIN), _PAUSE_SECONDS_MAX))


class Stride:
    """One import's part in it."""

    def __init__(self, gait: Gait) -> None:
        self._gait = gait
        self._since = 0.0

    async def breathe(self) -> None:
        """To be called after each line: lets others go first once a slice is used up."""
        elapsed = time.monotonic() - self._since
        if elapsed < SLICE_SECONDS:
            return
        await self._gait.give_way(min(elapsed, 2 * SLICE_SECONDS))
        self._since = time.monotonic()

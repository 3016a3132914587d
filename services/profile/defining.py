"""Which definitions count in this process? Looked for once a second, switched whole, never back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from libs.common import logs
from libs.common.db import Database
from libs.common.errors import DangolError
from services.profile.person import Definitions
from services.profile.store import definitions as store

INTERVAL_SECONDS: Final = 1.0
STALE_SECONDS_MAX: Final = 15.0


def shapes() -> dict[str, type[msgspec.Struct]]:
    """The subjects that can be defined, with the shape of each: the parts of `Definitions`."""
    return {
        each.name: each.type
        for each in msgspec.structs.fields(Definitions)
        if isinstance(each.type, type) and issubclass(each.type, msgspec.Struct)
    }


def made(number: int, bodies: Mapping[str, bytes], zone: ZoneInfo) -> Definitions:
    """What counts after a change; msgspec.ValidationError when a body does not fit.

    A subject that this code does not know, for a newer one wrote it, changes nothing here.
    """
    known = shapes()
    defined: dict[str, Any] = {
        subject: msgspec.json.decode(body, type=known[subject]) for subject, body in bodies.items() if subject in known
    }
    return Definitions(number=number, zone=zone, **defined)


async def defined_at(connection: Any, zone: ZoneInfo, number: int | None = None) -> Definitions:
    """The definitions that count now, or that counted after the change `number`."""
    return made(*await store.in_force(connection, number), zone)


class Defining:
    """Keeps the newest definitions; what does not fit is not taken, and what was taken before goes on counting."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone
        self._current = Definitions(zone=zone)
        self._seen = time.monotonic()
        self._trouble = ""
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get(__name__)

    def in_force(self) -> Definitions:
        return self._current

    def problems(self) -> list[str]:
        if self._trouble:
            return [f"definitions: {self._trouble}"]
        age = time.monotonic() - self._seen
        return [f"definitions: not read for {age:.0f} s"] if age > STALE_SECONDS_MAX else []

    async def start(self) -> None:
        """Reads what counts, so that what starts afterwards finds it; raises what reading raises."""
        await self.refresh()
        self._stopping.clear()
        self._task = asyncio.create_task(self._watch(), name="definitions")

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def failed(self) -> None:
        assert self._task is not None
        await asyncio.wait({self._task})
        self._task.result()

    async def refresh(self) -> None:
        """One look; also for an API that wants its own change to count at once."""
        async with self._database.connection() as connection:
            number = await store.number(connection)
            self._seen = time.monotonic()
            if number <= self._current.number:
                # What the database shows may be older than what counts here when it was restored from a copy.
                self._trouble = "" if number == self._current.number else f"the database is back at number {number}"
                return
            number, bodies = await store.in_force(connection)
        try:
            found = made(number, bodies, self._zone)
        except msgspec.ValidationError as error:
            if not self._trouble:
                self._log.error("definitions_refused", number=number, error=str(error))
            self._trouble = f"number {number} does not fit: {error}"
            return
        if found.number > self._current.number:
            self._current, self._trouble = found, ""
            self._log.info("definitions_in_use", number=number, subjects=sorted(bodies))

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._stopping.wait()
                    return
            try:
                await self.refresh()
            except (DangolError, OSError) as error:
                # What is in use stays; readiness tells when that has lasted too long.
                self._log.warning("definitions_not_read", error=f"{type(error).__name__}: {error}")

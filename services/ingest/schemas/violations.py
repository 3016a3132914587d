"""What breaks the tracking plan, how often, and since when? Added up in memory, written every two seconds.

The report shows where senders err; it is no ledger. A write whose answer is lost may be counted twice, and what was
not written when the process dies is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from libs.common import clock, logs
from libs.common.db import Database
from libs.common.errors import DangolError
from libs.common.metrics import Metrics
from services.ingest.intake import Accepted, Outcome, Rejected, Terms
from services.ingest.store import violations as store

WRITE_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 3_600.0
KEPT_DAYS: Final = 90
PLACES_MAX: Final = 5_000
OTHER: Final = "*other*"
OBSERVED, REFUSED = "observed", "refused"
_TEXT_MAX: Final = 200
_PARTS_MAX: Final = 12
_DIGITS_MAX: Final = 4

# A name as schemas have them. Anything else was most likely made of somebody's data.
_NAME = re.compile(r"[^\W\d][\w$.:-]{0,63}")
_DIGIT = re.compile(r"[0-9]")

Place = tuple[date, str, str, str, str, str]
"""Day, source, type, pointer, reason, outcome."""


class Tally(Struct):
    count: int
    first_seen: datetime
    last_seen: datetime
    event_id: str


class _Origin(Struct):
    source: str
    type: str


_origin = msgspec.json.Decoder(_Origin)


class Recorder:
    """A component. Of each day it knows so many places; whatever is wrong elsewhere falls to the source `*other*`."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._waiting: dict[Place, Tally] = {}
        self._known: set[Place] = set()
        self._day = date.min
        self._swept = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get(__name__)
        self._counter = metrics.counter(
            "violations_total", "Violations of the tracking plan, and other refusals.", ["reason", "outcome"]
        )

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="violations")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with contextlib.suppress(DangolError):
            await self.write()

    def note(self, outcome: Outcome, terms: Terms) -> None:
        """Adds up what was refused and what was observed and let pass."""
        for verdict in outcome.verdicts:
            if isinstance(verdict, Rejected):
                place = (verdict.source, verdict.type, verdict.pointer, verdict.reason, REFUSED)
                self._add(place, verdict.id, terms.now)
            elif verdict.violations:
                for place in _observed(verdict):
                    self._add(place, verdict.id, terms.now)

    async def write(self) -> None:
        """Everything that waits, in one statement; what could not be written waits on."""
        written, self._waiting = self._waiting, {}
        if not written:
            return
        rows = [(*place, *_columns(tally)) for place, tally in written.items()]
        try:
            async with self._database.connection() as connection:
                await store.add(connection, rows)
        except BaseException:
            for place, tally in written.items():
                self._merge(place, tally)
            raise

    def _add(self, place: tuple[str, str, str, str, str], event_id: str, now: datetime) -> None:
        source, type_, pointer, reason, outcome = place
        self._counter.labels(reason, outcome).inc()
        day = now.date()
        if day != self._day:
            self._day, self._known = day, set()
        whole = (day, source[:_TEXT_MAX], type_[:_TEXT_MAX], general(pointer), reason, outcome)
        if whole not in self._known:
            if len(self._known) >= PLACES_MAX:
                whole = (day, OTHER, OTHER, "", reason, outcome)
            else:
                self._known.add(whole)
        self._merge(whole, Tally(1, now, now, event_id[:_TEXT_MAX]))

    def _merge(self, place: Place, tally: Tally) -> None:
        held = self._waiting.get(place)
        if held is None:
            self._waiting[place] = tally
            return
        held.count += tally.count
        held.first_seen = min(held.first_seen, tally.first_seen)
        if tally.last_seen >= held.last_seen:
            held.last_seen, held.event_id = tally.last_seen, tally.event_id

    async def _run(self) -> None:
        away = False
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                await self.write()
                await self._sweep()
                away = False
            # A report that cannot be written now must not end all later ones.
            except Exception as error:  # noqa: BLE001
                if not away:
                    self._log.warning("violations are not written now", error=repr(error))
                away = True

    async def _sweep(self) -> None:
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        async with self._database.connection() as connection:
            await store.forget(connection, clock.now().date() - timedelta(days=KEPT_DAYS))
        self._swept = time.monotonic()


def general(pointer: str) -> str:
    """The place in the schema rather than in the event: indices become *, as do names that no schema would have."""
    parts = pointer.split("/")[1 : _PARTS_MAX + 1]
    return "".join(f"/{part if _is_name(part) else '*'}" for part in parts)


def _is_name(part: str) -> bool:
    return _NAME.fullmatch(part) is not None and len(_DIGIT.findall(part)) <= _DIGITS_MAX


def _observed(verdict: Accepted) -> Iterator[tuple[str, str, str, str, str]]:
    origin = _origin.decode(verdict.value)
    for each in dict.fromkeys((general(one.pointer), one.reason) for one in verdict.violations):
        yield origin.source, origin.type, *each, OBSERVED


def _columns(tally: Tally) -> tuple[int, datetime, datetime, str]:
    return tally.count, tally.first_seen, tally.last_seen, tally.event_id

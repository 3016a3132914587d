"""How many rejects wait for somebody, by reason? A gauge that is counted now and then, never too often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from libs.common import logs
from libs.common.db import Database
from libs.common.errors import DangolError
from libs.common.metrics import Metrics
from services.ingest.store import rejects as store

PAUSE_SECONDS_MIN: Final = 5.0
# Counting takes this share of the time at most, however many there are.
_SHARE_MAX = 0.02
REASONS_MAX: Final = 30
OTHERS: Final = "others"


class OpenRejects:
    """A component. While the database is away the last count stands."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._gauge = metrics.gauge("open_rejects_number", "Rejects that are open, by reason.", ["reason"])
        self._shown: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get(__name__)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="open_rejects")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                async with self._database.connection() as connection:
                    self._show(largest(await store.open_by_reason(connection)))
            except DangolError as error:
                self._log.info("open rejects are not counted now", error=repr(error))
            await asyncio.sleep(max(PAUSE_SECONDS_MIN, (time.monotonic() - began) / _SHARE_MAX))

    def _show(self, counts: Mapping[str, int]) -> None:
        for reason in self._shown - counts.keys():
            self._gauge.labels(reason).set(0)
        for reason, number in counts.items():
            self._gauge.labels(reason).set(number)
        self._shown |= counts.keys()


def largest(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent reasons; the rest together, so that labels stay few whatever the log holds."""
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(number for _, number in ranked[REASONS_MAX:])
    return dict(ranked[:REASONS_MAX]) | ({OTHERS: rest} if rest else {})

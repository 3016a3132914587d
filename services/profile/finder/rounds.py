"""Who looks for duplicates next, and how fast? Records that changed, and all of them when somebody asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from libs.common import clock
from libs.common.db import Database
from services.profile.finder.looking import Looks
from services.profile.finder.pace import Pace
from services.profile.person import Definitions
from services.profile.store import duplicates as store
from services.profile.store import lessons as lesson_store

KIND: Final = "pass"
WAITING_MAX: Final = 2_000
"""Records that changed wait behind those of a pass: there are never many of these."""

_PAGE = 500
_DROPPED_AT_ONCE = 5_000
_IDLE_SECONDS = 0.5
_COUNT_SECONDS = 5.0
_LEASE_SECONDS = 10.0


class Rounds:
    """Done again and again; several processes share the work. `waits` is told how many looks are to be done."""

    def __init__(
        self,
        database: Database,
        looks: Looks,
        definitions: Callable[[], Definitions],
        pace: Pace,
        waits: Callable[[int], None],
    ) -> None:
        self._database = database
        self._looks = looks
        self._definitions = definitions
        self._pace = pace
        self._waits = waits
        self._counted_at = float("-inf")

    async def turn(self) -> float:
        """Returns for how many seconds to leave the process to others; of a turn that failed the looks come again."""
        await self._count()
        if not self._definitions().duplicates.enabled:
            # Whoever has them looked for again orders a pass.
            async with self._database.transaction() as tx:
                dropped = await store.drop_looks(tx, _DROPPED_AT_ONCE)
            return 0.0 if dropped else _IDLE_SECONDS
        marked = await self._mark()
        looked = await self._looks.look()
        if looked.looks:
            return self._pace.rest_seconds(looked.busy_seconds)
        return 0.0 if marked else _IDLE_SECONDS

    async def _mark(self) -> bool:
        """Have the next records of a pass looked at, unless many wait already."""
        async with self._database.transaction() as tx:
            job = await lesson_store.claim(tx, KIND, _LEASE_SECONDS)
            if job is None:
                return False
            marked = 0
            if await store.waiting(tx.connection, WAITING_MAX) < WAITING_MAX:
                marked = await lesson_store.mark(tx, job["job"], _PAGE)
                if not marked and await lesson_store.is_looked_at(tx.connection, job["last_number"]):
                    await lesson_store.end(tx, job["job"], clock.now())
            await lesson_store.let_go(tx, job["job"])
        return marked > 0

    async def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted_at > _COUNT_SECONDS:
            self._counted_at = now
            async with self._database.connection() as connection:
                self._waits(await store.waiting(connection, 10 * WAITING_MAX))

"""What happens with what was refused? Events in, nothing out: they are kept, so that somebody can look at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from libs.common.events import EventRejected, Fact
from libs.common.timers import Timer
from libs.common.unit import Message, UnitTx
from services.ingest.rejects import keeping
from services.ingest.rejects.keeping import Allowance
from services.ingest.store import rejects as store

STATEMENT_BYTES_MAX: Final = 1 << 20
PURGED_AT_ONCE_MAX: Final = 500
_PURGE = "purge"
_QUOTA_KEPT = timedelta(days=2)


class Rejects:
    def __init__(self, allowance: Allowance, kept_for: timedelta) -> None:
        self._allowance = allowance
        self._kept_for = kept_for

    async def on_rejected(self, batch: Sequence[Message[EventRejected]], tx: UnitTx) -> Sequence[Fact]:
        """Counts what is known already, and keeps what is new within the allowance of its key."""
        seen = keeping.gathered(message.event for message in batch)
        known = await store.count_again(tx, seen)
        new = [each for each in seen if each.reject_id not in known]
        if new:
            before = await store.used(tx, sorted({keeping.slot_of(each) for each in new}))
            allotted = keeping.allot(new, before, self._allowance, tx.unit)
            for rows in (allotted.stored, allotted.counted):
                for piece in keeping.in_slices(rows, STATEMENT_BYTES_MAX):
                    await store.add(tx, tx.unit, piece)
            await store.note_used(tx, tx.unit, allotted.used)
        if _PURGE not in tx.cache:
            tx.cache[_PURGE] = True
            await tx.set_timers([_purge_at(_next_hour(tx.now))])
        return ()

    async def on_timers(self, batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        """What is too old goes, a little at a time."""
        del batch
        gone = await store.purge(tx, tx.now - self._kept_for, PURGED_AT_ONCE_MAX)
        await store.purge_used(tx, tx.now - _QUOTA_KEPT)
        more = gone >= PURGED_AT_ONCE_MAX
        await tx.set_timers([_purge_at(tx.now + timedelta(seconds=1) if more else _next_hour(tx.now))])
        return ()


def _purge_at(due: datetime) -> Timer:
    return Timer(_PURGE, due, gated=False)


def _next_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

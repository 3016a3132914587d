"""What does the owner of a record do when it is erased? It empties the state, and tells everybody who has a copy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from libs.common.clock import derived_id, to_ms
from libs.common.events import ERASED, CommandIssued, EventResolved, Fact
from libs.common.timers import Timer
from libs.common.topics import PROFILE_UPDATED
from libs.common.unit import Tombstone, UnitTx
from services.profile.cabinet import Cabinet
from services.profile.holding import Held

TIMERS: Final = "tombstone:"
"""Begins the key of a timer that tells once more that a record is erased."""

AGAIN_SECONDS: Final = (4, 8, 16, 32, 64)
"""A broker never compacts the segment it writes to: what is told again begins a new one, and closes the old."""

SOURCE: Final = "dangol/profile"


async def erase(cabinet: Cabinet, held: Held, command: CommandIssued) -> Sequence[Fact | Tombstone]:
    """The last that is ever said of a record. Its rows in other tables go afterwards: nobody adds to them any more.

    Of one that is erased already it is said again, for whoever could not handle it.
    """
    await cabinet.tx.set_timers([_again(held.id, 0, cabinet.tx)])
    person_id = held.customer.person_id or held.id
    if not held.customer.erased:
        cabinet.empty(held)
        await cabinet.close([held.id], (), ())
        await cabinet.tx.cancel_timers([held.id])
    last = EventResolved(
        str(derived_id("erased", command.command_id)),
        held.id,
        person_id,
        ERASED,
        SOURCE,
        command.issued_at,
        to_ms(cabinet.tx.now),
    )
    return [last, Tombstone(PROFILE_UPDATED, held.id)]


async def tombstones_again(due: Sequence[Timer], tx: UnitTx) -> list[Tombstone]:
    told = {each.key.removeprefix(TIMERS): int(each.payload) + 1 for each in due}
    await tx.set_timers([_again(record, times, tx) for record, times in told.items() if times < len(AGAIN_SECONDS)])
    return [Tombstone(PROFILE_UPDATED, record) for record in told]


def _again(record: str, times: int, tx: UnitTx) -> Timer:
    due = tx.now + timedelta(seconds=AGAIN_SECONDS[times])
    return Timer(f"{TIMERS}{record}", due, str(times).encode(), gated=False)

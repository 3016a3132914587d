"""How is a change of messages written down? Rows, steps, and what must be told, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from libs.common.db import Tx
from libs.common.events import Fact, ResponseReceived
from services.notify import reporting
from services.notify.store import ledger, responses
from services.notify.store.ledger import Entry


class Change(NamedTuple):
    before: Entry
    after: Entry


async def record(
    tx: Tx, now: datetime, changes: Sequence[Change], reactions: Sequence[tuple[int, ResponseReceived]] = ()
) -> int:
    """Returns how many of `reactions` (unit, response) were not known before."""
    changed = [_without_words(change) for change in changes if change.before != change.after]
    if changed:
        await ledger.save(tx, now, [change.after for change in changed])
        steps = (reporting.step(before, after, now) for before, after in changed)
        await ledger.add_steps(tx, [step for step in steps if step is not None])
    accepted = [(after.unit, reporting.accepted(before, after, now)) for before, after in changed]
    heard = [*((unit, response) for unit, response in accepted if response is not None), *reactions]
    fresh = await responses.note(tx, heard)
    settled = [(after.unit, reporting.settled(before, after, now)) for before, after in changed]
    facts: list[tuple[int, Fact]] = [(unit, fact) for unit, fact in settled if fact is not None]
    await responses.tell(tx, now, [*facts, *fresh])
    asked = {response.id for _, response in reactions}
    return sum(response.id in asked for _, response in fresh)


def _without_words(change: Change) -> Change:
    """Of an erased message it is written how it went on, and nothing of what providers say about it."""
    after = change.after
    if not after.erased:
        return change
    standing = replace(after.standing, reason="")
    return Change(change.before, replace(after, standing=standing, recipient="", provider_ref=""))

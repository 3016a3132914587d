"""What does a reaction of a customer, or a notice of a provider, do here? In the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from libs.common.db import Tx
from libs.common.events import ResponseReceived
from services.notify import delivery, reporting
from services.notify.permission import Suppression
from services.notify.recording import Change, record
from services.notify.store import customers, ledger
from services.notify.store.ledger import Entry

NOTICES = ("delivered", "bounced", "expired", "opened", "clicked", "replied", "unsubscribed", "complained")
_SUPPRESSING = frozenset({"bounced", "unsubscribed", "complained"})
_NEEDS_NO_SENDING = frozenset({"unsubscribed"})


class Reaction(NamedTuple):
    """`kind` is one of NOTICES; `event_id` keeps apart what may happen several times."""

    message_id: str
    kind: str
    event_id: str
    at: datetime
    data: dict[str, Any]


class Heard(NamedTuple):
    """How many reactions were new, known before, and about no message that was handed over."""

    new: int
    known: int
    ignored: int


async def apply(tx: Tx, now: datetime, reactions: Sequence[Reaction]) -> Heard:
    """Order and repeats do not matter: states move forward only, and a response is told once."""
    entries = {entry.message_id: entry for entry in await ledger.lock(tx, {each.message_id for each in reactions})}
    moved = dict(entries)
    told: list[tuple[int, ResponseReceived]] = []
    ignored = 0
    for each in sorted(reactions, key=lambda reaction: (reaction.message_id, reaction.at)):
        entry = moved.get(each.message_id)
        if entry is None or not _may_be_true(entry, each):
            ignored += 1
            continue
        moved[entry.message_id] = replace(entry, standing=delivery.after_receipt(entry.standing, each.kind))
        at = min(each.at, now)
        data = {} if entry.erased else each.data
        told.append((entry.unit, reporting.response(entry, f"message.{each.kind}", each.event_id, at, data)))
        if each.kind in _SUPPRESSING and not each.data.get("soft"):
            await customers.suppress(tx, entry.unit, entry.message_id, suppression(entry, each.kind, at))
    changes = [Change(entry, moved[key]) for key, entry in entries.items()]
    fresh = await record(tx, now, changes, told)
    return Heard(fresh, len(told) - fresh, ignored)


def _may_be_true(entry: Entry, reaction: Reaction) -> bool:
    return reaction.kind in _NEEDS_NO_SENDING or delivery.was_handed_over(entry.standing)


def suppression(entry: Entry, reason: str, at: datetime) -> Suppression:
    return Suppression(entry.customer_id, entry.channel, reason, entry.recipient, at)

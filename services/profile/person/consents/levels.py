"""How far has somebody let us in? The rungs of permission marketing, from stranger to subscriber, by one table."""

from __future__ import annotations

from typing import Any

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.consents.held import union
from services.profile.person.consents.standing import is_granted


def level_of(records: Records, at: Moment) -> tuple[str, int]:
    """The name of the highest rung that somebody meets, and its rank: 0 is the lowest of the table."""
    levels = at.definitions.consents.levels
    purchases, acquainted = 0, False
    for each in records:
        if each.purchases is not None:
            for book in each.purchases.money.values():
                purchases += book.count
        if each.contacts is not None and each.contacts.held:
            acquainted = True
    acquainted, channels = acquainted or purchases > 0, _channels(records, at)
    rank = len(levels)
    for level in levels:
        rank -= 1
        if purchases >= level.purchases and channels >= level.channels and (acquainted or not level.acquainted):
            return level.name, rank
    return "", -1


def _channels(records: Records, at: Moment) -> int:
    """By how many channels marketing may be sent."""
    held = union(records, at.definitions.consents)
    if held is None:
        return 0
    channels = 0
    for key, slot in held.slots.items():
        channels += ":" not in key and is_granted(held, key, slot, at)
    return channels


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    name, rank = level_of(records, at)
    return {"consent_level": name, "consent_level_rank": rank}


PERMISSION = Chapter("permission", reads=("consents", "contacts", "purchases"), fields=_fields)

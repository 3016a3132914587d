"""Since when is somebody known, and when was there last a sign of them?"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence


class Presence(Struct, array_like=True, gc=False):
    """`last_day` is an ordinal: a state that changed with each sign would be written with each of them."""

    first_seen_ms: int = 0
    last_day: int = 0


def _noticed(held: Presence, event: Occurrence, definitions: Definitions) -> bool:
    day = definitions.day_of(event.at_ms)
    changed = False
    if not held.first_seen_ms or event.at_ms < held.first_seen_ms:
        held.first_seen_ms, changed = event.at_ms, True
    if day > held.last_day:
        held.last_day, changed = day, True
    return changed


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    first = min((each.presence.first_seen_ms for each in records if each.presence is not None), default=0)
    return {"first_seen_at": from_ms(first)}


PRESENCE = Chapter(
    "presence",
    reads=("presence",),
    keeps="presence",
    state=Presence,
    every=_noticed,
    fields=_fields,
    reserved=lambda name: name == "first_seen_at",
)

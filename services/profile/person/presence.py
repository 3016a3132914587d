"""Since when is somebody known, and when was there last a sign of them? What machines and tests do is no sign."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence


class Presence(Struct, array_like=True, gc=False):
    """`last_day` is an ordinal: a state that changed with each sign would be written with each of them.

    `interest_ms` is the first of the events that the lifecycle takes for interest, 0 for none. `flagged` says that
    there was traffic of machines or tests.
    """

    first_seen_ms: int = 0
    last_day: int = 0
    interest_ms: int = 0
    flagged: bool = False


def _noticed(held: Presence, event: Occurrence, definitions: Definitions) -> bool:
    if event.traffic:
        changed, held.flagged = not held.flagged, True
        return changed
    at_ms = event.at_ms
    day = definitions.day_of(at_ms)
    changed = False
    if not held.first_seen_ms or at_ms < held.first_seen_ms:
        held.first_seen_ms, changed = at_ms, True
    if day > held.last_day:
        held.last_day, changed = day, True
    interest_ms = held.interest_ms
    if (not interest_ms or at_ms < interest_ms) and event.type in definitions.lifecycle.lead_events:
        held.interest_ms, changed = at_ms, True
    return changed


def first_seen_ms(records: Records) -> int:
    """When there was the first sign of a person (Unix milliseconds), 0 where there was none."""
    if len(records) == 1:
        only = records[0].presence
        return only.first_seen_ms if only is not None else 0
    found = [each.presence.first_seen_ms for each in records if each.presence is not None]
    return min([first for first in found if first], default=0)


def interest_ms(records: Records) -> int:
    """When they first showed interest (Unix milliseconds), 0 where they did not."""
    found = [each.presence.interest_ms for each in records if each.presence is not None]
    return min([first for first in found if first], default=0)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    first = first_seen_ms(records)
    return {"first_seen_at": from_ms(first)} if first else {}


PRESENCE = Chapter(
    "presence",
    reads=("presence",),
    keeps="presence",
    state=Presence,
    every=_noticed,
    fields=_fields,
    reserved=lambda name: name == "first_seen_at",
)

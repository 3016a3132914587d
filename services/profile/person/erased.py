"""Has somebody come back who had themselves erased? Then they are left alone until they give consent anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.statements import granted_channels

REASON: Final = "erased"
CAME_BACK: Final = "profile.came_back"
"""The event by which a record learns that an identifier of theirs belonged to a person who was erased."""


class Erased(Struct, array_like=True, gc=False):
    """Unix milliseconds: when the person was last erased, and when they last consented to anything; 0 for never."""

    at_ms: int = 0
    consented_ms: int = 0


def _came_back(held: Erased, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    at_ms = event.data.get("erased_ms")
    if not isinstance(at_ms, int) or isinstance(at_ms, bool) or at_ms <= held.at_ms:
        return False
    held.at_ms = at_ms
    return True


def _consented(held: Erased, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    # A consent dated into the future would outlive an erasure that follows it.
    at_ms = min(event.at_ms, event.received_ms) if event.received_ms else event.at_ms
    if at_ms <= held.consented_ms or not granted_channels(event.data):
        return False
    held.consented_ms = at_ms
    return True


def _asked(held: Erased, event: Occurrence, definitions: Definitions) -> bool:
    """What is asked for is decided by people; that it concerns a chapter lets whoever lists it read it."""
    del held, event, definitions
    return False


def is_left_alone(records: Records) -> bool:
    known = [each.erased_before for each in records if each.erased_before is not None]
    at_ms = max((each.at_ms for each in known), default=0)
    return at_ms > 0 and max(each.consented_ms for each in known) <= at_ms


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {REASON: True} if is_left_alone(records) else {}


def _suppresses(records: Records, at: Moment) -> Iterable[str]:
    del at
    return (REASON,) if is_left_alone(records) else ()


ERASED_BEFORE = Chapter(
    "erased_before",
    reads=("erased_before",),
    keeps="erased_before",
    state=Erased,
    effects={CAME_BACK: _came_back, "consent_given": _consented, "privacy.request": _asked},
    fields=_fields,
    suppresses=_suppresses,
    reserved=lambda name: name == REASON,
)

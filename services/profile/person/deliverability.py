"""Which addresses are known to be wrong or unwelcome?"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence

HARD_BOUNCES = frozenset({"hard", "permanent", "undeliverable"})


class Deliverability(Struct, array_like=True, gc=False):
    """`suppressed` are reasons, with the instant of the first cause in Unix milliseconds."""

    suppressed: dict[str, int] = {}


def _suppress(held: Deliverability, reason: str, at_ms: int) -> bool:
    if held.suppressed.get(reason, at_ms + 1) <= at_ms:
        return False
    held.suppressed[reason] = at_ms
    return True


def _bounced(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    if str(event.data.get("kind", "hard")) not in HARD_BOUNCES:
        return False
    return _suppress(held, f"bounced:{event.data.get('channel') or 'email'}", event.at_ms)


def _marked_as_spam(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _suppress(held, f"complained:{event.data.get('channel') or 'email'}", event.at_ms)


def _suppresses(records: Records, at: Moment) -> Iterable[str]:
    del at
    return {reason for each in records if each.deliverability is not None for reason in each.deliverability.suppressed}


DELIVERABILITY = Chapter(
    "deliverability",
    reads=("deliverability",),
    keeps="deliverability",
    state=Deliverability,
    effects={"message.bounced": _bounced, "message.complained": _marked_as_spam},
    suppresses=_suppresses,
)

"""By which channels, and for what, does a customer never want to be contacted, whatever they agreed to?

A restriction is for one channel or for all, for one class of messages or for all. What nobody understands is read as
all; a restriction is lifted only by naming exactly what it was set for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from libs.common.events import CHANNELS_OF_CONTACT
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, day_of, keep_newest, newest_of, text_of, written
from services.profile.person.occurrence import Occurrence

PURPOSES: Final = ("marketing", "service", "transactional")
"""The classes of messages, as campaigns name them."""

RESTRICTIONS_MAX: Final = (len(CHANNELS_OF_CONTACT) + 1) * (len(PURPOSES) + 1)


class Said(Statement, array_like=True, order=True, frozen=True, gc=False):
    """`until` is its last day (ordinal), 0 for ever. Of two at one instant the one that binds counts."""

    binds: bool
    until: int = 0
    reason: str = ""
    source: str = ""


class Restrictions(Struct, array_like=True, gc=False):
    """The newest statement by `<channel>/<purpose>`, both empty where all are meant."""

    said: dict[str, Said] = {}


def _set(held: Restrictions, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    said = event.data
    until, reason = said.get("until"), text_of(said.get("reason"))
    found = Said(event.at_ms, True, day_of(until), reason, event.source[:200])
    purpose = _purpose(said)
    channels = _channels(said) or [""]
    names = [_name(each if each in CHANNELS_OF_CONTACT else "", purpose or "") for each in channels]
    return any([keep_newest(held.said, each, found, RESTRICTIONS_MAX) for each in names])


def _lifted(held: Restrictions, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    purpose, named = _purpose(event.data), _channels(event.data)
    if purpose is None:
        return False
    channels = [""] if named is None else [each for each in named if each in CHANNELS_OF_CONTACT]
    found = Said(event.at_ms, False, 0, text_of(event.data.get("reason")), event.source[:200])
    return any([keep_newest(held.said, _name(each, purpose), found, RESTRICTIONS_MAX) for each in channels])


def _channels(said: Mapping[str, Any]) -> list[Any] | None:
    """The channels that are named, whatever they are; None where none is."""
    named = said.get("channels")
    if named is None:
        named = said.get("channel")
    return named if isinstance(named, list) or named is None else [named]


def _purpose(said: Mapping[str, Any]) -> str | None:
    """Empty for all of them; None for a word that is none."""
    named = said.get("purpose")
    if named is None:
        return ""
    return named if isinstance(named, str) and named in PURPOSES else None


def _name(channel: str, purpose: str) -> str:
    return f"{channel}/{purpose}"


def binding(records: Records, day: int) -> dict[tuple[str, str], Said]:
    """What binds on a day, by channel and purpose."""
    found = newest_of(each.restrictions.said for each in records if each.restrictions is not None)
    kept = {}
    for name, said in sorted(found.items()):
        if said.binds and not 0 < said.until < day:
            channel, _, purpose = name.partition("/")
            kept[channel, purpose] = said
    return kept


def _none(records: Records) -> bool:
    if len(records) == 1:
        return records[0].restrictions is None
    return all([each.restrictions is None for each in records])


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if _none(records):
        return {}
    channels = {channel for channel, _ in binding(records, at.day)}
    return {f"restricted_{channel or 'all'}": True for channel in sorted(channels)}


def _suppresses(records: Records, at: Moment) -> Iterable[str]:
    """`restricted`, `restricted:call`, `restricted:call:marketing`, `restricted::marketing` (on every channel)."""
    if _none(records):
        return ()
    return [f"restricted:{channel}:{purpose}".rstrip(":") for channel, purpose in binding(records, at.day)]


def _due(records: Records, at: Moment) -> int | None:
    if _none(records):
        return None
    return min((said.until + 1 for said in binding(records, at.day).values() if said.until >= at.day), default=None)


def _shown(records: Records, at: Moment) -> list[dict[str, Any]] | None:
    return [
        {
            "channel": channel or None,
            "purpose": purpose or None,
            "reason": said.reason,
            "until": written(said.until),
            "set_at": from_ms(said.at_ms),
            "source": said.source,
        }
        for (channel, purpose), said in binding(records, at.day).items()
    ] or None


RESTRICTIONS = Chapter(
    "restrictions",
    reads=("restrictions",),
    keeps="restrictions",
    state=Restrictions,
    effects={"restriction.set": _set, "restriction.lifted": _lifted},
    fields=_fields,
    shown=_shown,
    suppresses=_suppresses,
    due=_due,
    reserved=lambda name: name.startswith("restricted_"),
)

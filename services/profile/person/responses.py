"""How often was a customer contacted, and how did they respond? Counts by channel, and the last of each."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from libs.common.events import CHANNELS_OF_CONTACT
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Effect, Occurrence

_KINDS: Final = (
    "message.accepted",
    "message.delivered",
    "message.opened",
    "message.clicked",
    "message.replied",
    "message.bounced",
    "offer.accepted",
    "offer.declined",
    "coupon.redeemed",
)
"""In the order in which they are kept; only ever added to."""

_CONTACT: Final = _KINDS.index("message.accepted")
_OPENED: Final = _KINDS.index("message.opened")
_CLICKED: Final = _KINDS.index("message.clicked")
_RESPONSES: Final = tuple(
    map(_KINDS.index, ("message.clicked", "message.replied", "offer.accepted", "offer.declined", "coupon.redeemed"))
)
"""What somebody does who has read a message: opening one is done by programs as well."""

_OTHER: Final = "other"
_NEVER: Final = [0] * len(_KINDS)


class Responses(Struct, array_like=True, gc=False):
    """Counts by channel, in the order of `_KINDS`, and the last instants (Unix milliseconds), 0 for none."""

    counts: dict[str, list[int]] = {}
    last_contact_ms: int = 0
    last_response_ms: int = 0


def _counting(kind: int) -> Effect:
    contacts, responds = kind == _CONTACT, kind in _RESPONSES

    def count(held: Responses, event: Occurrence, definitions: Definitions) -> bool:
        del definitions
        if event.traffic:
            return False
        counts = held.counts.setdefault(_channel(event), [])
        if len(counts) <= kind:
            counts += [0] * (kind + 1 - len(counts))
        counts[kind] += 1
        if contacts:
            held.last_contact_ms = max(held.last_contact_ms, event.at_ms)
        elif responds:
            held.last_response_ms = max(held.last_response_ms, event.at_ms)
        return True

    return count


def _channel(event: Occurrence) -> str:
    for named in (event.data.get("channel"), event.channel):
        if isinstance(named, str) and named in CHANNELS_OF_CONTACT:
            return named
    return _OTHER


def _all(records: Records) -> list[Responses]:
    return [each.responses for each in records if each.responses is not None]


def _counts(held: list[Responses]) -> dict[str, list[int]]:
    """By channel, all kinds."""
    if len(held) == 1:
        counts = held[0].counts
        return {channel: counts[channel] + _NEVER[len(counts[channel]) :] for channel in sorted(counts)}
    whole = {channel: [*_NEVER] for channel in sorted({name for each in held for name in each.counts})}
    for each in held:
        for channel, counted in each.counts.items():
            for kind, count in enumerate(counted):
                whole[channel][kind] += count
    return whole


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    if len(records) == 1 and records[0].responses is None:
        return {}
    held = _all(records)
    if not held:
        return {}
    contacts = opened = clicked = responses = 0
    by_channel: dict[str, int] = {}
    for channel, counts in _counts(held).items():
        contacts += counts[_CONTACT]
        opened += counts[_OPENED]
        clicked += counts[_CLICKED]
        responded = sum([counts[kind] for kind in _RESPONSES])
        responses += responded
        if counts[_CONTACT]:
            by_channel[f"contact_count_{channel}"] = counts[_CONTACT]
        if responded:
            by_channel[f"response_count_{channel}"] = responded
    totals = {"contact_count": contacts, "open_count": opened, "click_count": clicked, "response_count": responses}
    return {**totals, **by_channel, **_last(held)}


def _last(held: list[Responses]) -> dict[str, Any]:
    found = {
        "last_contact_at": max(each.last_contact_ms for each in held),
        "last_response_at": max(each.last_response_ms for each in held),
    }
    return {name: from_ms(last) for name, last in found.items() if last}


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    held = _all(records)
    by_channel = {
        channel: {name: count for name, count in zip(_KINDS, counts, strict=True) if count}
        for channel, counts in _counts(held).items()
    }
    return {"by_channel": by_channel, **(_last(held) if held else {})}


_FIELDS: Final = frozenset(
    ["open_count", "click_count", "last_contact_at", "last_response_at"]
    + [
        f"{what}_count{suffix}"
        for what in ("contact", "response")
        for suffix in ("", *(f"_{channel}" for channel in (*CHANNELS_OF_CONTACT, _OTHER)))
    ]
)

RESPONSES = Chapter(
    "responses",
    reads=("responses",),
    keeps="responses",
    state=Responses,
    effects={kind: _counting(at) for at, kind in enumerate(_KINDS)},
    fields=_fields,
    shown=_shown,
    reserved=_FIELDS.__contains__,
)

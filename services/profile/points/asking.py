"""What does an event ask of the ledger of points? Pure: an event in, an entry out, whatever the source sends."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from libs.common.clock import derived_id
from services.profile.person import Definitions, Occurrence
from services.profile.person.points import NEVER
from services.profile.person.points_terms import EarnRule
from services.profile.points.book import Entry
from services.profile.statements import money_of

TYPES: Final[Mapping[str, str]] = {
    "points.earned": "earn",
    "points.granted": "grant",
    "points.spent": "spend",
    "points.adjusted": "adjust",
    "points.reversed": "reverse",
    "points.settled": "settle",
}
"""What each type of event asks for."""

OUR_API: Final = "dangol/api/"
"""The beginning of the source of what came by our own API, which answers at once: nothing of that waits."""

POINTS_MAX: Final = 10**9
TEXT_LENGTH_MAX: Final = 200


def entry_id(source: str, event_id: str) -> str:
    """The id of the entry that an event makes, by the event's source and id."""
    return str(derived_id("points", source, event_id))


def entry_of(customer_id: str, event: Occurrence, definitions: Definitions, today: int) -> Entry | None:
    """The entry that an event asks for; None where it does not speak of points, nor earns any by a rule.

    Data that cannot be used gives an entry that is refused, so that it is found in the ledger.
    """
    kind = TYPES.get(event.type)
    if kind is None:
        return _by_rule(customer_id, event, definitions)
    if kind == "settle" and not event.source.startswith(OUR_API):
        return None
    data = event.data
    entry = _blank(customer_id, kind, event, definitions)
    entry.partner = _text(data, "partner")
    entry.business_unit = _text(data, "business_unit") or (f"partner:{entry.partner}" if entry.partner else "")
    entry.reference = _text(data, "order") or _text(data, "campaign")
    entry.reason = _text(data, "reason")
    if not event.source.startswith(OUR_API):
        entry.waits_until = today + definitions.points.retry_days
    _say_how_many(entry, data)
    if kind in ("reverse", "settle"):
        _say_which(entry, data, event.source)
    elif kind != "spend":
        entry.expires_day = _day(data.get("expires_on")) or _lifetime(entry.day, definitions.points.lifetime_days)
    return entry


def _blank(customer_id: str, kind: str, event: Occurrence, definitions: Definitions) -> Entry:
    name = entry_id(event.source, event.id)
    return Entry(
        name, customer_id, kind, 0, definitions.day_of(event.at_ms), event.at_ms, event.source[:TEXT_LENGTH_MAX]
    )


def _lifetime(day: int, lifetime_days: int) -> int:
    return min(NEVER, day + lifetime_days) if lifetime_days else NEVER


def _say_how_many(entry: Entry, data: Mapping[str, Any]) -> None:
    found = data.get("points")
    if found is None and entry.kind in ("reverse", "settle"):
        return
    points = _whole(found)
    if not points or abs(points) > POINTS_MAX or (points < 0 and entry.kind != "adjust"):
        entry.refuse("unusable points")
        return
    entry.points = points


def _say_which(entry: Entry, data: Mapping[str, Any], source: str) -> None:
    """An entry is named by its own id, or by the id (and the source, if it is another) of its event."""
    named, event_id = data.get("entry"), data.get("event")
    if isinstance(named, str):
        try:
            entry.reverses = str(uuid.UUID(named))
        except ValueError:
            entry.refuse("unusable entry")
    elif isinstance(event_id, str) and event_id:
        entry.reverses = entry_id(_text(data, "event_source") or source, event_id)
    else:
        entry.refuse("unusable entry")


def _whole(found: object) -> int:
    """A whole number, 0 where there is none."""
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return 0
    if isinstance(found, float):
        return int(found) if found.is_integer() else 0
    if isinstance(found, str):
        return int(found) if len(found) <= 12 and found.isascii() and found.removeprefix("-").isdigit() else 0
    return found


def _day(found: object) -> int:
    """The ordinal of a day such as 2026-12-31 or of an instant on it; 0 where there is none."""
    if not isinstance(found, str):
        return 0
    try:
        day = date.fromisoformat(found[:10])
    except ValueError:
        return 0
    # Whoever has to name an end where there is none names the last year there is.
    return day.toordinal() if day.year < date.max.year else NEVER


def _text(data: Mapping[str, Any], name: str) -> str:
    found = data.get(name)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return ""
    return str(found).strip()[:TEXT_LENGTH_MAX]


# --- earning by rule -------------------------------------------------------------------------------------------


def _by_rule(customer_id: str, event: Occurrence, definitions: Definitions) -> Entry | None:
    """What a purchase earns, or a refund takes back, by the first rule that fits."""
    if event.type not in ("purchase", "refund") or not definitions.points.earn or event.traffic:
        return None
    money = money_of(event.data)
    if money is None:
        return None
    rule = next((each for each in definitions.points.earn if _fits(each, event, money[0])), None)
    points = int(abs(money[1]) / rule.amount) * rule.points if rule is not None and rule.amount > 0 else 0
    if rule is None or not 0 < points <= POINTS_MAX:
        return None
    entry = _blank(customer_id, "earn" if event.type == "purchase" else "reverse", event, definitions)
    entry.points = points
    entry.business_unit = rule.business_unit
    entry.reference = _text(event.data, "order")
    entry.expires_day = _lifetime(entry.day, rule.lifetime_days or definitions.points.lifetime_days)
    return entry


def _fits(rule: EarnRule, event: Occurrence, currency: str) -> bool:
    return (
        rule.currency == currency
        and (not rule.branches or event.branch in rule.branches)
        and (not rule.channels or event.channel in rule.channels)
        and (not rule.sources or any(event.source.startswith(each) for each in rule.sources))
    )

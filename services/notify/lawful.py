"""Is it lawful at this hour, and are the consents young enough? What a request for contact says of the law. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from libs.common.consents import EVERY_PURPOSE
from libs.common.events import Conditions, Consent, LawfulHours
from libs.common.local_hours import DAYS_AHEAD, has_run_out, next_open, zone_of


def consent_that_lapsed(conditions: Conditions, consents: Mapping[str, Consent], now: datetime) -> str:
    """The first consent by name that is missing or too old to count; empty when all do."""
    for key, months in sorted(conditions.consent_months.items()):
        if not _counts(key, months, consents, conditions.consent_zones, now):
            return key
    return ""


def lawful_from(conditions: Conditions, consents: Mapping[str, Consent], now: datetime) -> datetime | None:
    """`now` when it is lawful, else the first instant at which all hours are open; None when none is in sight."""
    binding = [each for each in conditions.lawful if not _is_lifted(each, consents, now)]
    end, at = now + timedelta(days=DAYS_AHEAD), now
    while at <= end:
        before = at
        for each in binding:
            zones = _zones(each.zones)
            opens = next_open(at, zones, each.weekdays, each.dates) if zones and len(each.weekdays) == 7 else None
            if opens is None:
                return None
            at = opens
        if at == before:
            return at
    return None


def _is_lifted(hours: LawfulHours, consents: Mapping[str, Consent], now: datetime) -> bool:
    return bool(hours.unless) and _counts(hours.unless, hours.unless_months, consents, hours.zones, now)


def _counts(key: str, months: int, consents: Mapping[str, Consent], zones: Sequence[str], now: datetime) -> bool:
    """A purpose counts beside its channel's marketing alone, and while nothing newer overrules all purposes."""
    said = consents.get(key)
    if said is None or not said.granted:
        return False
    channel, _, purpose = key.partition(":")
    if purpose:
        marketing, every = consents.get(channel), consents.get(f"{channel}:{EVERY_PURPOSE}")
        if marketing is None or not marketing.granted or (every is not None and every.at >= said.at):
            return False
    known = _zones(zones)
    # Where nobody can tell which day it is there, an age cannot be told either.
    return not months or (bool(known) and not has_run_out(said.at, months, now, known, said.renewed_at))


def _zones(names: Sequence[str]) -> list[ZoneInfo]:
    """None at all where one of them is not known here."""
    found = [zone_of(name) for name in names]
    return [zone for zone in found if zone is not None] if all(found) else []

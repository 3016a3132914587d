"""Is this message to this person lawful now, when will it be, and which rows say so? Deny wins. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.consents import EVERY_PURPOSE
from libs.common.events import Consent, LawfulHours
from libs.common.local_hours import DAYS_AHEAD, has_run_out, is_open, next_open, zone_of
from services.campaign.law.holidays import holidays_between
from services.campaign.law.places import Places
from services.campaign.law.rows import MARKETING_SCOPE, ConsentNeeded, Row, Table

LAWFUL, LATER, FORBIDDEN = "lawful", "later", "forbidden"


class Asked(Struct, frozen=True):
    """A message as the law looks at it; `consents` are the newest statements by key, such as sms and sms:night."""

    class_: str
    channel: str
    places: Places
    consents: Mapping[str, Consent]
    at: datetime


class Ruling(Struct, frozen=True):
    """`rows` bind the message, `by` are those of them that stand against it now; `until` is when none does any more.

    `until` is set with the verdict later; a later consent or contact may still change it.
    """

    verdict: str
    rows: Sequence[str] = ()
    by: Sequence[str] = ()
    detail: str = ""
    until: datetime | None = None


def judge(table: Table, asked: Asked) -> Ruling:
    rows = table.rows_for(asked.class_, asked.channel, asked.places)
    ids = [row.id for row in rows]
    against = {row.id: reason for row in rows if (reason := _objection(row, asked))}
    if against:
        return Ruling(FORBIDDEN, ids, list(against), "; ".join(dict.fromkeys(against.values())))
    hours = [(row.id, row.hours, row) for row in rows if row.hours is not None and not _is_lifted(row, asked)]
    zones = _zones(asked.places)
    if hours and not zones:
        return Ruling(FORBIDDEN, ids, [id for id, _, _ in hours], "no clock is known to tell the time by")
    closed = [id for id, each, row in hours if not is_open(asked.at, zones, each.week, _dates(row, asked))]
    if not closed:
        return Ruling(LAWFUL, ids)
    until = _first_open(asked, [row for _, _, row in hours], zones)
    if until is None:
        return Ruling(FORBIDDEN, ids, closed, f"there is no lawful hour within {DAYS_AHEAD} days")
    return Ruling(LATER, ids, closed, "outside the lawful hours there", until)


def counts(needed: ConsentNeeded, asked: Asked) -> bool:
    """Is the consent there, granted, overruled by nothing newer, and young enough in every place where they may be?"""
    said = asked.consents.get(needed.key(asked.channel))
    if said is None or not said.granted:
        return False
    if needed.scope != MARKETING_SCOPE:
        marketing = asked.consents.get(asked.channel)
        every = asked.consents.get(f"{asked.channel}:{EVERY_PURPOSE}")
        if marketing is None or not marketing.granted or (every is not None and every.at >= said.at):
            return False
    months, zones = needed.months_max, _zones(asked.places)
    return not months or not has_run_out(said.at, months, asked.at, zones, said.renewed_at)


def hours_to_hold(table: Table, asked: Asked, until: datetime) -> list[LawfulHours]:
    """The hours that bind, for whoever looks at them again up to `until`, also those that a consent lifts now."""
    names = [zone.key for zone in _zones(asked.places)]
    found = []
    for row in table.rows_for(asked.class_, asked.channel, asked.places):
        if row.hours is not None:
            unless = row.hours.unless
            found.append(
                LawfulHours(
                    names,
                    [list(spans) for spans in row.hours.week],
                    {day: list(spans) for day, spans in _dates(row, asked, until).items()},
                    "" if unless is None else unless.key(asked.channel),
                    0 if unless is None else unless.months_max,
                )
            )
    return found


def consents_to_hold(table: Table, asked: Asked) -> dict[str, int]:
    """By consent that is needed, after how many months it does not count any more; 0 for never."""
    found: dict[str, int] = {}
    for row in table.rows_for(asked.class_, asked.channel, asked.places):
        if row.consent is not None:
            key, months = row.consent.key(asked.channel), row.consent.months_max
            found[key] = min(filter(None, (found.get(key), months)), default=0)
    return found


def _objection(row: Row, asked: Asked) -> str:
    """Why no hour would make it lawful; empty where nothing of the kind is said."""
    if row.forbidden:
        return "it is forbidden there"
    if row.consent is None or counts(row.consent, asked):
        return ""
    key = row.consent.key(asked.channel)
    said = asked.consents.get(key)
    return f"no consent {key}" if said is None or not said.granted else f"the consent {key} does not count any more"


def _is_lifted(row: Row, asked: Asked) -> bool:
    return row.hours is not None and row.hours.unless is not None and counts(row.hours.unless, asked)


def _first_open(asked: Asked, rows: Sequence[Row], zones: Sequence[ZoneInfo]) -> datetime | None:
    """When all are open at once: each says that it is not before, until none moves any more."""
    at: datetime | None = asked.at
    end = asked.at + timedelta(days=DAYS_AHEAD)
    while at is not None and at <= end:
        before = at
        for row in rows:
            if row.hours is None or at is None:
                break
            at = next_open(at, zones, row.hours.week, _dates(row, asked))
        if at == before:
            return at
    return None


def _dates(row: Row, asked: Asked, until: datetime | None = None) -> dict[str, Sequence[int]]:
    """The public holidays in sight that have hours of their own."""
    if row.hours is None or row.hours.holidays is None:
        return {}
    first = asked.at.date() - timedelta(days=1)
    last = (until or asked.at).date() + timedelta(days=DAYS_AHEAD + 2)
    spans, places = row.hours.holidays, asked.places
    countries = {place.partition("-")[0] for place in row.places if places.has(place)}
    found: dict[str, Sequence[int]] = {}
    for country in sorted(countries):
        known, _, region = places.region.partition("-")
        for day in holidays_between(first, last, country, region if known == country else ""):
            found[day.isoformat()] = spans
    return found


def _zones(places: Places) -> list[ZoneInfo]:
    return [zone for name in places.zones if (zone := zone_of(name)) is not None]

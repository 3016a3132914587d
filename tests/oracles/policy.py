"""What does the law say, written apart from the product? A table of words, read anew for every question.

It shares no shape and no function with the product: places are told by prefixes, times by counting on the local clock,
the next lawful instant by walking there. Slow, plain, and in the order in which the law is written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

EU = "AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO"
# id | where | by | what
SHIPPED = """
kr.ad.consent  | KR    | email sms push webhook call | agreed, not two years ago
kr.ad.night    | KR    | sms push webhook call       | daily 8-21 or agreed to nights, not two years ago
eu.ad.consent  | EU    | email sms push webhook call | agreed
us.ad.consent  | US    | sms call                    | agreed
us.ad.hours    | US    | sms call                    | daily 8-21
us-tx.ad.hours | US/TX | sms call                    | Mon 9-21 Tue 9-21 Wed 9-21 Thu 9-21 Fri 9-21 Sat 9-21 Sun 12-21
us-fl.ad.hours | US/FL | sms call                    | daily 8-20
us-fl.ad.cap   | US/FL | sms call                    | at most so many
"""
COMPANY = """
in.call  | IN | call  | Mon 9-21 Tue 9-21 Wed 9-21 Thu 9-21 Fri 9-21 Sat 9-13 Sat 14-18 holidays 10-12
au.sms   | AU | sms   | Mon 9-20 Tue 9-20 Wed 9-20 Thu 9-20 Fri 9-20 Sat 9-17 holidays never
jp.push  | JP | push  | never
"""
COMPANY_DOCUMENT = {
    "id": "company",
    "rows": [
        {
            "id": "in.call",
            "source": "a rule of the house",
            "where": ["IN"],
            "channels": ["call"],
            "hours": {
                "open": {
                    "mon-fri": ["09:00-21:00"],
                    "sat": ["09:00-13:00", "14:00-18:00"],
                    "holidays": ["10:00-12:00"],
                }
            },
        },
        {
            "id": "au.sms",
            "source": "a rule of the house",
            "where": ["AU"],
            "channels": ["sms"],
            "hours": {"open": {"mon-fri": ["09:00-20:00"], "sat": ["09:00-17:00"], "holidays": []}},
        },
        {
            "id": "jp.push",
            "source": "a rule of the house",
            "where": ["JP"],
            "channels": ["push"],
            "forbidden": True,
        },
    ],
}
CLOCKS = {
    "KR": "Asia/Seoul",
    "JP": "Asia/Tokyo",
    "IN": "Asia/Kolkata",
    "DE": "Europe/Berlin",
    "FR": "Europe/Paris",
    "ES": "Europe/Madrid Atlantic/Canary",
    "US": "America/New_York America/Chicago America/Denver America/Phoenix America/Los_Angeles America/Anchorage"
    " America/Adak Pacific/Honolulu",
    "AU": "Australia/Lord_Howe Australia/Hobart Australia/Sydney Australia/Broken_Hill Australia/Brisbane"
    " Australia/Adelaide Australia/Darwin Australia/Perth Australia/Eucla Antarctica/Macquarie",
}
NUMBERS = {"+821012345678": "KR", "+15125550123": "US", "+493012345678": "DE", "+919812345678": "IN", "": ""}
WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun".split()


@dataclass
class Case:
    """`said` by key: whether yes, and when; `renewed` by key: when that was confirmed anew."""

    channel: str
    class_: str
    at: datetime
    country: str = ""
    region: str = ""
    phone: str = ""
    zone: str = ""
    said: dict[str, tuple[bool, datetime]] = field(default_factory=dict)
    renewed: dict[str, datetime] = field(default_factory=dict)


@dataclass
class Told:
    verdict: str
    rows: set[str]
    by: set[str]


class Oracle:
    def __init__(self, *tables: str) -> None:
        lines = [line for table in tables for line in table.strip().splitlines()]
        self._rows = [[part.strip() for part in line.split("|")] for line in lines]

    def told(self, case: Case) -> Told:
        bound = [row for row in self._rows if self._concerns(row, case)]
        against = {id for id, _, _, what in bound if _never(what, case)}
        if not against:
            closed = {id for id, where, _, what in bound if not _clock_allows(where, what, case, case.at)}
            return Told("later" if closed else "lawful", {row[0] for row in bound}, closed)
        return Told("forbidden", {row[0] for row in bound}, against)

    def opens(self, case: Case, at: datetime) -> bool:
        """Whether the clocks allow it at an instant, with what was agreed to as of the question."""
        return all(
            _clock_allows(where, what, case, at)
            for _, where, by, what in self._rows
            if self._concerns(["", where, by, what], case)
        )

    @staticmethod
    def _concerns(row: list[str], case: Case) -> bool:
        _, where, by, _ = row
        if case.class_ != "marketing" or case.channel not in by.split():
            return False
        country, _, region = where.partition("/")
        wanted = EU.split() if country == "EU" else [country]
        if not set(wanted) & set(countries(case)):
            return False
        return not region or case.region in ("", region) or len(set(countries(case))) != 1


def countries(case: Case) -> list[str]:
    if case.country:
        return [case.country]
    of_zone = [code for code, zones in CLOCKS.items() if case.zone in zones.split()]
    found = [each for each in (NUMBERS[case.phone], *of_zone) if each]
    return found or ["KR"]


def clocks(case: Case) -> list[ZoneInfo]:
    if case.zone:
        return [ZoneInfo(case.zone)]
    return [ZoneInfo(name) for code in countries(case) for name in CLOCKS[code].split()]


def _never(what: str, case: Case) -> bool:
    if what == "never":
        return True
    return what.startswith("agreed") and not _agreed(case, case.channel, "two years" in what)


def _agreed(case: Case, key: str, lapses: bool) -> bool:
    yes, since = case.said.get(key, (False, case.at))
    if not yes:
        return False
    again = max((case.renewed[each] for each in (key, f"{case.channel}:*") if each in case.renewed), default=None)
    return not lapses or all(_is_kept_young(since, again, case.at, clock) for clock in clocks(case))


def _is_kept_young(since: datetime, again: datetime | None, at: datetime, clock: ZoneInfo) -> bool:
    """Of every second birthday that has come, was it confirmed less than a year and a day before, or later?"""
    born, today = since.astimezone(clock).date(), at.astimezone(clock).date()
    for year in range(born.year + 2, today.year + 1, 2):
        leaps = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        birthday = date(year, born.month, 28 if (born.month, born.day) == (2, 29) and not leaps else born.day)
        if birthday <= today and (again is None or again.astimezone(clock).date() < birthday - timedelta(days=365)):
            return False
    return True


def _agreed_to_nights(case: Case) -> bool:
    night, every = f"{case.channel}:night", f"{case.channel}:*"
    if not case.said.get(case.channel, (False, case.at))[0]:
        return False
    if every in case.said and night in case.said and case.said[every][1] >= case.said[night][1]:
        return False
    return _agreed(case, night, lapses=True)


def _clock_allows(where: str, what: str, case: Case, at: datetime) -> bool:
    if "-" not in what or ("nights" in what and _agreed_to_nights(case)):
        return True
    return all(_shows_open(where, what, at.astimezone(clock)) for clock in clocks(case))


def _shows_open(where: str, what: str, local: datetime) -> bool:
    words = what.replace(" or agreed to nights, not two years ago", "").split()
    day = WEEKDAYS[local.weekday()]
    if "holidays" in words and local.date() in _feasts(where, local.year):
        day = "holidays"
    spans = [span for named, span in zip(words[::2], words[1::2], strict=True) if named in (day, "daily")]
    hour = local.hour + local.minute / 60
    return any(float(first) <= hour < float(last) for first, _, last in (span.partition("-") for span in spans) if last)


@cache
def _feasts(where: str, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(where, years=year))


def cases(seed: int, count: int) -> Iterator[Case]:
    """Of all kinds, with a liking for edges: changes of the clock, ends of spans, birthdays of consents."""
    draw = random.Random(seed)
    for _ in range(count):
        case = Case(
            draw.choice(["email", "sms", "sms", "sms", "push", "webhook", "call", "call"]),
            draw.choice(["marketing"] * 8 + ["service", "transactional"]),
            datetime(2026, 1, 1, tzinfo=UTC),
            draw.choice(["", "KR", "KR", "US", "US", *CLOCKS]),
            draw.choice(["", "", "TX", "FL", "CA"]),
            draw.choice(list(NUMBERS)),
            draw.choice(["", "", *(zone for zones in CLOCKS.values() for zone in zones.split())]),
        )
        case.at = _instant(draw, case)
        for key in (case.channel, f"{case.channel}:night", f"{case.channel}:*", "sms"):
            if draw.random() < (0.2 if "*" in key else 0.8):
                case.said[key] = ("*" not in key and draw.random() < 0.85, _when_said(draw, case))
                if draw.random() < 0.4:
                    case.renewed[key] = _when_confirmed(draw, case, case.said[key][1])
        yield case


def _instant(draw: random.Random, case: Case) -> datetime:
    clock = draw.choice(clocks(case))
    day = date(2025, 12, 25) + timedelta(days=draw.randrange(1200))
    if draw.random() < 0.35:
        day = draw.choice(_days_of_change(clock.key))
    if draw.random() < 0.1:
        day = draw.choice([date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1), date(2026, 2, 28)])
    minute = draw.choice(
        [draw.randrange(1440), 60 * draw.choice([0, 1, 2, 3, 8, 9, 10, 12, 13, 14, 17, 18, 20, 21, 23])]
    )
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=clock, fold=draw.randrange(2))
    return wall.astimezone(UTC) + timedelta(seconds=draw.choice([0, 0, -1, 1, 30]))


@cache
def _days_of_change(zone: str) -> list[date]:
    clock, found = ZoneInfo(zone), [date(2026, 3, 8)]
    for number in range(1100):
        noon = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=number)
        if noon.astimezone(clock).utcoffset() != (noon + timedelta(days=1)).astimezone(clock).utcoffset():
            found += [noon.date(), noon.date() + timedelta(days=1)]
    return found


def _when_said(draw: random.Random, case: Case) -> datetime:
    if draw.random() < 0.5:
        return case.at - timedelta(days=draw.choice([1000, 3000]) * draw.random(), seconds=draw.randrange(86_400))
    local = case.at.astimezone(draw.choice(clocks(case)))
    day = 28 if (local.month, local.day) == (2, 29) else local.day
    years = draw.choice([2, 2, 2, 4, 6])
    edge = local.replace(year=local.year - years, day=day, hour=0, minute=0, second=0) + timedelta(
        days=draw.randrange(2)
    )
    if draw.random() < 0.1:
        edge = edge.replace(year=2024, month=2, day=29)
    return edge.astimezone(UTC) + timedelta(seconds=draw.choice([0, -1, 1, 3600]))


def _when_confirmed(draw: random.Random, case: Case, said: datetime) -> datetime:
    """At any time since, about a year before a birthday, or about a birthday."""
    if draw.random() < 0.4:
        return said + (case.at - said) * draw.random()
    days = 365 * draw.randrange(1, 5) + draw.choice([-2, -1, 0, 1, 2])
    return said + timedelta(days=days, seconds=draw.choice([0, -1, 1, 3600, 40_000]))

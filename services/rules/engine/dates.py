"""When does a date in a profile come due, this year and every year? By the calendar of a zone. Pure."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from libs.common import clock
from services.rules.document.language import DateWhen
from services.rules.engine import spans

_SHIFT = re.compile(r"^([+-])([1-9][0-9]{0,4})(d|w|mo)$")
_FEBRUARY_29 = (2, 29)
_YEARS = range(1_800, 2_400)
SHIFT_DAYS_MAX = 800


def day_of(text: object, zone: ZoneInfo) -> date | None:
    """The day that a profile field names: a date, or an instant, of which the zone's day counts; None for neither."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    if instant.year not in _YEARS:
        return None
    return instant.astimezone(zone).date() if instant.tzinfo is not None else instant.date()


def next_due(when: DateWhen, day: date, zone: ZoneInfo, after_ms: int, after_day: int = 0) -> tuple[int, int]:
    """The first day (ordinal) after `after_day` on which the day, shifted, comes due after `after_ms`, and its instant.

    Zeros for none. Instants are in milliseconds.
    """
    start = clock.from_ms(max(after_ms, 0)).astimezone(zone).date()
    at = time.fromisoformat(when.at or "00:00")
    for occurrence in _occurrences(when, day, start):
        due_day = shifted(occurrence, when.shift)
        due_ms = clock.to_ms(first_instant(due_day, at, zone))
        if due_ms > after_ms and due_day.toordinal() > after_day:
            return due_day.toordinal(), due_ms
    return 0, 0


def _occurrences(when: DateWhen, day: date, start: date) -> Iterator[date]:
    """Days in their order, from one so early that no shift brings the next due instant before it."""
    if when.every == "never":
        yield day
        return
    reach = timedelta(days=SHIFT_DAYS_MAX + 1)
    first, last = max(day, start - reach), max(day, start + reach) + timedelta(days=367)
    if when.every == "year":
        for year in range(first.year, last.year + 1):
            yield _in_year(day, year, when.feb29)
        return
    for number in range(_months(day, first), _months(day, last)):
        yield spans.shifted(day, number)


def _months(since: date, until: date) -> int:
    return (until.year - since.year) * 12 + until.month - since.month


def _in_year(day: date, year: int, feb29: str) -> date:
    if (day.month, day.day) == _FEBRUARY_29 and not calendar.isleap(year):
        return date(year, 2, 28) if feb29 == "feb28" else date(year, 3, 1)
    return date(year, day.month, day.day)


def shifted(day: date, shift: str | None) -> date:
    """ "-7d" is a week earlier; months keep the day of the month, or end on the last that the month has."""
    found = _SHIFT.match(shift or "")
    if found is None:
        return day
    sign, number, unit = found[1], int(found[2]), found[3]
    signed = -number if sign == "-" else number
    if unit == "mo":
        return spans.shifted(day, signed)
    return day + timedelta(days=signed * (7 if unit == "w" else 1))


def shift_days_max(shift: str | None) -> int:
    """The most days by which it can move a date, either way."""
    found = _SHIFT.match(shift or "")
    return 0 if found is None else int(found[2]) * {"d": 1, "w": 7, "mo": 31}[found[3]]


@lru_cache(maxsize=4_096)
def first_instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The instant of a local time; of two the first, and where clocks skip it, the first one after the gap."""
    local = datetime.combine(day, at, zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # In a gap fold says by which side's offset an instant is reckoned; the clocks were put forward in between.
    low, high = local.replace(fold=1).astimezone(UTC), instant
    offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, high)
    return high

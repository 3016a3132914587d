"""When do the clocks of some places show hours that are open, and when does a stretch of months end there? Pure.

A minute is open by what the local clock shows, through all changes of the clock: an hour that occurs twice is open
twice, one that is skipped never. Where there are several zones, their clocks have to agree.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MINUTES_OF_DAY = 24 * 60
DAYS_AHEAD = 15
"""How far is looked for an hour that is open; no run of holidays is longer."""

Spans = Sequence[int]
"""Minutes since midnight in pairs, from the first up to but not including the second, in order."""

Week = Sequence[Spans]
"""The spans of seven days, Monday first."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """None for a name that no place on earth goes by."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def is_open(now: datetime, zones: Sequence[ZoneInfo], week: Week, dates: Mapping[str, Spans]) -> bool:
    """`dates` are days (ISO 8601) that have spans of their own."""
    return all(_is_open(now.astimezone(zone), week, dates) for zone in zones)


def next_open(now: datetime, zones: Sequence[ZoneInfo], week: Week, dates: Mapping[str, Spans]) -> datetime | None:
    """The first instant from `now` on at which it is open in all the zones, in UTC; None within `DAYS_AHEAD` days."""
    end, at = now.astimezone(UTC) + timedelta(days=DAYS_AHEAD), now.astimezone(UTC)
    while at < end:
        before = at
        for zone in zones:
            opens = _next_open(at, zone, week, dates)
            if opens is None:
                return None
            at = opens
        # No zone has an open instant before the last of their first ones: what does not move any more is the answer.
        if at == before:
            return at
    return None


def has_run_out(
    since: datetime, months: int, now: datetime, zones: Sequence[ZoneInfo], renewed_at: datetime | None = None
) -> bool:
    """Has the same day of the calendar come, so many months later, in any of the zones?

    The day recurs every so many months. What was renewed has not run out on the recurring day that this is nearest to,
    nor on those before it.
    """
    return any(_has_run_out(since, months, now, zone, renewed_at) for zone in zones)


def _has_run_out(since: datetime, months: int, now: datetime, zone: ZoneInfo, renewed_at: datetime | None) -> bool:
    first, today = since.astimezone(zone).date(), now.astimezone(zone).date()
    if today < months_later(first, months):
        return False
    if renewed_at is None:
        return True
    rounds = ((today.year - first.year) * 12 + today.month - first.month) // months
    last = months_later(first, rounds * months)
    if last > today:
        last = months_later(first, (rounds - 1) * months)
    return (last - renewed_at.astimezone(zone).date()).days > months * 365 // 24


def months_later(day: date, months: int) -> date:
    """The same day of a later month; the last of that month where it has no such day, and of all time beyond it."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if years > date.max.year:
        return date.max
    return date(years, month + 1, min(day.day, monthrange(years, month + 1)[1]))


def _is_open(local: datetime, week: Week, dates: Mapping[str, Spans]) -> bool:
    minute = local.hour * 60 + local.minute
    spans = _spans_of(local.date(), week, dates)
    return any(spans[each] <= minute < spans[each + 1] for each in range(0, len(spans), 2))


def _spans_of(day: date, week: Week, dates: Mapping[str, Spans]) -> Spans:
    found = dates.get(day.isoformat()) if dates else None
    return week[day.weekday()] if found is None else found


def _next_open(now: datetime, zone: ZoneInfo, week: Week, dates: Mapping[str, Spans]) -> datetime | None:
    if _is_open(now.astimezone(zone), week, dates):
        return now
    today = now.astimezone(zone).date()
    for days in range(DAYS_AHEAD + 1):
        day = today + timedelta(days=days)
        later = [
            each
            for each in _turns(day, zone, _spans_of(day, week, dates))
            if each > now and _is_open(each.astimezone(zone), week, dates)
        ]
        if later:
            return min(later)
    return None


def _turns(day: date, zone: ZoneInfo, spans: Spans) -> Iterator[datetime]:
    """Where it can open on a local day: when the clock shows a beginning, twice if it does so twice; when it jumps."""
    for each in range(0, len(spans), 2):
        wall = datetime.combine(day, time(*divmod(spans[each], 60)), zone)
        yield from (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    jump = jump_on(day, zone)
    if jump is not None:
        yield jump


@lru_cache(maxsize=16_384)
def jump_on(day: date, zone: ZoneInfo) -> datetime | None:
    """The second at which the zone's offset changes on a local day, in UTC; there is one at most."""
    low, high = (datetime.combine(day + timedelta(days=each), time(), zone).astimezone(UTC) for each in (0, 1))
    # A midnight that does not exist, or exists twice, is itself where the clock jumps.
    low, high = low - timedelta(hours=2), high + timedelta(hours=2)
    before = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == before:
        return None
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high

"""How long is a span, which pane does an instant fall into, and which panes does a window hold? Pure.

s, min, h, d and w are exact (a day is 24 hours); mo and y follow the calendar of a zone, and a day that the
target month does not have becomes its last. Panes are whole seconds, minutes, hours (UTC) or days (of a
zone).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from libs.common import clock

PaneSize = Literal["s", "min", "h", "d"]
_MS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DAYS_MAX = {"d": 1, "w": 7, "mo": 31, "y": 366}
_MONTHS = {"mo": 1, "y": 12}
_FORM = re.compile(r"^([1-9][0-9]{0,4})(s|min|h|d|w|mo|y)$")
_LAST_YEAR = 9990


class Span(NamedTuple):
    number: int
    unit: str

    @property
    def calendar(self) -> bool:
        return self.unit in _MONTHS

    @property
    def ms_max(self) -> int:
        """Its length, or the most that it can be where the calendar decides."""
        if self.calendar:
            return self.number * _DAYS_MAX[self.unit] * _MS["d"]
        return self.number * _MS[self.unit]


def parse(text: str) -> Span:
    """ValueError when it is no span."""
    found = _FORM.match(text)
    if found is None:
        raise ValueError(f"{text!r} is not a span; e.g. 14d")
    return Span(int(found[1]), found[2])


def after(instant_ms: int, span: Span, zone: ZoneInfo) -> int:
    """The instant one span later, in milliseconds."""
    if not span.calendar:
        return instant_ms + span.number * _MS[span.unit]
    local = clock.from_ms(instant_ms).astimezone(zone)
    moved = shifted(local.date(), span.number * _MONTHS[span.unit])
    return clock.to_ms(local.replace(year=moved.year, month=moved.month, day=moved.day).astimezone(UTC))


def apart(one_ms: int, other_ms: int, span: Span, zone: ZoneInfo) -> bool:
    """Whether two instants, in either order, lie at least a span apart."""
    first, second = min(one_ms, other_ms), max(one_ms, other_ms)
    return second >= after(first, span, zone)


def shifted(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    year = min(max(year, 1), _LAST_YEAR)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def pane_size(unit: str) -> PaneSize:
    """The panes that a window written in `unit` is made of."""
    return "s" if unit == "s" else "min" if unit == "min" else "h" if unit == "h" else "d"


def pane_of(instant: datetime, size: PaneSize, zone: ZoneInfo) -> int:
    if size == "d":
        return instant.astimezone(zone).toordinal()
    return clock.to_ms(instant) // _MS[size]


def pane_end_ms(pane: int, size: PaneSize) -> int:
    """No zone's pane ends later than this."""
    if size == "d":
        return clock.to_ms(datetime.combine(date.fromordinal(pane), datetime.min.time(), UTC)) + 2 * _MS["d"]
    return (pane + 1) * _MS[size]


Bounds = Callable[[int], tuple[int, int]]
"""From the pane in which one looks to the first and the last pane of the window."""


def window_of_last(last: Span, skip: Span | None) -> Bounds:
    """The last n panes, today's among them; `skip` leaves out as many of the newest."""
    left_out = 0 if skip is None else _panes(skip)
    if last.calendar:
        months = last.number * _MONTHS[last.unit]

        def by_month(pane: int) -> tuple[int, int]:
            newest = pane - left_out
            return shifted(date.fromordinal(newest), -months).toordinal() + 1, newest

        return lru_cache(maxsize=64)(by_month)
    count = _panes(last)

    def by_count(pane: int) -> tuple[int, int]:
        return pane - left_out - count + 1, pane - left_out

    return by_count


def window_of_calendar(period: str) -> Bounds:
    """From the first day of the running day, week (Monday), month, quarter or year until the day itself."""

    def bounds(pane: int) -> tuple[int, int]:
        return _first_day(date.fromordinal(pane), period).toordinal(), pane

    return lru_cache(maxsize=64)(bounds)


def panes_max(last: Span | None, skip: Span | None) -> int:
    """How many panes back a window can reach; a calendar period (no `last`) reaches back a year at most."""
    if last is None:
        return 366
    return _panes(last) + (0 if skip is None else _panes(skip))


def _panes(span: Span) -> int:
    return span.number * _DAYS_MAX.get(span.unit, 1)


def _first_day(day: date, period: str) -> date:
    if period == "day":
        return day
    if period == "week":
        return day - timedelta(days=day.weekday())
    month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[period]
    return date(day.year, month, 1)

"""Which branches owe a sheet? Pure: what is expected, what has come, and the moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

LOOKED_BACK_DAYS: Final = 7


class Expected(Struct, frozen=True, kw_only=True):
    """A branch sends a sheet of each of these weekdays (1 is Monday) until `due`, by its own clock."""

    branch: str
    source: str = ""
    due: time
    zone: str
    weekdays: tuple[int, ...]
    grace_minutes: int


class Owed(Struct, frozen=True):
    branch: str
    source: str
    sheet_date: date
    due_at: datetime


Come = tuple[str, date, str]
"""Branch, day and source of a sheet that was imported."""


def due_at(expected: Expected, day: date) -> datetime:
    return datetime.combine(day, expected.due, ZoneInfo(expected.zone)) + timedelta(minutes=expected.grace_minutes)


def day_due(expected: Expected, now: datetime) -> date | None:
    """The latest day whose sheet should be here by now."""
    today = now.astimezone(ZoneInfo(expected.zone)).date()
    for back in range(LOOKED_BACK_DAYS + 1):
        day = today - timedelta(days=back)
        if day.isoweekday() in expected.weekdays and due_at(expected, day) < now:
            return day
    return None


def owed(expected: Iterable[Expected], come: Collection[Come], now: datetime, day: date | None) -> Iterator[Owed]:
    """Sheets of `day` that are overdue; without a day, the latest one that each branch should have sent."""
    for each in expected:
        wanted = day if day is not None else day_due(each, now)
        if wanted is None or wanted.isoweekday() not in each.weekdays or due_at(each, wanted) >= now:
            continue
        if not any(
            (each.branch, wanted) == (branch, of) and each.source in ("", source) for branch, of, source in come
        ):
            yield Owed(each.branch, each.source, wanted, due_at(each, wanted))

"""Do quiet hours end at the right instant, whatever the clocks do? A second implementation counts minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.campaign.hours import QuietHours, is_quiet, next_allowed, zone_of

ZONES = (
    "Asia/Seoul",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/New_York",
    "America/St_Johns",
    "Europe/Berlin",
    "Europe/London",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "UTC",
)
MINUTE = timedelta(minutes=1)
minutes = st.integers(0, 24 * 60 - 1)
instants = st.integers(1_104_537_600, 2_082_758_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
"""From 2005 to 2035, to the second."""


def _quiet_table(from_minute: int, to_minute: int) -> list[bool]:
    """The whole day written out, minute by minute, beginning where quiet begins and going round."""
    table, minute = [False] * 1440, from_minute
    while minute != to_minute:
        table[minute] = True
        minute = (minute + 1) % 1440
    return table


def _counted(now: datetime, table: list[bool], zone: ZoneInfo) -> datetime:
    at = now
    for _ in range(4 * 1440):
        local = at.astimezone(zone)
        if not table[local.hour * 60 + local.minute]:
            return at
        at = at.replace(second=0, microsecond=0) + MINUTE
    raise AssertionError("no allowed minute within four days")


def _around_changes(zone: ZoneInfo, year: int) -> list[datetime]:
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(366 * 24)]
    changes = [b for a, b in zip(hours, hours[1:], strict=False) if _offset(a, zone) != _offset(b, zone)]
    return [change + timedelta(minutes=shift) for change in changes for shift in range(-1560, 181, 37)]


def _offset(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


@settings(max_examples=1500, deadline=None)
@given(now=instants, from_minute=minutes, to_minute=minutes, name=st.sampled_from(ZONES))
@example(datetime(2011, 12, 30, 9, 30, tzinfo=UTC), 20 * 60, 9 * 60, "Pacific/Apia")
def test_the_next_allowed_instant_is_the_first_minute_that_the_table_allows(
    now: datetime, from_minute: int, to_minute: int, name: str
) -> None:
    if from_minute == to_minute:
        return
    quiet, zone = QuietHours(from_minute, to_minute), ZoneInfo(name)
    assert next_allowed(now, quiet, zone) == _counted(now, _quiet_table(from_minute, to_minute), zone)


@pytest.mark.parametrize("name", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize("span", [(1200, 540), (60, 150), (90, 105), (0, 61), (125, 119), (1380, 120)])
def test_both_implementations_agree_around_every_change_of_the_clock(name: str, span: tuple[int, int]) -> None:
    zone, quiet, table = ZoneInfo(name), QuietHours(*span), _quiet_table(*span)
    around = _around_changes(zone, 2026)
    assert around
    for now in around:
        assert next_allowed(now, quiet, zone) == _counted(now, table, zone), now


@settings(max_examples=500, deadline=None)
@given(now=instants, from_minute=minutes, to_minute=minutes, name=st.sampled_from(ZONES))
def test_the_next_allowed_instant_exists_is_not_past_and_is_allowed(
    now: datetime, from_minute: int, to_minute: int, name: str
) -> None:
    if from_minute == to_minute:
        return
    quiet, zone = QuietHours(from_minute, to_minute), ZoneInfo(name)
    found = next_allowed(now, quiet, zone)
    assert now <= found <= now + timedelta(hours=49)
    assert not is_quiet(found, quiet, zone)


@given(from_minute=minutes, to_minute=minutes, minute=minutes)
def test_the_allowed_minutes_are_the_rest_of_the_day(from_minute: int, to_minute: int, minute: int) -> None:
    if from_minute == to_minute:
        return
    quiet = QuietHours(from_minute, to_minute)
    low, high = quiet.allowed_minutes
    allowed = low <= minute < high if low < high else minute >= low or minute < high
    assert allowed is not quiet.covers(minute)


def test_an_hour_that_occurs_twice_is_quiet_twice() -> None:
    zone, quiet = ZoneInfo("America/New_York"), QuietHours(60, 90)
    first = datetime(2026, 11, 1, 5, 10, tzinfo=UTC)
    second = first + timedelta(hours=1)
    assert is_quiet(first, quiet, zone) and is_quiet(second, quiet, zone)
    assert next_allowed(second, quiet, zone) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


def test_quiet_hours_that_end_in_a_skipped_hour_end_when_the_clock_jumps() -> None:
    zone, quiet = ZoneInfo("America/New_York"), QuietHours(20 * 60, 2 * 60 + 30)
    assert next_allowed(datetime(2026, 3, 8, 6, 0, tzinfo=UTC), quiet, zone) == datetime(2026, 3, 8, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize("name", [None, "", "Mars/Phobos", "../etc/passwd", "/etc/localtime", "a\x00b", "A" * 5000])
def test_what_is_no_zone_is_none(name: str | None) -> None:
    assert zone_of(name) is None

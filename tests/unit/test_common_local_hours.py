"""Is it open by what the clocks on the walls show, also where they are put forward and back?"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from libs.common.local_hours import is_open, months_later, next_open

EVERY_DAY = 7


@pytest.mark.parametrize(
    ("zone", "spans", "now", "opens"),
    [
        # In Berlin 02:30 does not exist on 29 March: what opens then opens at 03:00, where the clock jumps to.
        ("Europe/Berlin", [150, 240], "2026-03-29T00:00", "2026-03-29T01:00"),
        # What is open in the hour that is skipped alone is not open that day.
        ("Europe/Berlin", [130, 170], "2026-03-29T00:00", "2026-03-30T00:10"),
        # The hour from two to three occurs twice on 25 October, and is open twice.
        ("Europe/Berlin", [120, 150], "2026-10-25T00:30", "2026-10-25T01:00"),
        # On Lord Howe clocks go back half an hour, from two to half past one.
        ("Australia/Lord_Howe", [60, 110], "2026-04-04T14:55", "2026-04-04T15:00"),
        ("Asia/Kolkata", [540, 1260], "2026-11-22T16:00", "2026-11-23T03:30"),
    ],
)
def test_it_opens_when_the_clock_shows_it_and_where_the_clock_jumps(
    zone: str, spans: list[int], now: str, opens: str
) -> None:
    clock, at, found = ZoneInfo(zone), *(datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (now, opens))
    assert not is_open(at, [clock], [spans] * EVERY_DAY, {})
    assert next_open(at, [clock], [spans] * EVERY_DAY, {}) == found


def test_what_is_never_open_in_all_places_at_once_has_no_next_time() -> None:
    seoul, lisbon = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Lisbon")
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert next_open(now, [seoul, lisbon], [[540, 600]] * EVERY_DAY, {}) is None
    assert next_open(now, [seoul], [[]] * EVERY_DAY, {}) is None


def test_months_end_on_the_last_day_of_a_month_that_is_shorter() -> None:
    assert months_later(date(2024, 2, 29), 24) == date(2026, 2, 28)
    assert months_later(date(2026, 2, 28), 24) == date(2028, 2, 28)
    assert months_later(date(2026, 8, 31), 1) == date(2026, 9, 30)
    assert months_later(date(9999, 12, 1), 12) == date.max

"""When may a person be disturbed? Quiet hours on the clock of a place, through its changes of the clock.

A minute is quiet by what the local clock shows, so an hour that occurs twice in autumn is quiet twice, and
one that is skipped in spring is nobody's. Pure: the zone data is the only thing looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

MINUTES_OF_DAY = 24 * 60
_LOOK_AHEAD = timedelta(hours=50)
"""Longer than any quiet period, also one stretched by a change of the clock."""


class QuietHours(Struct, frozen=True):
    """Quiet from `from_minute` up to, not including, `to_minute`, over midnight where from is later than to.

    `zone` None means the customer's own.
    """

    from_minute: int
    to_minute: int
    zone: str | None = None

    def covers(self, minute: int) -> bool:
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute

    @property
    def allowed_minutes(self) -> tuple[int, int]:
        """The rest of the day as [from, to); over midnight where from is later than to."""
        return self.to_minute, self.from_minute or MINUTES_OF_DAY


@lru_cache(maxsize=1024)
def zone_of(name: str | None) -> ZoneInfo | None:
    """None for a name that no place on earth goes by."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def is_quiet(instant: datetime, quiet: QuietHours, zone: ZoneInfo) -> bool:
    local = instant.astimezone(zone)
    return quiet.covers(local.hour * 60 + local.minute)


def next_allowed(now: datetime, quiet: QuietHours, zone: ZoneInfo) -> datetime:
    """The first instant from `now` on that is not quiet, in UTC; `now` itself when it is not."""
    if not is_quiet(now, quiet, zone):
        return now.astimezone(UTC)
    found = (each for each in _ends(now, quiet, zone) if each > now and not is_quiet(each, quiet, zone))
    return min(found)


def _ends(now: datetime, quiet: QuietHours, zone: ZoneInfo) -> Iterator[datetime]:
    """Where quiet can end: when the clock shows `to_minute`, twice if it does so twice; when it jumps."""
    today = now.astimezone(zone).date()
    end = time(*divmod(quiet.to_minute, 60))
    for days in range(3):
        wall = datetime.combine(today + timedelta(days=days), end, zone)
        yield from (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    jump = _jump(now.astimezone(UTC), now.astimezone(UTC) + _LOOK_AHEAD, zone)
    if jump is not None:
        yield jump


def _jump(low: datetime, high: datetime, zone: ZoneInfo) -> datetime | None:
    """The second at which the zone's offset changes between two instants in UTC; there is one at most."""
    before = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == before:
        return None
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high

"""Which instant is meant by what somebody wrote for a time? Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FORMS: Final = (
    'RFC 3339, "2026-11-21 10:15", "2026/11/21", "20261121", "20261121101500", '
    '"Sat, 21 Nov 2026 10:15:00 +0900", or seconds or milliseconds since 1970'
)
_YEARS: Final = (1900, 2200)
# 11 digits of seconds would be the year 5138, and 11 digits of milliseconds are 1973.
_MILLISECONDS_FROM: Final = 10**11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NUMBER = re.compile(r"[0-9]{9,13}(\.[0-9]{1,9})?\Z", re.ASCII)
_COMPACT = re.compile(r"((?:19|20|21)\d\d)(\d\d)(\d\d)(?:[T ]?(\d\d)(\d\d)(\d\d)?)?(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)
_WRITTEN = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[T ]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?)?"
    r"\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?\Z",
    re.ASCII,
)
_LETTERED = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} ", re.ASCII)


def instant_of(written: Any, zone: str = "") -> datetime:
    """The instant, in the offset that it was written with. What has none is in `zone`, else in UTC."""
    naive = zone_of(zone)
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise ValueError("it is neither a number nor a text")
    if isinstance(written, float):
        return _checked(_since_epoch(written))
    # A whole number may be a day such as 20261121 as well.
    text = written.strip()[:80] if isinstance(written, str) else str(written) if abs(written) < 10**20 else "?"
    found = _by_shape(text, naive)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time that is understood; these are: {FORMS}")
    return _checked(found)


def day_of(written: Any, zone: str = "") -> date:
    """The day in `zone`, or else the day on which the writer's clock stood."""
    instant = instant_of(written, zone)
    return (instant.astimezone(zone_of(zone)) if zone else instant).date()


def rfc3339(instant: datetime) -> str:
    text = instant.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def zone_of(name: str) -> tzinfo:
    """ValueError for a zone that nobody knows; UTC for none."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name[:60]!r} is no time zone such as Asia/Seoul") from None


def _by_shape(text: str, naive: tzinfo) -> datetime | None:
    if matched := _WRITTEN.match(text):
        return _from_parts(matched.groups(), naive)
    if matched := _COMPACT.match(text):
        year, month, day, hour, minute, second, offset = matched.groups()
        return _from_parts((year, month, day, hour, minute, second, None, offset), naive)
    if _NUMBER.match(text):
        return _since_epoch(float(text))
    if _LETTERED.match(text):
        found = parsedate_to_datetime(text)
        return found if found.tzinfo else found.replace(tzinfo=naive)
    return None


def _from_parts(parts: tuple[str | None, ...], naive: tzinfo) -> datetime:
    year, month, day, hour, minute, second = (int(part or 0) for part in parts[:6])
    fraction, offset = parts[6:]
    if second == 60:
        # A leap second, which no clock of ours knows.
        second = 59
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    instant = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=naive)
    return instant if offset is None else instant.replace(tzinfo=_offset_of(offset))


def _offset_of(written: str) -> tzinfo:
    if written.upper() in ("Z", "UTC", "GMT"):
        return UTC
    digits = written[1:].replace(":", "").ljust(4, "0")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(away if written[0] == "+" else -away)


def _since_epoch(number: float) -> datetime:
    if not abs(number) < 10**14:
        raise ValueError("the number is too large for a time since 1970")
    return _EPOCH + (timedelta(milliseconds=number) if abs(number) >= _MILLISECONDS_FROM else timedelta(seconds=number))


def _checked(instant: datetime) -> datetime:
    if not _YEARS[0] <= instant.year < _YEARS[1]:
        raise ValueError(f"the year {instant.year} is not between {_YEARS[0]} and {_YEARS[1]}")
    # RFC 3339 has offsets of whole minutes; old local times have seconds in them.
    away = instant.utcoffset()
    return instant.astimezone(UTC) if away is not None and away % timedelta(minutes=1) else instant

"""What may the owners of a shop define about their customers? Everything that is a matter of opinion, with defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.clock import from_ms


class Definitions(Struct, frozen=True):
    """The definitions in force, as one number of the documents says; `zone` is the company's (IANA)."""

    number: int = 0
    zone: ZoneInfo = ZoneInfo("Asia/Seoul")

    def day_of(self, at_ms: int) -> int:
        """The day of an instant in the company's zone, as a proleptic Gregorian ordinal."""
        return from_ms(at_ms).astimezone(self.zone).toordinal()

    def starts(self, day: int) -> datetime:
        """The instant (UTC) at which a day begins in the company's zone."""
        return (datetime.fromordinal(1) + timedelta(days=day - 1)).replace(tzinfo=self.zone).astimezone(UTC)

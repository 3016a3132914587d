"""How often may somebody be contacted, and which contacts count? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct


class Cap(Struct, frozen=True):
    """At most `times` contacts in any stretch of time of the length `per`; 0 times means none."""

    times: int
    per: timedelta


class Contact(Struct, frozen=True):
    """A contact that counts against caps.

    `pending` ones are reserved and may still happen at any time, so they count whatever their age; `at` is
    when a settled one happened. So no stretch of time holds more than its cap, however late delivery is.
    """

    campaign_id: str
    channel: str
    class_: str
    at: datetime
    pending: bool = False


def used(cap: Cap, contacts: Iterable[Contact], now: datetime) -> int:
    """How many of these contacts the cap counts at this moment."""
    since = now - cap.per
    return sum(1 for each in contacts if each.pending or each.at > since)

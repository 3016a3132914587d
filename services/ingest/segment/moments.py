"""When did it happen? Pure: what the client's clock said, and what ours says of that clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from services.ingest.refusals import WRONG_TIME, Reject
from services.ingest.segment.items import Item

SKEW_STEP: Final = timedelta(minutes=10)
"""A clock that is wrong by more than this is set right, by whole steps of it."""

_NONE = timedelta(0)


class Moment(NamedTuple):
    """`naive` says that the client's time had no offset from UTC."""

    at: datetime
    naive: bool = False


def skew_of(sent_at: str, received: datetime) -> timedelta:
    """How much to add to the times of a request that says it was sent at `sent_at`.

    A client that sends an item again states a new `sentAt`, and the way takes another while each time. Adding the
    exact difference would make another event of it, and whoever knows the first one would call the second a conflict.
    So clocks that are roughly right are believed, and others are set right by whole steps, which are the same for
    both attempts unless the error lies within seconds of the border between two steps.
    """
    sent = instant_of(sent_at)
    if sent is None:
        return _NONE
    skew = received - (sent if sent.tzinfo is not None else sent.replace(tzinfo=UTC))
    return round(skew / SKEW_STEP) * SKEW_STEP if abs(skew) > SKEW_STEP else _NONE


def instant_of(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def moment_of(item: Item, sent_at: str, skew: timedelta, received: datetime) -> Moment:
    """The item's own time; for want of one, that of its request; for want of both, that of its arrival."""
    given = item.original_timestamp or item.timestamp or item.sent_at or instant_of(sent_at)
    if given is None:
        return Moment(received)
    naive = given.tzinfo is None
    if naive:
        given = given.replace(tzinfo=UTC)
    if not skew:
        return Moment(given, naive)
    try:
        return Moment(given + skew, naive)
    except OverflowError:
        raise Reject(WRONG_TIME, "/timestamp", "The time lies beyond all calendars.") from None

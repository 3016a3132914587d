"""When did it happen? Pure: what the client's clock said, and what ours says of that clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from services.ingest.refusals import WRONG_TIME, Reject
from services.ingest.segment.items import Item

SKEW_STEP: Final = timedelta(minutes=10)
"""A clock that is ahead by more than this is set right, by whole steps of it."""

_NONE = timedelta(0)


class Moment(NamedTuple):
    """`naive` says that the client's time had no offset from UTC."""

    at: datetime
    naive: bool = False


def skew_of(sent_at: str, received: datetime) -> timedelta:
    """How much to add to the times of a request that says it was sent at `sent_at`; never more than nothing.

    A clock that is ahead is seen at once: nothing is sent before it is sent. One that seems to be behind is believed,
    for some clients write `sentAt` when they lay a batch down and send it hours later, and again after that: what was
    added would grow with each attempt, and move an event into another day, where its repeat is not looked for. For the
    same reason clocks are set right by whole steps: a client that states a new `sentAt` each time says the same event.
    """
    sent = instant_of(sent_at)
    if sent is None:
        return _NONE
    skew = received - (sent if sent.tzinfo is not None else sent.replace(tzinfo=UTC))
    return round(skew / SKEW_STEP) * SKEW_STEP if skew < -SKEW_STEP else _NONE


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

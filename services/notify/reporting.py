"""What must the others be told about a message? Facts that follow from where it stood and where it stands. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from libs.common.addresses import address_mark
from libs.common.clock import derived_id
from libs.common.events import MessageSettled, ResponseReceived
from services.notify.delivery import contacted
from services.notify.store.ledger import Entry, Step

_OF_THE_ADDRESS: Final = frozenset(
    {"message.delivered", "message.bounced", "message.opened", "message.clicked", "message.replied"}
)
"""What tells something of the address as well: it says which one by its mark, for it may be an old one by now."""


def settled(before: Entry, after: Entry, now: datetime) -> MessageSettled | None:
    """The last word for campaign, when this change speaks it."""
    word = after.standing.settled
    if not word or before.standing.settled:
        return None
    return MessageSettled(
        message_id=after.message_id,
        decision_id=after.decision_id,
        campaign_id=after.campaign_id,
        customer_id=after.customer_id,
        channel=after.channel,
        status=word,
        contacted=contacted(word),
        settled_at=now,
        reason=after.standing.reason,
    )


def accepted(before: Entry, after: Entry, now: datetime) -> ResponseReceived | None:
    """The first response of all: the provider has the message."""
    if before.standing.settled or after.standing.settled != "accepted":
        return None
    return response(after, "message.accepted", "", now, {})


def response(entry: Entry, kind: str, provider_event_id: str, at: datetime, data: dict[str, Any]) -> ResponseReceived:
    """`provider_event_id` keeps apart what may happen several times; the same reaction always has the same id."""
    if kind in _OF_THE_ADDRESS and entry.recipient:
        data = {**data, "address_mark": address_mark(entry.recipient)}
    return ResponseReceived(
        id=str(derived_id("response", entry.message_id, kind, provider_event_id)),
        type=kind,
        message_id=entry.message_id,
        decision_id=entry.decision_id,
        campaign_id=entry.campaign_id,
        customer_id=entry.customer_id,
        person_id=entry.person_id,
        channel=entry.channel,
        time=at,
        data=data,
    )


def step(before: Entry, after: Entry, now: datetime) -> Step | None:
    """One line of the message's story, where there is something to tell."""
    was, stands = before.standing, after.standing
    if was.state == stands.state and was.reason == stands.reason:
        return None
    return Step(after.message_id, after.unit, now, stands.state, stands.reason or after.provider_ref)

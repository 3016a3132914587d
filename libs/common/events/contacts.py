"""What is told of messages: what is asked for, under which conditions, and what came of it?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import field

from libs.common.events.fact import Fact


class LawfulHours(Fact, frozen=True):
    """Hours of a law: the local clock must lie in [from, to) in every one of `zones` at once.

    `weekdays` has the spans of seven days, Monday first, as pairs of minutes since midnight; `dates` are days with
    spans of their own. Whoever has given the consent `unless`, as sms:night, is not bound; it counts for
    `unless_months` from when it was given, 0 for ever.
    """

    zones: list[str]
    weekdays: list[list[int]]
    dates: dict[str, list[int]] = {}
    unless: str = ""
    unless_months: int = 0


class Conditions(Fact, frozen=True):
    """What must still hold when the message is claimed for sending.

    `consents` are the channels that must be granted; local time in `zone` must lie in [`from_minute`, `to_minute`)
    of the day, minutes since midnight, unless both are absent. `lawful` hours must hold as well, each of them.
    `consent_months` says after how many months a consent does not count any more, on the calendar of every one of
    `consent_zones`; one that is named there with 0 must be granted and may be of any age.
    """

    valid_until: datetime
    consents: list[str] = []
    zone: str | None = None
    from_minute: int | None = None
    to_minute: int | None = None
    lawful: list[LawfulHours] = []
    consent_months: dict[str, int] = {}
    consent_zones: list[str] = []


class ContactRequested(Fact, frozen=True):
    """Campaign asks notify to say one thing to one customer by one channel."""

    message_id: str
    decision_id: str
    campaign_id: str
    customer_id: str
    person_id: str
    channel: str
    template: str
    class_: str = field(name="class")
    conditions: Conditions
    requested_at: datetime
    trigger_id: str = ""
    variant: str = ""
    values: dict[str, Any] = {}
    event_id: str = ""
    received_ms: int = 0


class ResponseReceived(Fact, frozen=True):
    """A reaction to a message, as a channel event: `type` is message.delivered, message.clicked, task.done …"""

    id: str
    type: str
    message_id: str
    decision_id: str
    campaign_id: str
    customer_id: str
    person_id: str
    channel: str
    time: datetime
    data: dict[str, Any] = {}


class MessageSettled(Fact, frozen=True):
    """The last word on a message for whoever counts contacts: `contacted` says whether it used up the customer's cap.

    `status` is accepted, rejected, unknown, dropped or expired.
    """

    message_id: str
    decision_id: str
    campaign_id: str
    customer_id: str
    channel: str
    status: str
    contacted: bool
    settled_at: datetime
    reason: str = ""

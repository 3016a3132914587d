"""Which topics are there, who alone may write them, who reads them, and by which key?

A topic is `<owner>.<fact>.v<N>`. All topics have the same number of partitions and one partitioner, so that unit i of
any worker reads partition i of everything it consumes and a customer has one writer in each service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any
from zlib import crc32

from libs.common import events

DOOR_DAYS = 14
SEGMENT_DAYS = 1
"""A message of a topic that is kept for `DOOR_DAYS` is gone so much later at most: segments are deleted as a whole."""


@dataclass(frozen=True, slots=True)
class Topic:
    """`producer` is the worker that writes it, or empty where many processes do (a door, an API).

    `marks` says that the producer's progress marks travel in it, which makes it a source of its readers' clock.
    `retention_days` is None for compacted topics, which keep the newest message of each key.
    """

    name: str
    event: type[events.Fact]
    key: Callable[[Any], str]
    owner: str
    consumers: tuple[str, ...]
    producer: str = ""
    marks: bool = False
    retention_days: int | None = DOOR_DAYS

    @property
    def compacted(self) -> bool:
        return self.retention_days is None


def partition_of(key: bytes, partitions: int) -> int:
    """librdkafka's `consistent` partitioner, so that foreign producers can agree with ours."""
    return crc32(key) % partitions


def everyone_of(partition: int, partitions: int) -> str:
    """The key that stands for all customers of a partition; it leads to that partition as theirs do."""
    return next(key for n in count() if partition_of((key := f"everyone.{n}").encode(), partitions) == partition)


def _customer(event: Any) -> str:
    return str(event.customer_id)


def strongest_identifier(event: events.EventReceived) -> str:
    """The key of an event whose customer is not known yet: its strongest identifier, or its own id."""
    held = event.identifiers
    for kind in events.IDENTIFIER_TYPES[:5]:
        if kind in held:
            return f"{kind}:{held[kind]}"
    others = [*sorted(kind for kind in held if kind.startswith("partner:")), "device", "cookie"]
    return next((f"{kind}:{held[kind]}" for kind in others if kind in held), event.id)


EVENT_RECEIVED = Topic(
    "ingest.event-received.v1", events.EventReceived, strongest_identifier, "ingest", ("profile.identify",)
)
EVENT_REJECTED = Topic("ingest.event-rejected.v1", events.EventRejected, lambda e: e.id, "ingest", ("ingest.rejects",))
EVENT_IDENTIFIED = Topic(
    "profile.event-identified.v1",
    events.EventIdentified,
    _customer,
    "profile",
    ("profile.apply",),
    producer="profile.identify",
    marks=True,
)
LINK_ORDERED = Topic("profile.link-ordered.v1", events.LinkOrdered, _customer, "profile", ("profile.identify",))
COMMAND_ISSUED = Topic("profile.command-issued.v1", events.CommandIssued, _customer, "profile", ("profile.apply",))
EVENT_RESOLVED = Topic(
    "profile.event-resolved.v1",
    events.EventResolved,
    _customer,
    "profile",
    ("rules.match", "campaign.measure"),
    producer="profile.apply",
    marks=True,
    retention_days=400,
)
PROFILE_UPDATED = Topic(
    "profile.updated.v1",
    events.ProfileUpdated,
    _customer,
    "profile",
    ("campaign.decide", "notify.plan"),
    producer="profile.apply",
    retention_days=None,
)
TRIGGERED = Topic(
    "rules.triggered.v1",
    events.RuleTriggered,
    _customer,
    "rules",
    ("campaign.decide", "profile.apply"),
    producer="rules.match",
    marks=True,
)
SEGMENT_MOVED = Topic(
    "rules.segment-moved.v1",
    events.SegmentMoved,
    _customer,
    "rules",
    (),
    producer="rules.match",
    retention_days=400,
)
CONTACT_REQUESTED = Topic(
    "campaign.contact-requested.v1",
    events.ContactRequested,
    _customer,
    "campaign",
    ("notify.plan",),
    producer="campaign.decide",
    marks=True,
)
DECIDED = Topic(
    "campaign.decided.v1",
    events.Decided,
    _customer,
    "campaign",
    (),
    producer="campaign.decide",
    retention_days=400,
)
CONTACTS_COUNTED = Topic(
    "campaign.contacts-counted.v1",
    events.ContactsCounted,
    lambda e: e.rule_id,
    "campaign",
    ("rules.guard",),
    producer="campaign.decide",
)
SWITCH_SET = Topic("campaign.switch-set.v1", events.SwitchSet, lambda e: e.scope, "campaign", (), retention_days=None)
RESPONSE_RECEIVED = Topic(
    "notify.response-received.v1",
    events.ResponseReceived,
    _customer,
    "notify",
    ("profile.apply", "campaign.decide"),
    producer="notify.plan",
)
MESSAGE_SETTLED = Topic(
    "notify.message-settled.v1",
    events.MessageSettled,
    _customer,
    "notify",
    ("campaign.decide",),
    producer="notify.plan",
)

RULES_ERASED = Topic(
    "rules.customer-erased.v1",
    events.RulesErased,
    _customer,
    "rules",
    ("profile.apply",),
    producer="rules.match",
)
CAMPAIGN_ERASED = Topic(
    "campaign.customer-erased.v1",
    events.CampaignErased,
    _customer,
    "campaign",
    ("profile.apply",),
    producer="campaign.decide",
)
NOTIFY_ERASED = Topic(
    "notify.customer-erased.v1",
    events.NotifyErased,
    _customer,
    "notify",
    ("profile.apply",),
    producer="notify.plan",
)

CATALOGUE = (
    EVENT_RECEIVED,
    EVENT_REJECTED,
    EVENT_IDENTIFIED,
    LINK_ORDERED,
    COMMAND_ISSUED,
    EVENT_RESOLVED,
    PROFILE_UPDATED,
    TRIGGERED,
    SEGMENT_MOVED,
    CONTACT_REQUESTED,
    DECIDED,
    CONTACTS_COUNTED,
    SWITCH_SET,
    RESPONSE_RECEIVED,
    MESSAGE_SETTLED,
    RULES_ERASED,
    CAMPAIGN_ERASED,
    NOTIFY_ERASED,
)


def dead_letters(owner: str) -> str:
    """The topic that holds what the workers of a service could not handle, as it came, with the reason in headers."""
    return f"{owner}.dead-letter.v1"


DEAD_LETTER_DAYS = 90


def all_dead_letters(catalogue: Iterable[Topic] = CATALOGUE) -> list[str]:
    """The dead-letter topics of everybody who owns or reads one of these."""
    owners = {topic.owner for topic in catalogue} | {each.split(".")[0] for t in catalogue for each in t.consumers}
    return [dead_letters(owner) for owner in sorted(owners)]

"""What do the services tell one another? Every shape that crosses a boundary, and nothing else.

A class is a fact, named in the past tense; its topic and key stand in `topics.py`. A new optional field changes
nothing for anybody; any other change is a new class on a new topic. Instants are RFC 3339 with an offset, money is
a decimal with a currency beside it, ids are strings.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType, field

HOPS_MAX = 3
EMPTY = Raw(b"{}")

ERASED = "profile.erased"
"""The type of the last resolved event of a customer: whoever keeps anything of them forgets it."""

ERASED_VERSION = 1 << 62
"""A version of a profile that nothing overtakes: what a reader of `profile.updated` keeps of an erased customer."""

IDENTIFIER_TYPES = ("customer_id", "account", "loyalty_card", "phone", "email", "device", "cookie")
"""The types that ship, strongest first; `partner:<name>` stands between email and device."""

CHANNELS_OF_CONTACT = ("email", "sms", "push", "webhook", "call")


class Fact(Struct, frozen=True, omit_defaults=True, gc=False):
    """The root of all shapes: immutable, and defaults are not written.

    Facts hold no cycles, so the collector need not look at them: there are many, and some live long in caches.
    """


class EventReceived(Fact, frozen=True):
    """A channel event as its source sent it; `history` marks old data, which builds profiles and fires nothing."""

    id: str
    source: str
    type: str
    time: datetime
    channel: str = ""
    identifiers: dict[str, str] = {}
    branch: str | None = None
    data: Raw = EMPTY
    history: bool = False


class EventRejected(Fact, frozen=True):
    """What could not be accepted, with the bytes as they came (base64) as far as they were read.

    `door` names the way by which it came, and `context` holds what its bytes do not say and an examination must know.
    `reject_id` follows from the door, the key and the bytes: the same thing refused again has the same one.
    """

    source: str
    id: str
    type: str
    reason: str
    detail: str
    pointer: str
    body: bytes
    rejected_at: datetime
    write_key_id: str = ""
    door: str = ""
    context: dict[str, str] = {}
    reject_id: str = ""


class EventIdentified(Fact, frozen=True):
    """An event and the customer record it belongs to.

    `customer_id` is the record that the event is kept under and the key of everything that follows; `person_id` is
    the person that the record belongs to; `linked` names all records of that person when there is more than one.
    `identifiers` are normalised, and `channel` is known even where the event left it to its write key. `traffic` says
    that no customer is behind the event: bot, test, or nothing for most. `links_revision` grows whenever the records
    of a person change, by a merge or by taking one back: of two lists the one of the higher revision is true.
    `everyone` says that it has no person and concerns many: one copy of it goes to each partition, under a key that
    stands for all customers there (`topics.everyone_of`).
    """

    customer_id: str
    person_id: str
    event: Raw
    received_ms: int
    channel: str = ""
    identifiers: dict[str, str] = {}
    linked: list[str] = []
    traffic: str = ""
    links_revision: int = 0
    everyone: bool = False


class CommandIssued(Fact, frozen=True):
    """An order of the profile API: `kind` says what `body` holds; `if_version` must be the profile's version.

    `reason` is why, in the words of whoever gave it; it stands in the timeline and is told nobody else.
    """

    command_id: str
    customer_id: str
    kind: str
    body: Raw
    actor: str
    issued_at: datetime
    if_version: int | None = None
    reason: str = ""


class LinkOrdered(Fact, frozen=True):
    """An order about which customer records are one person; `kind` is link or unlink.

    link makes the persons of `customer_id` and of `records` one. unlink takes `records` out of the person of
    `customer_id`, or takes back the one link `link_id`; what is parted so is kept apart: no event and nothing
    automatic joins it again, only another order by hand. An `automatic` order was given by no person: `rule` names
    what found it, `score` says how sure it is, `evidence` by what. It holds no names and no addresses.
    """

    order_id: str
    kind: str
    customer_id: str
    actor: str
    ordered_at: datetime
    records: list[str] = []
    link_id: str = ""
    automatic: bool = False
    rule: str = ""
    score: float | None = None
    evidence: dict[str, Any] = {}
    reason: str = ""


class Change(Fact, frozen=True):
    """One profile field before and after; `was` is null where there was nothing."""

    was: Any = None
    now: Any = None


class EventResolved(Fact, frozen=True):
    """An event joined with its customer at that moment, and what it changed in the profile.

    It is the history that backtests read, so there is no name, address, phone or email in it. `hops` counts how
    many automatic effects stand between this event and an event from outside, and `traffic` is as it was identified.
    `data` says of products what the catalogue knows and the source did not say; `region` is the one of the branch.
    `everyone` says that no customer is behind it: it concerns whoever a rule selects among those of its partition, and
    nobody has a state or a profile by its `customer_id`.
    """

    event_id: str
    customer_id: str
    person_id: str
    type: str
    source: str
    time: datetime
    received_ms: int
    channel: str = ""
    branch: str | None = None
    data: Raw = EMPTY
    profile: Raw = EMPTY
    changed: dict[str, Change] = {}
    linked: list[str] = []
    hops: int = 0
    history: bool = False
    traffic: str = ""
    region: str = ""
    everyone: bool = False


class Consent(Fact, frozen=True):
    granted: bool
    at: datetime
    source: str = ""


class ProfileUpdated(Fact, frozen=True):
    """What delivery needs to know of a customer: contact points, consents, zone, and what forbids contact.

    `version` only grows; a consumer keeps the highest. `attributes` are the traits that templates may print.

    `consents` are of this record: by `<channel>` for marketing, by `<channel>:<purpose>` for all else, such as
    `sms:night`. Only what counts is granted; what waits for a confirmation is not, and is dated so that it overrules
    nothing. Of the records of a person the newest counts by key, of two of one instant the refusal. A purpose counts
    beside its channel's marketing alone, and `<channel>:*`, which is never granted, overrules purposes not newer.
    """

    customer_id: str
    person_id: str
    version: int
    contacts: dict[str, str] = {}
    consents: dict[str, Consent] = {}
    zone: str | None = None
    suppressed: list[str] = []
    attributes: dict[str, Any] = {}
    linked: list[str] = []
    updated_at: datetime | UnsetType = UNSET


class RuleTriggered(Fact, frozen=True):
    """A rule found its moment. `sets` are profile fields that the rule writes; `profile` is as in the event."""

    trigger_id: str
    trigger: str
    rule_id: str
    rule_version: int
    customer_id: str
    person_id: str
    occurred_at: datetime
    event_id: str = ""
    reason: str = ""
    priority: int = 50
    include: dict[str, Any] = {}
    sets: dict[str, Any] = {}
    profile: Raw = EMPTY
    linked: list[str] = []
    hops: int = 0
    received_ms: int = 0


class GateVerdict(Fact, frozen=True):
    """One gate's answer: pass, deny, defer or hold out, with the values it looked at."""

    gate: str
    verdict: str
    detail: str = ""
    values: dict[str, Any] = {}


class Decided(Fact, frozen=True):
    """One trigger × campaign × step, decided, with the whole way through the gates.

    `outcome` is contact, deferred, denied or holdout; `gate` is the one that decided.
    """

    decision_id: str
    trigger_id: str
    campaign_id: str
    campaign_version: int
    customer_id: str
    person_id: str
    outcome: str
    gate: str
    trace: list[GateVerdict]
    decided_at: datetime
    channel: str = ""
    variant: str = ""
    cost: str = "0"
    event_id: str = ""
    rule_id: str = ""


class Conditions(Fact, frozen=True):
    """What must still hold when the message is claimed for sending.

    `consents` are the channels that must be granted; local time in `zone` must lie in [`from_minute`, `to_minute`)
    of the day, minutes since midnight, unless both are absent.
    """

    valid_until: datetime
    consents: list[str] = []
    zone: str | None = None
    from_minute: int | None = None
    to_minute: int | None = None


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


class SwitchSet(Fact, frozen=True):
    """A kill switch: `scope` is all, channel:<name> or campaign:<id>; `off` true means nothing is sent there."""

    scope: str
    version: int
    off: bool
    actor: str
    set_at: datetime
    note: str = ""


class RulesErased(Fact, frozen=True):
    """Rules has forgotten a customer; `counts` says of what how much, by table."""

    customer_id: str
    erased_at: datetime
    counts: dict[str, int] = {}


class CampaignErased(Fact, frozen=True):
    """Campaign has forgotten a customer; decisions stay, which name nobody."""

    customer_id: str
    erased_at: datetime
    counts: dict[str, int] = {}


class NotifyErased(Fact, frozen=True):
    """Notify has forgotten a customer; that there were messages stays, not what they said nor to which address."""

    customer_id: str
    erased_at: datetime
    counts: dict[str, int] = {}

"""What is told of events and of the customers behind them?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from libs.common.events.fact import EMPTY, Fact


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
    """What was said last, and when; `renewed_at` is when a consent was last confirmed anew, where it was.

    Where a law lets a consent count for some months, they recur from `at`: a confirmation settles the recurring day
    that it is nearest to. It counts by whichever record of a person it is told, also beside a refusal there, and under
    `<channel>:*` for all of the channel.
    """

    granted: bool
    at: datetime
    source: str = ""
    renewed_at: datetime | None = None


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

"""What is told of rules and segments, and of what is decided because of them?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Raw

from libs.common.events.fact import EMPTY, Fact


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


class SegmentMoved(Fact, frozen=True):
    """A person came into a segment or fell out of it. `moved` is in or out; `event_id` is the event behind it, if any.

    `told` false: no moment in their life. They are in or out by a new definition, by records that were linked or taken
    apart, by history, or while the segment was paused.
    """

    customer_id: str
    person_id: str
    segment_id: str
    version: int
    moved: str
    at: datetime
    event_id: str = ""
    told: bool = True


class GateVerdict(Fact, frozen=True):
    """One gate's answer: pass, deny, defer or hold out, with the values it looked at."""

    gate: str
    verdict: str
    detail: str = ""
    values: dict[str, Any] = {}


class Decided(Fact, frozen=True):
    """One trigger × campaign × step, decided, with the whole way through the gates.

    `outcome` is contact, deferred, denied or holdout; `gate` is the one that decided. `reason` is the trigger's.
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
    reason: str = ""


class ContactsCounted(Fact, frozen=True):
    """What came of what a version of a rule caused, added up: numbers alone, which say nothing of anybody.

    `counts` are by what is measured: contacts (accepted or delivered), unsubscribed, complained and bounced of them,
    cap_asked (decisions that came as far as the caps) and cap_blocked of those. `at` is when it was, for a reaction
    when the contact was that it goes back to.
    """

    rule_id: str
    rule_version: int
    at: datetime
    counts: dict[str, int]


class SwitchSet(Fact, frozen=True):
    """A kill switch: `scope` is all, channel:<name> or campaign:<id>; `off` true means nothing is sent there."""

    scope: str
    version: int
    off: bool
    actor: str
    set_at: datetime
    note: str = ""

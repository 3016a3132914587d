"""What is said of a campaign's gates? What campaign answers to a page of firings, and what the pages come to."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from msgspec import Struct


class Door(Struct, frozen=True):
    """Where campaign is, and by what it knows us."""

    url: str
    token: str


class GateCount(Struct, frozen=True):
    gate: str
    reached: int
    stopped: int
    deferred: int
    reasons: dict[str, int] = {}


class DayCount(Struct, frozen=True):
    day: date
    channel: str
    contact: int
    holdout: int
    denied: int


class Fate(Struct, frozen=True):
    customer_id: str
    person_id: str
    fired_at: datetime
    decided_at: datetime
    outcome: str
    gate: str
    detail: str
    waited: list[str]
    trace: list[dict[str, Any]]


class Simulated(Struct, frozen=True):
    """One page, as campaign answers it."""

    campaign_id: str
    campaign_version: int
    policy_version: int
    trigger: str
    channel: str
    firings: int
    people: int
    outcomes: dict[str, int]
    deferred: int
    consent_is_newer: int
    cost: str
    gates: list[GateCount]
    days: list[DayCount]
    examples: list[Fate]
    assumes: list[str]


class Gates(Struct, frozen=True):
    """What the pages come to. `share` is the share of the people that was asked for, 1 for all of them.

    `gates` are in their order: of the firings that came to a gate in the end, how many it stopped and why, and how
    often it deferred one. `deferred` are firings that waited before they got their outcome.
    """

    campaign_id: str
    campaign_version: int
    policy_version: int
    channel: str
    firings: int
    people: int
    outcomes: dict[str, int]
    deferred: int
    consent_is_newer: int
    cost: str
    gates: list[GateCount]
    days: list[DayCount]
    assumes: list[str]
    share: float = 1.0
    warnings: list[str] = []


class GateExample(Struct, frozen=True):
    """A firing and its way through the gates; kept with the examples, so that it goes when its customer does."""

    customer_id: str
    fate: Fate

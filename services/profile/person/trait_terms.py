"""What may owners define about what is said of a customer? Whom to believe of traits and of a stage of life."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Keep = Literal["newest", "oldest", "most_trusted", "never_overwrite"]


class TraitRule(Struct, frozen=True):
    """Which of several statements counts, and after how many days without one it is stale; 0 is never.

    newest           the newest by the time of the event
    oldest           the oldest by the time of the event
    most_trusted     the newest of the source that comes first in `trusted`; patterns such as store-*
    never_overwrite  the one that came in first, whatever time it claims

    What people set by hand overrides the last two and the second, but nothing that `trusted` names.
    """

    keep: Keep = "newest"
    trusted: tuple[str, ...] = ()
    stale_days: int = 0


def _rules() -> dict[str, TraitRule]:
    address, employment = TraitRule(stale_days=365), TraitRule(stale_days=730)
    return {
        **dict.fromkeys(("address", "street", "city", "postal_code", "zip"), address),
        **dict.fromkeys(("phone", "mobile", "tel", "email"), TraitRule(stale_days=730)),
        **dict.fromkeys(("employer", "occupation", "income_band", "household_size"), employment),
    }


class TraitTerms(Struct, frozen=True):
    """Rules by the name of the trait, and the one for all others."""

    other: TraitRule = TraitRule()
    rules: dict[str, TraitRule] = field(default_factory=_rules)

    def rule(self, name: str) -> TraitRule:
        return self.rules.get(name, self.other)


class Declared(Struct, frozen=True):
    """The stage that an event of a type declares, except where one of the stages `unless` says as much already.

    Without a confidence of its own it has that of events.
    """

    stage: str
    confidence: float | None = None
    unless: tuple[str, ...] = ()


def _declared() -> dict[str, Declared]:
    return {
        "life.marriage": Declared("married", unless=("parent", "family", "retired")),
        "life.childbirth": Declared("parent", unless=("family",)),
        "life.retirement": Declared("retired"),
    }


class Evidence(Struct, frozen=True):
    """How much a kind of evidence is worth.

    What is said within `holds_days` of it speaks of the same time: the higher rank is believed. What is said later
    counts whatever its rank, for life goes on.
    """

    rank: int
    confidence: float
    holds_days: int = 0


class LifeStages(Struct, frozen=True):
    """What declares a stage of life, and whom to believe.

    hand   somebody set it for the customer
    rule   a rule set it
    event  an event of a type in `events` declared it
    said   a source gives it as a trait
    """

    events: dict[str, Declared] = field(default_factory=_declared)
    hand: Evidence = Evidence(4, 1.0, 7)
    rule: Evidence = Evidence(3, 0.8, 1)
    event: Evidence = Evidence(2, 0.9, 1)
    said: Evidence = Evidence(1, 0.5)

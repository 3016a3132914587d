"""What would the gates have done to these firings, had they been triggers of this campaign? The live gates. Pure.

Each person's firings are looked at in order of time, a deferred one again at its release. Caps count the contacts that
the simulation itself makes and the real ones of that time by other campaigns. A message is taken to be delivered at the
moment of its decision. Persons do not touch one another, so pages may be added up as long as none splits a person.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from services.campaign.caps import Contact
from services.campaign.facts import Person
from services.campaign.policy import DEFER, GATES, PASS, Campaign, Company, Decision, Situation, evaluate

ASSUMES = (
    "consents, suppressions, addresses, places and switches are as they are now: what they were when the rule fired is "
    "not known to the gates",
    "every message is delivered at the moment of its decision",
    "contacts by other campaigns are those that happened; those of this campaign are the simulated ones alone",
    "no other campaign is decided differently for it",
)

GATE_NAMES = tuple(gate.__name__ for gate in GATES)


class Firing(NamedTuple):
    customer_id: str
    person_id: str
    at: datetime


class PastContact(Struct, frozen=True):
    """A contact that happened: reserved, and settled at some time or not yet; `contacted` says how that ended."""

    campaign_id: str
    channel: str
    class_: str
    reserved_at: datetime
    settled_at: datetime | None
    contacted: bool

    def as_of(self, now: datetime) -> Contact | None:
        """How it counted at that instant; None where it did not."""
        if self.reserved_at > now:
            return None
        pending = self.settled_at is None or self.settled_at > now
        if not pending and not self.contacted:
            return None
        at = self.reserved_at if self.settled_at is None else self.settled_at
        return Contact(self.campaign_id, self.channel, self.class_, at, pending)


class Known(NamedTuple):
    """What the gates look at: `people` by the customer id of a firing, `contacts` by record."""

    people: Mapping[str, Person]
    contacts: Mapping[str, Sequence[PastContact]]
    switched_off: frozenset[str]
    company: Company


class Fate(Struct, frozen=True):
    """What became of a firing; `waited` names the gates that deferred it before."""

    firing: Firing
    decision: Decision
    decided_at: datetime
    waited: tuple[str, ...]
    consent_is_newer: bool


class GateCount(Struct, frozen=True):
    """Of the firings that came to a gate in the end, how many it stopped and why; `deferred` counts its deferrals."""

    gate: str
    reached: int
    stopped: int
    deferred: int
    reasons: dict[str, int]


class DayCount(Struct, frozen=True):
    """A day of the company's zone on which it would have been decided."""

    day: date
    channel: str
    contact: int
    holdout: int
    denied: int


class Results(Struct, frozen=True):
    """`deferred` are firings that waited before they got their outcome; `people` are persons contacted.

    `consent_is_newer` counts contacts that rest on a consent which was given after the firing.
    """

    firings: int
    people: int
    outcomes: dict[str, int]
    deferred: int
    consent_is_newer: int
    gates: list[GateCount]
    days: list[DayCount]


def simulate(campaign: Campaign, firings: Iterable[Firing], known: Known) -> list[Fate]:
    """Person by person, in the order in which they first fired."""
    by_person: dict[str, list[Firing]] = {}
    for firing in sorted(firings, key=lambda each: (each.at, each.customer_id)):
        by_person.setdefault(known.people[firing.customer_id].id, []).append(firing)
    return [fate for each in by_person.values() for fate in _of_person(campaign, each, known)]


def results_of(campaign: Campaign, fates: Sequence[Fate], zone: ZoneInfo, known: Known) -> Results:
    contacted = {known.people[each.firing.customer_id].id for each in fates if each.decision.outcome == "contact"}
    return Results(
        firings=len(fates),
        people=len(contacted),
        outcomes=dict(sorted(Counter(each.decision.outcome for each in fates).items())),
        deferred=sum(1 for each in fates if each.waited),
        consent_is_newer=sum(1 for each in fates if each.consent_is_newer),
        gates=_gates(fates),
        days=_days(campaign, fates, zone),
    )


def examples_of(fates: Iterable[Fate], per_gate: int) -> list[Fate]:
    """Some of each end, of each gate that decided it."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for fate in fates:
        end = (fate.decision.outcome, fate.decision.gate)
        seen[end] += 1
        if seen[end] <= per_gate:
            found.append(fate)
    return found


class _Turn(NamedTuple):
    """When a firing is looked at; of one instant those first that fired first."""

    at: datetime
    number: int
    firing: Firing
    waited: tuple[str, ...]


def _of_person(campaign: Campaign, firings: Sequence[Firing], known: Known) -> list[Fate]:
    turns = [_Turn(firing.at, number, firing, ()) for number, firing in enumerate(firings)]
    made: list[Contact] = []
    fates = []
    while turns:
        turn = heapq.heappop(turns)
        decision = evaluate(_situation(campaign, turn, made, known))
        if decision.defer_until is not None:
            heapq.heappush(turns, turn._replace(at=decision.defer_until, waited=(*turn.waited, decision.gate)))
            continue
        if decision.outcome == "contact":
            made.append(Contact(campaign.id, campaign.channel, campaign.class_, turn.at))
        fates.append(_fate(campaign, turn, decision, known))
    return fates


def _situation(campaign: Campaign, turn: _Turn, made: Sequence[Contact], known: Known) -> Situation:
    person = known.people[turn.firing.customer_id]
    real = [
        contact
        for id in person.ids
        for each in known.contacts.get(id, ())
        if each.campaign_id != campaign.id and (contact := each.as_of(turn.at)) is not None
    ]
    return Situation(
        person_id=person.id,
        occurred_at=turn.firing.at,
        campaign=campaign,
        active=True,
        facts=person.facts,
        contacts=[*real, *made],
        switched_off=known.switched_off,
        company=known.company,
        now=turn.at,
    )


def _fate(campaign: Campaign, turn: _Turn, decision: Decision, known: Known) -> Fate:
    said = known.people[turn.firing.customer_id].facts.said.get(campaign.channel)
    newer = decision.outcome == "contact" and said is not None and said.at > turn.firing.at
    return Fate(turn.firing, decision, turn.at, turn.waited, newer)


def _gates(fates: Sequence[Fate]) -> list[GateCount]:
    reached: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    deferred: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for fate in fates:
        deferred.update(fate.waited)
        for verdict in fate.decision.trace:
            reached[verdict.gate] += 1
            if verdict.verdict not in (PASS, DEFER):
                stopped[verdict.gate] += 1
                reasons.setdefault(verdict.gate, Counter())[verdict.detail] += 1
    return [
        GateCount(name, reached[name], stopped[name], deferred[name], dict(sorted(reasons.get(name, {}).items())))
        for name in GATE_NAMES
    ]


def _days(campaign: Campaign, fates: Sequence[Fate], zone: ZoneInfo) -> list[DayCount]:
    counts: dict[date, Counter[str]] = {}
    for fate in fates:
        counts.setdefault(fate.decided_at.astimezone(zone).date(), Counter())[fate.decision.outcome] += 1
    return [
        DayCount(day, campaign.channel, each["contact"], each["holdout"], each["denied"])
        for day, each in sorted(counts.items())
    ]

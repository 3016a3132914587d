"""What follows from a batch of occasions? Decisions, reservations, timers and facts. Pure.

An occasion is a trigger for one campaign. Occasions of one batch see the contacts that those before them
reserved, so a hundred triggers at once are treated like a hundred in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.common import clock
from libs.common.errors import Poison
from libs.common.events import ContactRequested, Decided, Fact, RuleTriggered
from libs.common.timers import Timer
from services.campaign.caps import Contact
from services.campaign.document import Library
from services.campaign.facts import Person, Record, facts_of, person_of
from services.campaign.policy import Campaign, Company, Decision, Situation, conditions, evaluate

FIRST_STEP = 0
RESERVATION = "reservation:"
"""Begins the key of a timer that gives a reservation back; that of a deferred decision is the bare id."""

RESERVATION_GRACE = timedelta(days=1)
"""How long after a message's last moment an answer from delivery is still waited for."""


class Occasion(Struct, frozen=True):
    """`active` is false when the campaign was paused or retired while the decision was deferred."""

    trigger: RuleTriggered
    campaign: Campaign
    active: bool = True

    @property
    def decision_id(self) -> UUID:
        return clock.derived_id("decision", self.trigger.trigger_id, self.campaign.id, FIRST_STEP)


class Deferral(Struct, frozen=True):
    """What a deferred decision needs at its release: the payload of its timer."""

    trigger: RuleTriggered
    campaign: Campaign


class Known(NamedTuple):
    """What a batch is decided on: `people` by trigger id, `contacts` by customer id."""

    people: Mapping[str, Person]
    contacts: Mapping[str, Sequence[Contact]]
    switched_off: frozenset[str]
    company: Company
    now: datetime


class Reservation(NamedTuple):
    message_id: UUID
    customer_id: str
    person_id: str
    contact: Contact
    valid_until: datetime


class Outcome(NamedTuple):
    """One occasion, decided. `reservation` is there exactly when the person is to be contacted."""

    occasion: Occasion
    decision_id: UUID
    situation: Situation
    decision: Decision
    reservation: Reservation | None


def occasions_of(triggers: Sequence[RuleTriggered], library: Library) -> dict[UUID, Occasion]:
    """Every trigger with each campaign bound to it, the most important first; a repeated one counts once."""
    found: dict[UUID, Occasion] = {}
    for trigger in triggers:
        if trigger.occurred_at.tzinfo is None:
            raise Poison(f"occurred_at of trigger {trigger.trigger_id} has no offset")
        for campaign in library.by_trigger.get(trigger.trigger, ()):
            occasion = Occasion(trigger, campaign)
            found.setdefault(occasion.decision_id, occasion)
    return found


def released(deferral: Deferral, library: Library) -> Occasion:
    """The occasion as it is today: the campaign's version in force, or else the old one, no more active."""
    campaign = library.by_id.get(deferral.campaign.id)
    if campaign is None:
        return Occasion(deferral.trigger, deferral.campaign, active=False)
    return Occasion(deferral.trigger, campaign)


def decide(occasions: Mapping[UUID, Occasion], known: Known) -> list[Outcome]:
    contacts = {customer_id: list(each) for customer_id, each in known.contacts.items()}
    outcomes = []
    for decision_id, occasion in occasions.items():
        outcome = _decide_one(decision_id, occasion, known, contacts)
        if outcome.reservation is not None:
            contacts.setdefault(occasion.trigger.customer_id, []).append(outcome.reservation.contact)
        outcomes.append(outcome)
    return outcomes


def people_of(occasions: Iterable[Occasion], records: Mapping[str, Record]) -> dict[str, Person]:
    triggers = {occasion.trigger.trigger_id: occasion.trigger for occasion in occasions}
    return {
        trigger_id: Person(person_of(trigger, records), *facts_of(trigger, records))
        for trigger_id, trigger in triggers.items()
    }


def facts_from(outcomes: Sequence[Outcome]) -> list[Fact]:
    found: list[Fact] = []
    for outcome in outcomes:
        found.append(_decided(outcome))
        if outcome.reservation is not None:
            found.append(_requested(outcome, outcome.reservation))
    return found


def timers_from(outcomes: Sequence[Outcome]) -> list[Timer]:
    found = []
    for outcome in outcomes:
        until = outcome.decision.defer_until
        if until is not None:
            payload = msgspec.json.encode(Deferral(outcome.occasion.trigger, outcome.occasion.campaign))
            found.append(Timer(str(outcome.decision_id), until, payload))
        if outcome.reservation is not None:
            key = f"{RESERVATION}{outcome.reservation.message_id}"
            found.append(Timer(key, outcome.reservation.valid_until + RESERVATION_GRACE))
    return found


def _decide_one(
    decision_id: UUID, occasion: Occasion, known: Known, contacts: Mapping[str, Sequence[Contact]]
) -> Outcome:
    trigger, campaign = occasion.trigger, occasion.campaign
    person = known.people[trigger.trigger_id]
    situation = Situation(
        person_id=person.id,
        occurred_at=trigger.occurred_at,
        campaign=campaign,
        active=occasion.active,
        facts=person.facts,
        contacts=[contact for each in person.ids for contact in contacts.get(each, ())],
        switched_off=known.switched_off,
        company=known.company,
        now=known.now,
    )
    decision = evaluate(situation)
    reservation = None
    if decision.outcome == "contact":
        contact = Contact(campaign.id, campaign.channel, campaign.class_, known.now, pending=True)
        message_id = clock.derived_id("message", decision_id, campaign.channel)
        reservation = Reservation(message_id, trigger.customer_id, person.id, contact, situation.valid_until)
    return Outcome(occasion, decision_id, situation, decision, reservation)


def _decided(outcome: Outcome) -> Decided:
    trigger, campaign, decision = outcome.occasion.trigger, outcome.occasion.campaign, outcome.decision
    return Decided(
        decision_id=str(outcome.decision_id),
        trigger_id=trigger.trigger_id,
        campaign_id=campaign.id,
        campaign_version=campaign.version,
        customer_id=trigger.customer_id,
        person_id=outcome.situation.person_id,
        outcome=decision.outcome,
        gate=decision.gate,
        trace=decision.trace,
        decided_at=outcome.situation.now,
        channel=campaign.channel,
        cost=campaign.cost if outcome.reservation is not None else "0",
        event_id=trigger.event_id,
        rule_id=trigger.rule_id,
        reason=trigger.reason,
    )


def _requested(outcome: Outcome, reservation: Reservation) -> ContactRequested:
    trigger, campaign = outcome.occasion.trigger, outcome.occasion.campaign
    return ContactRequested(
        message_id=str(reservation.message_id),
        decision_id=str(outcome.decision_id),
        campaign_id=campaign.id,
        customer_id=trigger.customer_id,
        person_id=outcome.situation.person_id,
        channel=campaign.channel,
        template=campaign.template,
        class_=campaign.class_,
        conditions=conditions(outcome.situation),
        requested_at=outcome.situation.now,
        trigger_id=trigger.trigger_id,
        values=trigger.include,
        event_id=trigger.event_id,
        received_ms=trigger.received_ms,
    )

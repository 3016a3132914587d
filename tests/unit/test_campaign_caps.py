"""Can any order of triggers, deliveries, refusals and time make contacts exceed a cap? A machine tries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from services.campaign import decisions
from services.campaign.caps import Cap, Contact
from services.campaign.document import Library
from services.campaign.facts import Record
from services.campaign.policy import Company
from tests.campaign_situations import NOON, campaign, record, trigger

RECORDS = ("c1", "c2")
WINDOW = timedelta(hours=12)
COMPANY = Company("Asia/Seoul", {"marketing": Cap(3, WINDOW)})
CAMPAIGNS = [
    campaign(id="spring", cap=Cap(2, WINDOW)),
    campaign(id="summer", cap=Cap(2, timedelta(hours=5))),
    campaign(id="receipt", class_="transactional"),
]
LIBRARY = Library({each.id: each for each in CAMPAIGNS}, {"offer.spring": CAMPAIGNS})


class Happened(NamedTuple):
    at: datetime
    campaign_id: str


class CapMachine(RuleBasedStateMachine):
    """One person with two records. The model knows only what was sent, and looks at every window of it."""

    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.fired = 0
        self.reserved: dict[UUID, tuple[str, Contact]] = {}
        self.sent: list[Happened] = []
        self.records: dict[str, Record] = {each: record(linked=RECORDS) for each in RECORDS}

    @rule(target=messages, count=st.integers(1, 12), which=st.sampled_from(RECORDS))
    def fire(self, count: int, which: str) -> list[UUID]:
        triggers = [
            trigger(self.fired + number, which, occurred_at=self.now, linked=list(RECORDS), person_id="p")
            for number in range(count)
        ]
        self.fired += count
        occasions = decisions.occasions_of(triggers, LIBRARY)
        contacts: dict[str, list[Contact]] = {}
        for customer_id, contact in self.reserved.values():
            contacts.setdefault(customer_id, []).append(contact)
        people = decisions.people_of(occasions.values(), self.records)
        known = decisions.Known(people, contacts, frozenset(), COMPANY, self.now)
        made = [each.reservation for each in decisions.decide(occasions, known) if each.reservation is not None]
        self.reserved |= {each.message_id: (each.customer_id, each.contact) for each in made}
        return [each.message_id for each in made]

    @rule(minutes=st.integers(1, 60 * 30))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(message_ids=consumes(messages), contacted=st.booleans())
    def settle(self, message_ids: list[UUID], contacted: bool) -> None:
        """Delivery takes its time: by now it may be days later."""
        for message_id in message_ids:
            customer_id, contact = self.reserved.pop(message_id)
            if contacted:
                self.sent.append(Happened(self.now, contact.campaign_id))
                settled = Contact(contact.campaign_id, contact.channel, contact.class_, self.now)
                self.reserved[message_id] = (customer_id, settled)

    @invariant()
    def no_window_holds_more_than_its_cap(self) -> None:
        marketing = [each for each in self.sent if each.campaign_id != "receipt"]
        for start in {each.at for each in marketing}:
            for ids, times, per in (
                ({"spring"}, 2, WINDOW),
                ({"summer"}, 2, timedelta(hours=5)),
                ({"spring", "summer"}, 3, WINDOW),
            ):
                inside = [each for each in marketing if each.campaign_id in ids and start <= each.at < start + per]
                assert len(inside) <= times, (ids, inside)


CapMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestNoOrderOfThingsExceedsACap = CapMachine.TestCase


def test_a_hundred_triggers_at_once_make_no_more_contacts_than_the_cap() -> None:
    only = campaign(cap=Cap(1, timedelta(days=7)))
    library = Library({only.id: only}, {"offer.spring": [only]})
    occasions = decisions.occasions_of([trigger(number) for number in range(100)], library)
    people = decisions.people_of(occasions.values(), {"c1": record()})
    known = decisions.Known(people, {}, frozenset(), COMPANY, NOON)
    outcomes = [each.decision for each in decisions.decide(occasions, known)]
    assert [each.outcome for each in outcomes].count("contact") == 1
    assert [(each.outcome, each.gate) for each in outcomes].count(("denied", "cap")) == 99

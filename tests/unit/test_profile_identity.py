"""Does an event find its person, and do two persons become one only when that is proven?"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.profile.identity import Assignment, Directory, Findings, Person, assign, keys_of
from services.profile.normal import normalised


class World:
    """A directory that lives through several events."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.findings = Findings()
        self.count = 0

    def meet(self, **identifiers: str) -> Assignment:
        self.count += 1
        keys = keys_of(identifiers)
        return assign(f"e{self.count}", keys, lambda: f"r{self.count}", self.directory, self.findings)


def test_the_same_identifier_finds_the_same_record() -> None:
    world = World()
    first = world.meet(loyalty_card="1")
    assert world.meet(loyalty_card="1").record == first.record
    assert world.meet(loyalty_card="2").record != first.record


def test_an_event_is_kept_under_its_strongest_identifier() -> None:
    world = World()
    card, mail = world.meet(loyalty_card="1"), world.meet(email="a@b.kr")
    both = world.meet(email="a@b.kr", loyalty_card="1")
    assert both.record == card.record
    assert set(both.records) == {card.record, mail.record}


def test_two_customers_proven_the_same_become_one_person_with_evidence() -> None:
    world = World()
    card, phone = world.meet(loyalty_card="1"), world.meet(phone="+821012345678")
    world.meet(loyalty_card="1", phone="+821012345678")
    [link] = world.findings.links
    assert link.evidence == ("loyalty_card:1", "phone:+821012345678")
    assert world.meet(phone="+821012345678").person == world.meet(loyalty_card="1").person
    assert {card.record, phone.record} == set(world.meet(loyalty_card="1").records)


def test_a_merge_moves_no_identifier_to_another_record() -> None:
    world = World()
    phone = world.meet(phone="+821012345678")
    world.meet(loyalty_card="1")
    world.meet(loyalty_card="1", phone="+821012345678")
    assert world.meet(phone="+821012345678").record == phone.record


def test_a_cookie_of_somebody_else_does_not_make_two_customers_one() -> None:
    """Two people shop on one family computer."""
    world = World()
    one = world.meet(account="one", cookie="shared")
    two = world.meet(account="two", cookie="shared")
    assert one.person != two.person
    assert world.findings.links == []


def test_an_anonymous_visitor_becomes_the_customer_who_signs_in() -> None:
    world = World()
    visitor = world.meet(cookie="c")
    customer = world.meet(account="one")
    both = world.meet(account="one", cookie="c")
    assert set(both.records) == {visitor.record, customer.record}
    assert world.meet(cookie="c").person == customer.person or world.meet(account="one").person == visitor.person


def test_people_with_two_accounts_stay_two_behind_one_phone() -> None:
    world = World()
    one = world.meet(account="one", phone="+821012345678")
    two = world.meet(account="two")
    shared = world.meet(account="two", phone="+821012345678")
    assert shared.person == two.person != one.person


def test_a_new_account_behind_a_known_phone_is_a_new_customer() -> None:
    world = World()
    one = world.meet(account="one", phone="+821012345678")
    two = world.meet(account="two", phone="+821012345678")
    assert two.person != one.person
    assert world.meet(account="two").person == two.person
    assert world.meet(phone="+821012345678").person == one.person


kinds = st.sampled_from(["account", "loyalty_card", "phone", "email", "device", "cookie"])
event = st.dictionaries(kinds, st.sampled_from("abc"), min_size=1, max_size=4)


@given(st.lists(event, max_size=12))
def test_every_record_belongs_to_one_person_and_no_person_has_two_accounts(events: Sequence[dict[str, str]]) -> None:
    world = World()
    for identifiers in events:
        found = world.meet(**identifiers)
        assert found.record in found.records
    people = {id(person): person for person in world.directory.person_of.values()}.values()
    records = [record for person in people for record in person.records]
    assert len(records) == len(set(records)) == len(world.directory.person_of)
    for person in people:
        accounts = {key for key in person.keys if key.startswith("account:")}
        assert len(accounts) <= 1


def test_a_person_known_before_the_batch_keeps_its_id_in_a_merge() -> None:
    world = World()
    old = Person("zz", ["zz"], {"email:a@b.kr"})
    world.directory.add(old, {"email:a@b.kr": "zz"})
    world.meet(loyalty_card="1")
    assert world.meet(loyalty_card="1", email="a@b.kr").person == "zz"


def test_identifiers_are_compared_in_one_form() -> None:
    sent = {"phone": "010-1234-5678", "email": " Kim@Example.KR ", "loyalty_card": " 88-01 ", "cookie": "  "}
    assert normalised(sent, "KR") == {
        "phone": "+821012345678",
        "email": "kim@example.kr",
        "loyalty_card": "88-01",
    }


def test_a_phone_that_is_no_number_is_kept_as_it_came() -> None:
    assert normalised({"phone": "extension 12"}, "KR") == {"phone": "extension 12"}

"""Does an event find its person, and do two persons become one only when that is proven?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import clock
from services.profile.identity import Directory, Findings, IdentityRules, Named, Person, Table, assign
from services.profile.person import Customer, join
from tests.profile_world import PHONE, World


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
    card, phone = world.meet(loyalty_card="1"), world.meet(phone=PHONE)
    world.meet(loyalty_card="1", phone=PHONE)
    [link] = world.standing
    assert link.evidence == ("loyalty_card:1", f"phone:{PHONE}")
    assert (link.one, link.other, link.event_id) == (card.record, phone.record, "e3")
    assert world.meet(phone=PHONE).person == world.meet(loyalty_card="1").person == card.record


def test_what_is_said_again_is_no_second_link_and_what_is_new_is_one() -> None:
    world = World()
    world.meet(loyalty_card="1")
    world.meet(phone=PHONE, email="a@b.kr")
    world.meet(loyalty_card="1", phone=PHONE)
    world.meet(loyalty_card="1", phone=PHONE)
    assert len(world.standing) == 1
    world.meet(loyalty_card="1", email="a@b.kr")
    assert [link.evidence[1] for link in world.standing] == [f"phone:{PHONE}", "email:a@b.kr"]


def test_a_merge_moves_no_identifier_to_another_record() -> None:
    world = World()
    phone = world.meet(phone=PHONE)
    world.meet(loyalty_card="1")
    world.meet(loyalty_card="1", phone=PHONE)
    assert world.meet(phone=PHONE).record == phone.record


def test_a_cookie_of_somebody_else_does_not_make_two_customers_one() -> None:
    """Two people shop on one family computer."""
    world = World()
    one = world.meet(account="one", cookie="shared")
    two = world.meet(account="two", cookie="shared")
    assert one.person != two.person
    assert world.standing == []


def test_a_device_with_two_browsers_does_not_make_their_owners_one() -> None:
    world = World()
    one, two = world.meet(phone=PHONE, cookie="c1"), world.meet(phone="+821099998888", cookie="c2")
    world.meet(device="tablet", cookie="c1")
    world.meet(device="tablet", cookie="c2")
    assert world.person(one.record) != world.person(two.record)
    assert world.counts["session"] == 1


def test_an_anonymous_visitor_becomes_the_customer_who_signs_in() -> None:
    world = World()
    visitor = world.meet(cookie="c")
    customer = world.meet(account="one")
    both = world.meet(account="one", cookie="c")
    assert set(both.records) == {visitor.record, customer.record}
    assert both.person == visitor.record, "a person's id is that of the eldest record"


def test_a_browsers_own_word_joins_nobody_and_what_was_proven_does() -> None:
    world = World()
    cookie, device = world.meet(cookie="c"), world.meet(device="d")
    world.meet(public=True, cookie="c", device="d")
    assert world.person(cookie.record) != world.person(device.record)
    assert world.counts["unproven"] == 1
    customer = world.meet(account="one")
    world.meet(public=True, account="one", cookie="c")
    assert world.person(cookie.record) == world.person(customer.record)


def test_a_server_that_names_both_may_join_two_anonymous_visitors() -> None:
    world = World()
    cookie, device = world.meet(cookie="c"), world.meet(device="d")
    world.meet(cookie="c", device="d")
    assert world.person(cookie.record) == world.person(device.record)


def test_people_with_two_accounts_stay_two_behind_one_phone() -> None:
    world = World()
    one = world.meet(account="one", phone=PHONE)
    two = world.meet(account="two")
    shared = world.meet(account="two", phone=PHONE)
    assert shared.person == two.person != one.person


def test_a_new_account_behind_a_known_phone_is_a_new_customer() -> None:
    world = World()
    one = world.meet(account="one", phone=PHONE)
    two = world.meet(account="two", phone=PHONE)
    assert two.person != one.person
    assert world.meet(account="two").person == two.person
    assert world.meet(phone=PHONE).person == one.person, "it stays with its first owner"


def test_a_phone_that_was_seen_with_two_accounts_joins_nobody_any_more() -> None:
    world = World()
    owner = world.meet(account="one", phone=PHONE)
    world.meet(account="two", phone=PHONE)
    card = world.meet(loyalty_card="9", phone=PHONE)
    assert card.person not in (owner.person, world.meet(account="two").person)
    mail = world.meet(email="a@b.kr")
    assert world.meet(email="a@b.kr", phone=PHONE).person == mail.person
    assert world.meet(phone=PHONE, cookie="new").person == owner.person, "nothing else says who it is"


def test_a_card_that_was_seen_with_two_accounts_is_a_mistake_and_keeps_its_owner() -> None:
    world = World()
    owner = world.meet(account="one", loyalty_card="9")
    assert world.meet(account="two", loyalty_card="9").person != owner.person
    assert world.meet(loyalty_card="9", phone=PHONE).person == owner.person


def test_a_phone_between_two_people_with_accounts_is_shared_from_then_on() -> None:
    world = World()
    one = world.meet(account="one", loyalty_card="1")
    two = world.meet(account="two", phone=PHONE)
    assert world.meet(loyalty_card="1", phone=PHONE).person == one.person != two.person
    assert world.directory.silent == {f"phone:{PHONE}"}


def test_one_identifier_too_many_is_noted_and_joins_nobody() -> None:
    world = World(limit=3)
    for number in range(5):
        owner = world.meet(loyalty_card="1", email=f"{number}@b.kr")
    assert world.counts["over_limit"] == 2
    assert world.meet(email="4@b.kr").record == owner.record, "it is known whose it is"
    other = world.meet(loyalty_card="2")
    assert world.meet(loyalty_card="2", email="4@b.kr").person == other.person
    assert world.person(other.record) != world.person(owner.record)


def test_people_who_have_more_than_one_may_have_together_stay_apart() -> None:
    """A number that a till types in for everybody who leaves none."""
    world = World(limit=3)
    for number in range(6):
        world.meet(loyalty_card=f"{number}")
    people = {world.meet(loyalty_card=f"{number}", phone="+821000000000").person for number in range(6)}
    assert max(len(person.records) for person in world.directory.person_of.values()) == 3
    assert len(people) > 1 and world.counts["too_many:loyalty_card"] == 3


def test_a_value_of_a_partner_counts_for_that_partner_alone() -> None:
    table = Table(IdentityRules())
    assert table.keys_of({"device": "d", "partner:mall": "1", "email": "e", "account": "a"}) == [
        "account:a",
        "email:e",
        "partner:mall:1",
        "device:d",
    ]
    assert table.of("partner:mall").limit == 10
    with_mall = msgspec.convert({"types": [{"type": "partner:mall", "unique": True}]}, IdentityRules)
    assert Table(with_mall).uniques_of(["partner:mall:1", "partner:air:2"]) == {"partner:mall": "partner:mall:1"}


def test_our_own_id_of_a_customer_finds_them_whatever_another_system_calls_them() -> None:
    world = World()
    known = world.meet(customer_id="crm-7", phone=PHONE)
    world.directory.record_of[f"customer_id:{known.record}"] = known.record
    world.directory.own.add(f"customer_id:{known.record}")
    assert world.meet(customer_id=known.record, phone=PHONE).record == known.record
    assert world.counts == {}


kinds = st.sampled_from(["account", "loyalty_card", "phone", "email", "device", "cookie"])
event = st.dictionaries(kinds, st.sampled_from("abc"), min_size=1, max_size=4)


@given(st.lists(event, max_size=12))
def test_every_record_belongs_to_one_person_and_no_person_has_two_accounts(events: Sequence[dict[str, str]]) -> None:
    world = World()
    for identifiers in events:
        found = world.take(f"e{world.number}", identifiers)
        assert found.record in found.records
    people = world.people()
    records = [record for person in people for record in person.records]
    assert len(records) == len(set(records)) == len(world.directory.person_of)
    for person in people:
        assert person.id == person.records[0] == min(person.records, key=world.directory.born.__getitem__)
        assert len([key for key in person.keys if key.startswith("account:")]) <= 1


def test_a_person_known_before_the_batch_keeps_its_id_in_a_merge() -> None:
    directory, findings = Directory(), Findings(clock.now())
    directory.add(Person("zz", ["zz"], {"email:a@b.kr"}), {"zz": (clock.from_ms(0), "zz")})
    directory.record_of["email:a@b.kr"] = "zz"
    table = Table(IdentityRules())
    assign(Named("1", ["loyalty_card:1"], lambda: "aa"), table, directory, findings)
    assign(Named("2", ["loyalty_card:1", "email:a@b.kr"], lambda: "bb"), table, directory, findings)
    assert directory.person_of["aa"].id == "zz"
    assert findings.touched == {"zz"}, "who is new cannot be met by anybody else yet"


@pytest.mark.parametrize("older", [(), ("r1", "r2", "r3"), ("r1", "r2")])
def test_the_higher_revision_is_true_however_short_its_list(older: Sequence[str]) -> None:
    customer = Customer("r1")
    join(customer, "r1", older, 3)
    assert join(customer, "r1", ["r1", "r2", "r3"], 2) is False
    assert join(customer, "r9", ["r1", "r9"], 4) is True
    assert join(customer, "r1", [], 5) is True
    assert (customer.person_id, customer.linked, customer.links_revision) == ("r1", [], 5)
    assert join(customer, "r1", ["r1", "r2"], 5) is False


def test_what_was_identified_before_there_were_revisions_only_grows() -> None:
    customer = Customer("r1")
    assert join(customer, "r1", ["r1", "r2"], 0) is True
    assert join(customer, "r1", [], 0) is False
    assert customer.linked == ["r1", "r2"]

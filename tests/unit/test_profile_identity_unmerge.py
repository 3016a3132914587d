"""Does taking a merge back give exactly the two customers of before, and does the order of arrival matter to anybody?

No guard fired means that `World.counts` is empty: nobody was kept apart by different accounts, by a cookie or a device,
by a shared telephone, by a limit or by an earlier parting. Where one fired, the order of arrival decides, and must: of
two accounts behind one telephone the first one has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.profile import person
from services.profile.identity import components
from services.profile.normal import normalised
from services.profile.person import Customer, Definitions, Moment, Occurrence
from tests.profile_world import PHONE, World

DEFINED = Definitions()
TODAY = Moment(740_000, DEFINED)
Happening = Mapping[str, str]

KINDS = ("account", "loyalty_card", "phone", "email", "partner:mall", "device", "cookie")


def _all(kinds: Sequence[str], values: Sequence[str], most: int) -> list[Happening]:
    """Every event that names up to so many of these kinds."""
    return [
        dict(zip(chosen, given, strict=True))
        for count in range(1, most + 1)
        for chosen in combinations(kinds, count)
        for given in product(values, repeat=count)
    ]


def _own(kinds: Sequence[str]) -> list[Happening]:
    """Events of three people, none of whom has anything of another, and each of whom has one account."""
    events = [
        {kind: who if kind == "account" else who + value for kind, value in event.items()}
        for who in "xyz"
        for event in _all(kinds, "12", 3)
    ]
    return list({tuple(event.items()): event for event in events}.values())


# One draw makes one event: thousands of histories of a dozen events take seconds.
anything = st.sampled_from(_all(KINDS, "abcd", 3))
of_people = st.lists(st.sampled_from(_own(KINDS[:5])), min_size=1, max_size=14)
of_visitors = st.lists(st.sampled_from(_own(KINDS)), min_size=1, max_size=14)


def lived(events: Sequence[tuple[int, Happening]]) -> tuple[World, dict[int, str]]:
    """A world after these events, and the record that each is kept under; an event keeps its number in any order."""
    world = World()
    return world, {number: world.take(f"e{number}", identifiers).record for number, identifiers in events}


def hanging_together(events: Sequence[Happening]) -> set[frozenset[str]]:
    """What somebody would say who knows of no guards: identifiers in one event are one person's."""
    groups: list[set[str]] = []
    for identifiers in events:
        keys = {f"{kind}:{value}" for kind, value in identifiers.items()}
        for group in [group for group in groups if group & keys]:
            groups.remove(group)
            keys |= group
        groups.append(keys)
    return {frozenset(group) for group in groups}


def occurrence(number: int, identifiers: Happening) -> Occurrence:
    kind, data = (
        ("purchase", {"amount": 100 + number, "currency": "KRW", "order_id": f"o{number}"}),
        ("identify", {"traits": {"tier": f"t{number}"}}),
        ("consent_given" if number % 2 else "consent_withdrawn", {"channel": "sms"}),
    )[number % 3]
    at_ms = 1_700_000_000_000 + number * 7_000_000
    sent = normalised({kind: value * 5 for kind, value in identifiers.items()}, "KR")
    return Occurrence(kind, at_ms, "test", f"e{number}", data, sent, "pos", received_ms=at_ms)


def states(events: Sequence[tuple[int, Happening]], kept: Mapping[int, str]) -> dict[str, Customer]:
    held: dict[str, Customer] = {}
    for number, identifiers in events:
        record = kept[number]
        person.apply(held.setdefault(record, Customer(record)), occurrence(number, identifiers), DEFINED)
    return held


def views(world: World, held: Mapping[str, Customer]) -> dict[frozenset[str], dict[str, Any]]:
    """What is seen of each person, by all their identifiers; the version is left out: it counts changes of a record."""
    found = {}
    for each in world.people():
        keys = frozenset(key for key, record in world.directory.record_of.items() if record in each.records)
        view = person.view([held[record] for record in each.records], TODAY)
        found[keys] = {name: value for name, value in view.items() if name != "version"}
    return found


@settings(max_examples=500, deadline=None)
@given(of_people, st.randoms(use_true_random=False))
def test_the_order_of_arrival_decides_nothing_between_people_whom_no_guard_keeps_apart(
    events: list[Happening], chance: Any
) -> None:
    """The persons are the same, and so is what is seen of each. Which of a person's records an event is kept under does
    depend on the order: a record begins with the first event that names nobody who is known yet."""
    numbered = list(enumerate(events))
    shuffled = chance.sample(numbered, len(numbered))
    world, kept = lived(numbered)
    other, kept_there = lived(shuffled)
    assert not world.counts and not other.counts, "nothing here gives a guard a reason"
    assert world.partition() == other.partition() == hanging_together(events)
    assert views(world, states(numbered, kept)) == views(other, states(shuffled, kept_there))


@settings(max_examples=500, deadline=None)
@given(of_visitors | st.lists(anything, min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_with_browsers_and_with_accounts_the_order_decides_only_where_a_guard_fired(
    events: list[Happening], chance: Any
) -> None:
    numbered = list(enumerate(events))
    world, _ = lived(numbered)
    other, _ = lived(chance.sample(numbered, len(numbered)))
    if not world.counts:
        assert world.partition() == hanging_together(events)
    if not other.counts:
        assert other.partition() == hanging_together(events)


@settings(max_examples=500, deadline=None)
@given(st.lists(anything, min_size=2, max_size=12), st.data())
def test_a_merge_by_hand_that_is_taken_back_leaves_everything_as_it_was(
    events: list[Happening], data: st.DataObject
) -> None:
    numbered = list(enumerate(events))
    world, kept = lived(numbered)
    people = sorted(world.people(), key=lambda each: each.id)
    assume(len(people) > 1)
    one, other = data.draw(st.permutations(people))[:2]
    mine, theirs = data.draw(st.sampled_from(one.records)), data.draw(st.sampled_from(other.records))
    before, seen = world.snapshot(), views(world, states(numbered, kept))
    taken = list(other.records)
    outcome = world.order("link", mine, theirs)
    if outcome:
        assert outcome.startswith(("different", "too_many")) and world.snapshot() == before
        return
    assert world.person(mine) == world.person(theirs)
    assert world.order("unlink", mine, *taken) == ""
    assert world.snapshot() == before
    assert views(world, states(numbered, kept)) == seen


@settings(max_examples=500, deadline=None)
@given(of_people, of_people, st.data())
def test_what_comes_between_a_merge_and_its_taking_back_goes_where_its_identifiers_say(
    events: list[Happening], between: list[Happening], data: st.DataObject
) -> None:
    """As in a world in which nobody ever merged them, unless that world itself learned that they are one."""
    before, after = list(enumerate(events)), list(enumerate(between, len(events)))
    world, kept = lived(before)
    plain, _ = lived(before)
    people = sorted(world.people(), key=lambda each: each.id)
    assume(len(people) > 1)
    one, other = data.draw(st.permutations(people))[:2]
    mine, taken = one.records[0], list(other.records)
    if world.order("link", mine, taken[0]):
        return
    for number, identifiers in after:
        kept[number] = world.take(f"e{number}", identifiers).record
        assert plain.take(f"e{number}", identifiers).record == kept[number] or world.counts
    assume(not world.counts and plain.person(mine) != plain.person(taken[0]))
    held = plain.directory.person_of[taken[0]].records
    assert world.order("unlink", mine, *held) == ""
    assert world.snapshot() == plain.snapshot()
    everything = before + after
    assert views(world, states(everything, kept)) == views(plain, states(everything, kept))


steps = st.one_of(
    anything.map(lambda identifiers: ("event", identifiers)),
    st.tuples(
        st.sampled_from(["link", "score", "unlink", "take back"]), st.sampled_from(list(product(range(13), repeat=2)))
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(steps, min_size=4, max_size=25))
def test_whatever_happens_a_person_is_what_hangs_together_by_the_links_that_stand(steps: list[tuple[str, Any]]) -> None:
    world = World()
    for kind, what in steps:
        records = sorted(world.directory.person_of)
        if kind == "event":
            world.take(f"e{world.number}", what)
        elif records:
            one, other = records[what[0] % len(records)], records[what[1] % len(records)]
            standing = sorted(world.directory.edges)
            if kind in ("link", "score"):
                world.order("link", one, other, automatic=kind == "score")
            elif kind == "unlink":
                world.order("unlink", one, other)
            elif standing:
                link = standing[what[1] % len(standing)]
                world.order("unlink", world.directory.edges[link].one, link=link)
        _hold_together(world)


def _hold_together(world: World) -> None:
    directory = world.directory
    parts = components(list(directory.born), ((edge.one, edge.other) for edge in directory.edges.values()))
    assert {frozenset(each.records) for each in world.people()} == {frozenset(part) for part in parts}
    for each in world.people():
        assert each.id == each.records[0] and each.records == directory.by_age(each.records)
        assert len([key for key in each.keys if key.startswith("account:")]) <= 1
        assert all(directory.record_of[key] in each.records for key in each.keys)
        assert not any(directory.apart.get(record, set()) & set(each.records) for record in each.records)


def test_what_was_parted_is_joined_by_no_event_and_by_no_score_but_by_hand() -> None:
    world = World()
    card, mail = world.meet(loyalty_card="1"), world.meet(email="a@b.kr")
    world.meet(loyalty_card="1", email="a@b.kr")
    assert world.order("unlink", card.record, mail.record) == ""
    world.meet(loyalty_card="1", email="a@b.kr")
    assert world.counts["apart"] == 1
    assert world.order("link", card.record, mail.record, automatic=True) == "apart"
    assert world.person(card.record) != world.person(mail.record)
    assert world.order("link", card.record, mail.record) == ""
    assert world.person(card.record) == world.person(mail.record)
    assert world.order("unlink", card.record, mail.record) == ""
    world.meet(loyalty_card="1", email="a@b.kr")
    assert world.person(card.record) != world.person(mail.record)


def test_a_phone_of_people_who_were_parted_joins_nobody_any_more() -> None:
    world = World()
    card, phone = world.meet(loyalty_card="1"), world.meet(phone=PHONE)
    world.meet(loyalty_card="1", phone=PHONE)
    world.order("unlink", card.record, phone.record)
    world.meet(loyalty_card="1", phone=PHONE)
    assert world.meet(loyalty_card="2", phone=PHONE).person != world.meet(phone=PHONE).person


def test_one_link_is_taken_back_and_those_that_still_stand_hold_people_together() -> None:
    world = World()
    card, other = world.meet(loyalty_card="1"), world.meet(phone=PHONE, email="a@b.kr")
    world.meet(loyalty_card="1", phone=PHONE)
    world.meet(loyalty_card="1", email="a@b.kr")
    by_phone, by_mail = [edge.link_id for edge in world.standing]
    assert world.order("unlink", card.record, link=by_phone) == ""
    assert world.person(card.record) == world.person(other.record)
    assert world.order("unlink", card.record, link=by_phone) == "no_link"
    assert world.order("unlink", other.record, link=by_mail) == ""
    assert world.person(card.record) != world.person(other.record)


def test_a_record_that_held_others_together_leaves_each_of_them_alone() -> None:
    world = World()
    ends = [world.meet(loyalty_card="1"), world.meet(phone=PHONE)]
    middle = world.meet(email="a@b.kr")
    world.meet(loyalty_card="1", email="a@b.kr")
    world.meet(phone=PHONE, email="a@b.kr")
    assert len(world.people()) == 1
    assert world.order("unlink", ends[0].record, middle.record) == ""
    assert [person.records for person in world.people()] == [[each.record] for each in (*ends, middle)]


def test_orders_that_cannot_be_obeyed_change_nothing_and_say_why() -> None:
    world = World()
    one, two = world.meet(account="1", phone=PHONE), world.meet(account="2")
    before = world.snapshot()
    assert world.order("link", one.record, two.record) == "different:account"
    assert world.order("link", one.record, "nobody") == "unknown"
    assert world.order("unlink", one.record, one.record) == "whole"
    assert world.order("unlink", one.record, link="none") == "no_link"
    assert world.snapshot() == before
    assert world.order("unlink", one.record, two.record) == "", "to keep apart who never was one is an order as well"
    assert world.directory.apart[one.record] == {two.record}

"""Does each trait follow its own rule, whatever order its statements came in, and is it told when it is stale?"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.consents.duties import place_of
from services.profile.person.enriched import ENRICHED
from services.profile.person.enriched import TRAITS_MAX as ENRICHED_MAX
from services.profile.person.folding import CHAPTERS
from services.profile.person.quality import QUALITY
from services.profile.person.trait_room import RECORD_BYTES_MAX, TRAITS_MAX, VALUE_BYTES_MAX, room_of
from services.profile.person.trait_terms import Keep, TraitRule, TraitTerms
from services.profile.person.traits import TRAITS, unkept

DAY_MS = 86_400_000
RULES = TraitTerms(
    rules={
        "newest": TraitRule(),
        "oldest": TraitRule("oldest", stale_days=1),
        "trusted": TraitRule("most_trusted", ("crm", "store-*")),
        "first": TraitRule("never_overwrite"),
        "address": TraitRule(stale_days=365),
    }
)
DEFINED = Definitions(traits=RULES)


def said(at: int, source: str, received: int = 0, /, **traits: Any) -> Occurrence:
    return Occurrence("identify", at, source, f"{at}-{source}", {"traits": traits}, received_ms=received)


def corrected(at: int, /, **traits: Any) -> Occurrence:
    return Occurrence("profile.changed", at, "dangol/api/agent-7", f"c{at}", traits, received_ms=at)


def folded(*events: Occurrence, definitions: Definitions = DEFINED) -> Customer:
    customer = Customer("p")
    for each in events:
        person.apply(customer, each, definitions)
    return customer


def value(name: str, *events: Occurrence) -> Any:
    """The same in every order of arrival, or there is none."""
    found = {
        repr(TRAITS.fields([folded(*order)], Moment(1, DEFINED)).get(name))
        for order in (events, events[::-1], [*events[1:], events[0]])
    }
    assert len(found) == 1
    return TRAITS.fields([folded(*events)], Moment(1, DEFINED)).get(name)


def test_the_newest_counts_where_nothing_else_is_defined() -> None:
    assert value("newest", said(1, "web", newest="a"), said(3, "web", newest="c"), said(2, "web", newest="b")) == "c"
    assert value("colour", said(1, "web", colour="a"), said(2, "web", colour="b")) == "b"


def test_the_oldest_counts_by_the_time_of_the_event() -> None:
    assert value("oldest", said(5, "web", 1, oldest="b"), said(3, "web", 9, oldest="a")) == "a"


def test_the_first_that_came_in_counts_whatever_time_others_claim() -> None:
    assert value("first", said(5, "web", 1, first="b"), said(3, "web", 9, first="a")) == "b"


def test_the_most_trusted_source_counts_and_of_its_statements_the_newest() -> None:
    events = (
        said(9, "web", trusted="web"),
        said(8, "store-031/pos", trusted="store"),
        said(1, "crm", trusted="crm-old"),
        said(2, "crm", trusted="crm-new"),
    )
    assert value("trusted", *events) == "crm-new"
    assert value("trusted", *events[:2]) == "store"


@pytest.mark.parametrize("name", ["oldest", "first"])
def test_a_correction_by_hand_replaces_what_was_kept_for_being_first(name: str) -> None:
    events = (said(1, "web", 1, **{name: "a"}), corrected(5, **{name: "b"}), said(9, "web", 9, **{name: "c"}))
    assert value(name, *events) == "b"
    assert value(name, *events, corrected(7, **{name: "d"})) == "d"


def test_a_source_that_is_named_is_believed_more_than_a_hand_that_is_not() -> None:
    assert value("trusted", said(1, "crm", trusted="a"), corrected(5, trusted="b")) == "a"
    assert value("trusted", said(9, "web", trusted="a"), corrected(5, trusted="b")) == "b"


def test_two_records_are_judged_by_the_same_rules() -> None:
    old = folded(said(1, "crm", 1, trusted="crm", oldest="old", newest="old"))
    new = folded(said(5, "web", 5, trusted="web", oldest="new", newest="new"))
    seen = TRAITS.fields([new, old], Moment(1, DEFINED))
    assert (seen["trusted"], seen["oldest"], seen["newest"]) == ("crm", "old", "new")


def test_what_is_owed_to_a_person_of_two_records_follows_the_country_that_counts_by_its_rule() -> None:
    rules = TraitTerms(rules={"country": TraitRule("most_trusted", ("crm",))})
    defined = Definitions(traits=rules)
    records = [
        folded(said(1, "crm", country="FR"), definitions=defined),
        folded(said(2, "web", country="KR"), definitions=defined),
    ]
    assert place_of(records, defined) == defined.consents.duties["EU"] != defined.consents.duties["KR"]
    assert place_of(records, Definitions()) == defined.consents.duties["KR"]


def aged(day: int, *events: Occurrence) -> dict[str, Any]:
    assert TRAITS.shown is not None
    found: dict[str, Any] = TRAITS.shown([folded(*events)], Moment(day, DEFINED))
    return found


def test_an_address_that_nobody_confirmed_for_a_year_is_stale() -> None:
    moved = said(1_000 * DAY_MS, "crm", address="1 Street", colour="red")
    day = DEFINED.day_of(1_000 * DAY_MS)
    assert [aged(day + each, moved)["address"]["stale"] for each in (0, 365, 366)] == [False, False, True]
    assert aged(day + 9_999, moved)["colour"]["stale"] is False
    again = said(1_300 * DAY_MS, "crm", address="1 Street")
    shown = aged(day + 366, moved, again)["address"]
    assert (shown["stale"], shown["value"]) == (False, "1 Street")
    assert aged(day + 366, again, moved)["address"] == shown
    assert shown["confirmed_at"] > aged(day, moved)["address"]["confirmed_at"]


def test_what_is_kept_for_being_the_oldest_does_not_go_stale() -> None:
    assert aged(9_999, said(DAY_MS, "crm", oldest="a"))["oldest"]["stale"] is False


def test_the_shipped_rules_doubt_an_address_after_a_year() -> None:
    assert TraitTerms().rule("address") == TraitRule(stale_days=365)


def test_too_many_names_leave_the_same_ones_in_whatever_order() -> None:
    events = [said(number + 1, "web", **{f"t{number}": number}) for number in range(TRAITS_MAX + 50)]
    one, other = folded(*events), folded(*events[::-1])
    assert one.traits == other.traits
    assert one.traits is not None and len(one.traits.held) == TRAITS_MAX


LONG = ["x" * VALUE_BYTES_MAX, ["가" * 700], {"a": "\n" * 1_100}, 10**30, {"deep": [-(10**30)]}]


@pytest.mark.parametrize("value", LONG)
def test_a_value_that_is_too_large_is_refused_and_what_was_known_stays_and_that_is_shown(value: Any) -> None:
    events = [said(1, "crm", tier="gold"), said(2, "crm", tier=value, other=1)]
    for order in (events, events[::-1]):
        customer = folded(*order)
        assert TRAITS.fields([customer], Moment(1, DEFINED)) == {"tier": "gold", "other": 1}
        assert QUALITY.shown is not None
        shown = QUALITY.shown([customer], Moment(1, DEFINED))
        assert shown["traits_left_out"] == {"too_long": 1, "without_room": False}


def test_the_traits_of_a_customer_have_no_more_than_their_room_in_whatever_order_they_came() -> None:
    chance = random.Random(5)
    for _ in range(20):
        events = [
            said(at, "crm", **{f"t{chance.randint(0, 60)}": chance.choice("ab") * chance.choice([1, 500, 1_900])})
            for at in range(1, 150)
        ]
        one = folded(*events)
        assert one.traits is not None
        assert one.traits.filled == sum(each.room for each in one.traits.held.values()) <= RECORD_BYTES_MAX
        assert sum(room_of(name, each.value) for name, each in one.traits.held.items()) <= one.traits.filled
        for _ in range(3):
            assert folded(*chance.sample(events, len(events))).traits == one.traits


def test_the_traits_of_a_person_of_many_records_have_the_room_of_one_record() -> None:
    records = [
        folded(*(said(1, "crm", **{f"t{record}-{number}": "x" * 1_000}) for number in range(60)))
        for record in range(20)
    ]
    seen = TRAITS.fields(records, Moment(1, DEFINED))
    assert 0 < sum(room_of(name, value) for name, value in seen.items()) <= RECORD_BYTES_MAX
    assert TRAITS.fields(records[::-1], Moment(1, DEFINED)) == seen


def test_what_others_say_of_a_person_of_many_records_has_the_room_of_one_record() -> None:
    records = []
    for record in range(5):
        lent = {f"t{record}-{number}": "x" * 1_000 if number < 50 else "x" * 400 for number in range(120)}
        data = {"traits": lent, "expires_on": "2999-01-01", "source": "s" * 9_000, "licence": "l" * 9_000}
        records.append(folded(Occurrence("profile.enriched", 1, "api", f"e{record}", data)))
    at = Moment(1, DEFINED)
    seen = ENRICHED.fields(records, at)
    assert len(seen) == ENRICHED_MAX and set(map(len, seen.values())) == {400}
    assert ENRICHED.fields(records[::-1], at) == seen
    assert max(len(msgspec.msgpack.encode(each)) for each in records) < 150_000


def refused(customer: Customer, **traits: Any) -> set[str]:
    return {name for name, _ in unkept(customer.traits, traits)}


def test_a_correction_that_would_not_be_kept_or_push_out_something_is_refused_and_any_other_is_kept() -> None:
    """What is there now may be short, and its room is that of the longest ever."""
    chance, seen = random.Random(7), set()
    for _ in range(300):
        events = [
            said(at, "crm", **{f"t{chance.randint(0, 50)}": chance.choice("ab") * chance.choice([1, 1_500, 1_900])})
            for at in range(1, chance.randint(1, 150))
        ]
        customer = folded(*events)
        before = set(customer.traits.held) if customer.traits is not None else set()
        correction = {f"t{chance.randint(0, 60)}": "c" * chance.choice([1, 1_000, 2_000]) for _ in range(2)}
        expected = refused(customer, **correction)
        person.apply(customer, corrected(1_000, **correction), DEFINED)
        assert customer.traits is not None
        lost = (before | set(correction)) - set(customer.traits.held)
        assert bool(expected) == bool(lost) and expected >= lost & set(correction), (expected, lost)
        seen.add((bool(expected), bool(lost - set(correction))))
    assert seen == {(False, False), (True, False), (True, True)}


def test_a_correction_is_judged_alone_and_changes_nothing() -> None:
    customer = folded(*(said(1, "crm", **{f"t{at}": "x" * 2_000}) for at in range(32)), said(2, "crm", t1="x"))
    before = msgspec.msgpack.encode(customer)
    assert refused(customer, t1="y" * 2_000, t2=None) == set()
    assert refused(customer, **{"": 1, "long": "x" * 3_000, "t1": "z"}) == {"", "long"}
    assert refused(Customer("p"), a=1) == set()
    assert msgspec.msgpack.encode(customer) == before


class Endless(dict[str, Any]):
    """Data in which a long text stands wherever anybody looks."""

    def __init__(self, number: int) -> None:
        super().__init__({"traits": {f"t{number}": "x" * 10_000, f"{number}" * 5_000: 1}, "items": [{}]})
        self.number = number

    def get(self, name: str, default: Any = None) -> Any:
        del default
        return super().get(name, f"{self.number}-" + "가" * 10_000)


@pytest.mark.parametrize("kind", sorted({kind for chapter in CHAPTERS for kind in chapter.effects}))
def test_however_much_is_said_a_customer_can_still_be_delivered(kind: str) -> None:
    customer = Customer("p")
    for number in range(120):
        event = Occurrence(kind, 1_000 + number, "crm", f"e{number}", Endless(number), {"email": f"{number}@b.kr"})
        person.apply(customer, event, DEFINED)
    assert len(msgspec.msgpack.encode(customer)) < 300_000
    assert len(msgspec.json.encode(person.view([customer], Moment(730_000, DEFINED)))) < 100_000


KEEPS: tuple[Keep, ...] = ("newest", "oldest", "most_trusted", "never_overwrite")


@settings(max_examples=1_000, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(KEEPS))
def test_no_order_of_arrival_matters_under_any_rule(seed: int, kept: Keep) -> None:
    chance = random.Random(seed)
    defined = Definitions(traits=TraitTerms(other=TraitRule(kept, ("crm", "store-*"))))
    events = [
        chance.choice(
            [
                said(at, chance.choice(["crm", "web", "store-1"]), chance.randint(1, 5), t=chance.randint(0, 3)),
                corrected(at, t=chance.choice([None, "x", 1.5, True])),
            ]
        )
        for at in (chance.randint(1, 6) for _ in range(chance.randint(1, 9)))
    ]
    one = folded(*events, definitions=defined)
    other = folded(*chance.sample(events, len(events)), definitions=defined)
    assert one.traits == other.traits
    halves = [folded(*events[::2], definitions=defined), folded(*events[1::2], definitions=defined)]
    at = Moment(1, defined)
    assert TRAITS.fields(halves, at) == TRAITS.fields(halves[::-1], at) == TRAITS.fields([one], at)

"""Does each trait follow its own rule, whatever order its statements came in, and is it told when it is stale?"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.trait_terms import Keep, TraitRule, TraitTerms
from services.profile.person.traits import TRAITS, TRAITS_MAX

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

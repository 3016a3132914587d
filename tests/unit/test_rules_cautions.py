"""Is an author warned of rules that never fire, that fire on everything, and of limits in vain, and of nothing else?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo import installing
from services.rules.document import validation
from services.rules.document.cautions import cautions
from services.rules.document.language import EventWhen
from services.rules.engine.conditions import compile_all

Document = dict[str, Any]
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
COUNT = {"of": "count", "event": "visit", "over": {"last": "30d"}}


def leaf(field: str, op: str, *value: Any) -> Document:
    return {"field": field, "op": op} | ({"value": value[0]} if value else {})


def told(*, where: Any = (), **more: Any) -> dict[str, str]:
    when = {"type": "event", "event": "purchase", "where": list(where)}
    rule = {"id": "some-rule", "name": "x", "when": when, "emit": {"trigger": "offer.x"}, **more}
    return {each.pointer: each.detail for each in cautions(validation.read(rule), NOW)}


SURE = [
    [leaf("event.a", "is", "x"), leaf("event.a", "is_not", "x")],
    [leaf("event.a", "in", ["x", "y"]), leaf("event.a", "not_in", ["y", "x", "z"])],
    [leaf("event.a", "missing"), leaf("event.a", "starts_with", "x")],
    [leaf("event.a", "exists"), leaf("event.a", "missing")],
    [{"all": [leaf("event.a", "is", True)]}, {"all": [leaf("event.a", "is_not", True)]}],
    [{"any": [{"all": [leaf(f"event.{f}", "is", 1), leaf(f"event.{f}", "is_not", 1)]} for f in "ab"]}],
]
UNLESS_A_LIST = [
    [leaf("event.a", "is", "x"), leaf("event.a", "is", "y")],
    [leaf("event.a", "in", ["x", "y"]), leaf("event.a", "is", "z")],
    [leaf("event.a", "at_least", 10), leaf("event.a", "less_than", 10)],
    [leaf("event.a", "between", [1, 5]), leaf("event.a", "more_than", 5)],
    [leaf("event.a", "is", "x"), leaf("event.a", "at_least", 3)],
]
FINE = [
    [leaf("event.a", "is", "x"), leaf("event.b", "is", "y")],
    [leaf("event.a", "in", ["x", "y"]), leaf("event.a", "is_not", "x")],
    [leaf("event.a", "at_least", 10), leaf("event.a", "at_most", 10)],
    [leaf("event.a", "is", 1), leaf("event.a", "at_least", 1), leaf("event.a", "is_not", True)],
    [leaf("event.a", "missing"), leaf("event.a", "is_not", "x")],
    [leaf("event.a", "missing"), leaf("event.a", "is", None)],
    [{"any": [leaf("event.a", "is", "x"), leaf("event.a", "is", "y")]}],
    [{"not": leaf("event.a", "is", "x")}, leaf("event.a", "is", "x")][:1],
    [leaf("event.a", "at_least", "2026-01-01"), leaf("event.a", "less_than", "2027-01-01")],
]


@pytest.mark.parametrize("where", SURE)
def test_conditions_that_nothing_satisfies_are_named_with_their_place(where: list[Document]) -> None:
    found = told(where=where)
    assert list(found) == ["/when/where"]
    assert found["/when/where"].startswith("can never hold, so that the rule can never fire: event.")


@pytest.mark.parametrize("where", UNLESS_A_LIST)
def test_conditions_that_only_a_list_satisfies_are_told_as_such(where: list[Document]) -> None:
    found = told(where=where)
    assert list(found) == ["/when/where"]
    assert found["/when/where"].startswith("holds only where that field is a list of several values: event.a ")


@pytest.mark.parametrize("where", FINE)
def test_conditions_that_can_hold_are_not_mentioned(where: list[Document]) -> None:
    assert told(where=where) == {}


VALUES = st.sampled_from(["x", "y", "3", 1, 2, 3.5, True, None])
LEAVES = st.one_of(
    st.tuples(st.sampled_from(["is", "is_not"]), VALUES).map(lambda made: leaf("event.a", *made)),
    st.tuples(st.sampled_from(["in", "not_in"]), st.lists(VALUES, min_size=1, max_size=3)).map(
        lambda made: leaf("event.a", *made)
    ),
    st.tuples(st.sampled_from(["at_least", "less_than", "more_than", "at_most"]), st.integers(0, 4)).map(
        lambda made: leaf("event.a", *made)
    ),
    st.sampled_from(["exists", "missing"]).map(lambda op: leaf("event.a", op)),
)


@given(st.lists(LEAVES, min_size=1, max_size=4), st.none() | VALUES | st.lists(VALUES, max_size=3))
def test_what_is_said_never_to_hold_holds_for_no_value(where: list[Document], value: Any) -> None:
    when = validation.read(
        {
            "id": "some-rule",
            "name": "x",
            "when": {"type": "event", "event": "e", "where": where},
            "emit": {"trigger": "t"},
        }
    ).when
    assert isinstance(when, EventWhen)
    test = compile_all(when.where, lambda _: lambda found: found)
    warned = told(where=where).get("/when/where", "")
    if test is not None and test(value):
        assert not warned.startswith("can never")
        assert not warned or isinstance(value, list)


def test_a_rule_that_fires_on_everything_is_named_unless_anything_limits_it() -> None:
    assert told() == {
        "/when": "fires on every purchase of everybody: there is no where, no who, no cooldown and no max"
    }
    assert told(limits={"cooldown": "1d"}) == told(limits={"repeat": "once"}) == {}
    assert told(who=[leaf("profile.tier", "is", "gold")]) == told(where=[leaf("event.a", "exists")]) == {}


def test_a_threshold_that_only_a_late_event_can_reach_is_named_and_is_none_in_who() -> None:
    skipping = {**COUNT, "over": {"last": "30d", "skip": "30d"}}
    found = told(when={"type": "measure", "measure": skipping, "reaches": 2})
    assert list(found) == ["/when/measure/over/skip"]
    assert "only one that comes in as late as that" in found["/when/measure/over/skip"]
    assert told(when={"type": "measure", "measure": COUNT, "reaches": 2}) == {}
    assert told(who=[{"measure": skipping, "op": "at_least", "value": 2}]) == {}


def test_a_validity_in_the_past_is_named_and_one_in_the_future_is_not() -> None:
    where = [leaf("event.a", "exists")]
    assert list(told(where=where, valid={"until": "2026-03-04T12:00:00Z"})) == ["/valid/until"]
    assert told(where=where, valid={"until": "2026-03-04T12:00:01Z"}) == {}


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        ({"cooldown": "30d", "max": {"times": 1, "per": "30d"}}, ["/limits/max"]),
        ({"cooldown": "30d", "max": {"times": 2, "per": "31d"}}, ["/limits/max"]),
        ({"cooldown": "30d", "max": {"times": 1, "per": "31d"}}, []),
        ({"cooldown": "1mo", "max": {"times": 1, "per": "29d"}}, []),
        ({"cooldown": "1mo", "max": {"times": 1, "per": "28d"}}, ["/limits/max"]),
        ({"repeat": "once", "cooldown": "1d"}, ["/limits/cooldown"]),
        ({"repeat": "once", "max": {"times": 2, "per": "1d"}}, ["/limits/max"]),
        ({"cooldown": "400d"}, []),
        ({"cooldown": "401d"}, ["/limits/cooldown"]),
        ({"max": {"times": 3, "per": "2y"}}, ["/limits/max/per"]),
    ],
)
def test_limits_that_hold_nothing_back_or_outlast_the_history_are_named(limits: Document, places: list[str]) -> None:
    assert list(told(where=[leaf("event.a", "exists")], limits=limits)) == places


@pytest.mark.parametrize(
    ("when", "who", "place"),
    [
        ({"type": "measure", "measure": COUNT, "reaches": 0}, [], "/when/reaches"),
        ({"type": "measure", "measure": COUNT, "reaches": 1}, [], None),
        ({"type": "change", "field": "profile.tier", "from": ["gold"], "to": ["gold"]}, [], "/when/to"),
        ({"type": "change", "field": "profile.tier", "from": ["basic"], "to": ["gold"]}, [], None),
        ({"type": "change", "field": "profile.tier", "to": ["gold"]}, [leaf("profile.tier", "is", "basic")], "/who"),
        ({"type": "change", "field": "profile.tier", "to": ["gold"]}, [leaf("profile.tier", "is", "gold")], None),
        (
            {"type": "change", "field": "profile.tier", "to": ["a"], "direction": "up", "order": ["a", "b"]},
            [],
            "/when/order",
        ),
        ({"type": "change", "field": "profile.tier", "to": ["b"], "direction": "up", "order": ["a", "b"]}, [], None),
        (
            {"type": "event", "event": "e", "where": [leaf("event.a", "is", 1)]},
            [leaf("event.a", "is_not", 1)],
            "/who",
        ),
        (
            {"type": "absence", "after": {"event": "a", "where": SURE[0]}, "no": {"event": "b"}, "for": "1d"},
            [],
            "/when/after/where",
        ),
        (
            {"type": "event", "event": "e"},
            [{"measure": COUNT, "op": "at_least", "value": 5}, {"measure": COUNT, "op": "less_than", "value": 5}],
            "/who",
        ),
        ({"type": "event", "event": "e"}, [{"measure": COUNT, "op": "less_than", "value": 0}], "/who"),
        ({"type": "event", "event": "e"}, [{"measure": COUNT, "op": "at_most", "value": 0}], None),
        (
            {"type": "event", "event": "e"},
            [{"measure": {**COUNT, "where": SURE[1]}, "op": "is", "value": 0}],
            "/who/0/measure/where",
        ),
    ],
)
def test_each_kind_is_looked_at_for_what_it_can_never_meet(
    when: Document, who: list[Document], place: str | None
) -> None:
    assert list(told(when=when, who=who)) == ([] if place is None else [place])


def test_a_rule_that_may_set_itself_off_is_named() -> None:
    emit = {"trigger": "x", "set": {"profile.tier": "gold"}}
    assert list(told(when={"type": "change", "field": "profile.tier"}, emit=emit)) == ["/emit/set/profile.tier"]


def test_the_demos_own_rules_are_as_they_are_meant() -> None:
    for document in installing.read("rules"):
        assert cautions(validation.read(document), NOW) == []

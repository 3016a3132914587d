"""Do tests stored with a rule hold exactly when the engine fires what they say, and tell what it did instead?"""

from __future__ import annotations

import time
from typing import Any

import pytest

from libs.common.errors import Invalid
from services.rules.document import checking, rule_tests

Document = dict[str, Any]
ZONE = "Asia/Seoul"
VISITS: Document = {
    "id": "three-visits",
    "name": "Three visits in a week",
    "when": {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}}, "reaches": 3},
    "emit": {"trigger": "call.adviser", "include": {"visits": "measure.value"}},
}
BASKET: Document = {
    "id": "basket-left",
    "name": "Basket filled, not bought within a day",
    "when": {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "24h"},
    "who": [{"field": "profile.consent_email", "op": "is", "value": True}],
    "emit": {"trigger": "mail.basket", "include": {"basket": "first.basket_id"}},
}
GOLD: Document = {
    "id": "tier-gold",
    "name": "Becomes gold",
    "when": {"type": "change", "field": "profile.tier", "to": ["gold"]},
    "emit": {"trigger": "offer.gold", "include": {"was": "was.tier"}},
}


def visit(day: int, **more: Any) -> Document:
    return {"type": "visit", "time": f"2026-03-{day:02}T10:00:00+09:00", **more}


def faults(rule: Document, *tests: Document) -> dict[str, str]:
    numbered = [{"name": f"test {at}", **each} for at, each in enumerate(tests)]
    try:
        checking.read({**rule, "tests": numbered}, ZONE)
    except Invalid as error:
        return {each.pointer: each.detail for each in error.errors}
    return {}


def test_a_test_that_holds_says_nothing() -> None:
    assert faults(VISITS, {"given": [visit(2), visit(3), visit(4)], "expect": [{"event": "3"}]}) == {}
    assert faults(VISITS, {"given": [visit(2), visit(3)], "expect": []}) == {}


def test_a_test_that_fails_says_where_and_what_fired_instead() -> None:
    wrong = {"given": [visit(2), visit(3), visit(4)], "expect": [{"event": "2"}]}
    assert faults(VISITS, {"given": [visit(2)], "expect": []}, wrong) == {
        "/tests/1/expect": "test 1: nothing fired for customer by event 2; "
        'instead it fired for customer at 2026-03-04T01:00:00Z by event 3 with {"visits":3}'
    }


def test_a_rule_that_fires_too_often_or_not_at_all_is_told_apart() -> None:
    often = faults(VISITS, {"given": [visit(2), visit(3), visit(4)], "expect": []})
    assert often["/tests/0/expect"].startswith("test 0: it also fired for customer at 2026-03-04T01:00:00Z")
    never = faults(VISITS, {"given": [visit(2)], "expect": [{"customer": "mina"}]})
    assert never["/tests/0/expect"] == "test 0: nothing fired for mina; it did not fire at all"


@pytest.mark.parametrize(
    "expected",
    [
        {"customer": "mina"},
        {"at": "2026-03-04T10:00:01+09:00"},
        {"event": "2"},
        {"include": {"visits": 4}},
        {"include": {"calls": 3}},
    ],
    ids=lambda each: "-".join(each),
)
def test_whatever_an_expectation_says_has_to_be_so(expected: Document) -> None:
    given = [visit(2), visit(3), visit(4)]
    right = {"customer": "customer", "at": "2026-03-04T10:00:00+09:00", "event": "3", "include": {"visits": 3}}
    assert faults(VISITS, {"given": given, "expect": [right]}) == {}
    assert list(faults(VISITS, {"given": given, "expect": [right | expected]})) == ["/tests/0/expect"]


def test_what_held_a_rule_back_is_named() -> None:
    refusing = {"given": [{**visit(2), "type": "cart_add", "profile": {"consent_email": False}}], "expect": [{}]}
    assert faults(BASKET, refusing)["/tests/0/expect"].endswith("held back by: who 1")


def test_the_clock_goes_on_behind_the_last_event_and_no_further_than_until() -> None:
    filled = visit(2, type="cart_add", data={"basket_id": "b7"}, profile={"consent_email": True})
    left = {"customer": "customer", "at": "2026-03-03T10:00:00+09:00", "include": {"basket": "b7"}}
    assert faults(BASKET, {"given": [filled], "expect": [left]}) == {}
    assert faults(BASKET, {"given": [filled], "expect": [], "until": "2026-03-03T09:59:59+09:00"}) == {}
    assert faults(BASKET, {"given": [filled], "expect": [left], "until": "2026-03-03T10:00:00+09:00"}) == {}


@pytest.mark.parametrize(
    ("bought", "fires"),
    [
        ({"time": "2026-03-03T10:00:00+09:00"}, False),
        ({"time": "2026-03-03T10:00:01+09:00"}, True),
        ({"time": "2026-03-03T09:59:00+09:00", "received": "2026-03-03T10:00:00+09:00"}, False),
        ({"time": "2026-03-03T09:59:00+09:00", "received": "2026-03-03T10:05:00+09:00"}, True),
    ],
    ids=["sharp", "later", "told-in-time", "told-too-late"],
)
def test_what_is_due_happens_before_the_events_that_come_in_after_it(bought: Document, fires: bool) -> None:
    filled = visit(2, type="cart_add", profile={"consent_email": True})
    given = [filled, {"type": "purchase", **bought}]
    assert faults(BASKET, {"given": given, "expect": [{"event": "1"}] if fires else []}) == {}


def test_a_profile_stays_as_it_was_given_and_its_differences_are_changes() -> None:
    given = [visit(2, profile={"tier": "basic"}), visit(3), visit(4, profile={"tier": "gold"}), visit(5)]
    assert faults(GOLD, {"given": given, "expect": [{"event": "3", "include": {"was": "basic"}}]}) == {}
    said = [visit(2, changed={"tier": {"was": None, "now": "gold"}}), visit(3)]
    assert faults(GOLD, {"given": said, "expect": [{"event": "1", "include": {"was": None}}]}) == {}


def test_customers_are_apart_unless_they_are_linked() -> None:
    one, other = [visit(2, customer="a"), visit(3, customer="a")], visit(4, customer="b")
    assert faults(VISITS, {"given": [*one, other], "expect": []}) == {}
    linked = [{**each, "linked": ["a", "b"]} for each in [*one, other]]
    assert faults(VISITS, {"given": linked, "expect": [{"customer": "b"}]}) == {}


def test_expectations_that_say_less_leave_room_for_those_that_say_more() -> None:
    given = [visit(day, customer=name) for name in ("a", "b") for day in (2, 3, 4)]
    vague: Document = {"customer": "a"}
    exact: Document = {"customer": "a", "event": "3"}
    assert faults(VISITS, {"given": given, "expect": [vague, {"customer": "b", "event": "6"}]}) == {}
    assert "/tests/0/expect" in faults(VISITS, {"given": given, "expect": [vague, exact]})
    often = {**VISITS, "when": {"type": "event", "event": "visit"}, "emit": {"trigger": "x"}}
    thrice = [visit(2), visit(3), visit(4)]
    for expect in ([{}, {}, {"event": "1"}], [{"event": "3"}, {}, {}], [{}, {"event": "2"}, {"event": "1"}]):
        assert faults(often, {"given": thrice, "expect": expect}) == {}


@pytest.mark.parametrize(
    ("test", "pointer"),
    [
        ({"given": [], "expect": []}, "/tests/0/given"),
        ({"given": [visit(2)], "expect": [{"event": "7"}]}, "/tests/0/expect/0/event"),
        ({"given": [visit(2)], "expect": [], "until": "2026-03-01T10:00:00+09:00"}, "/tests/0/until"),
        ({"given": [visit(2, time="2026-03-02T10:00:00")], "expect": []}, "/tests/0/given/0/time"),
        ({"given": [visit(2, time="9999-12-31T23:59:59Z")], "expect": []}, "/tests/0/given/0/time"),
        ({"given": [visit(2, when="now")], "expect": []}, "/tests/0/given/0/when"),
        ({"given": [visit(2)] * 201, "expect": []}, "/tests/0/given"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_test_that_says_nonsense_is_refused_at_its_place(test: Document, pointer: str) -> None:
    assert list(faults(VISITS, test)) == [pointer]


def results(rule: Document, *tests: Document, **limits: Any) -> list[rule_tests.Result]:
    checked = checking.shaped({**rule, "tests": [{"name": f"test {at}", **each} for at, each in enumerate(tests)]})
    return rule_tests.results(checked.rule, checked.body, ZONE, **limits)


def test_tests_that_have_more_events_than_a_rule_may_are_stopped_at_the_one_that_is_too_much() -> None:
    three = {"given": [visit(2), visit(3), visit(4)], "expect": [{"event": "3"}]}
    assert [each.fault for each in results(VISITS, three, three, three, turns_max=9)] == [None] * 3
    first, second = results(VISITS, three, three, three, turns_max=5)
    assert first.fault is None and second.fault is not None
    assert second.fault.pointer == "/tests/1"
    assert "what is behind it was not run: all tests of a rule have 5 events" in second.fault.detail


def test_due_instants_count_as_well() -> None:
    given = [visit(day, type="cart_add", profile={"consent_email": True}) for day in (2, 12)]
    left = {"given": given, "expect": [{}, {}]}
    assert [each.fault for each in results(BASKET, left, turns_max=4)] == [None]
    assert [each.fault is None for each in results(BASKET, left, turns_max=3)] == [False]


def test_tests_that_take_the_processor_too_long_are_stopped() -> None:
    [only] = results(VISITS, *[{"given": [visit(2)], "expect": []}] * 2, seconds_max=0.0)
    assert only.fault is not None
    assert only.fault.pointer == "/tests/0"
    assert "0 s of the processor" in only.fault.detail


def test_expectations_that_any_trigger_would_meet_cannot_keep_the_processor_either() -> None:
    often = {**VISITS, "when": {"type": "event", "event": "visit"}, "emit": {"trigger": "x"}}
    vague = {"given": [visit(2)] * 100, "expect": [{"at": visit(2)["time"]}] * 200}
    began = time.thread_time()
    found = results(often, *[vague] * 50, seconds_max=0.3)
    # Not a test of how fast it is: without an end they take minutes.
    assert time.thread_time() - began < 3.0
    assert all(each.fault is not None for each in found)


def test_tests_are_run_only_on_a_rule_that_is_one() -> None:
    broken = {**VISITS, "when": {**VISITS["when"], "reaches": "three"}}
    assert list(faults(broken, {"given": [visit(2)], "expect": [{}]})) == ["/when/reaches"]


@pytest.mark.parametrize(
    ("when", "given", "expect"),
    [
        ({"type": "event", "event": "visit"}, [visit(2)], [{"event": "1"}]),
        (
            {"type": "sequence", "steps": [{"event": "quote"}, {"event": "visit"}], "within": "3d"},
            [visit(2, type="quote"), visit(4)],
            [{"at": "2026-03-04T10:00:00+09:00"}],
        ),
        (
            {"type": "dormancy", "no": {"event": "visit"}, "for": "30d"},
            [visit(2), visit(3)],
            [{"at": "2026-04-02T10:00:00+09:00"}],
        ),
        (
            {"type": "date", "field": "profile.contract_end", "shift": "-30d", "at": "09:00"},
            [visit(2, changed={"contract_end": {"now": "2026-06-30"}})],
            [{"at": "2026-05-31T09:00:00+09:00"}],
        ),
    ],
    ids=lambda each: each["type"] if isinstance(each, dict) else "",
)
def test_every_kind_runs_by_the_clock_of_its_events(when: Document, given: Any, expect: Any) -> None:
    rule = {"id": "some-rule", "name": "x", "when": when, "emit": {"trigger": "x"}}
    assert faults(rule, {"given": given, "expect": expect}) == {}
    assert list(faults(rule, {"given": given, "expect": []})) == ["/tests/0/expect"]

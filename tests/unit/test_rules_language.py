"""Does validation name every fault and its place, and let every working document pass?"""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import Invalid
from services.rules.document import language, validation

Document = dict[str, Any]
BASKET: Document = {
    "id": "basket-left",
    "name": "Basket filled, not bought within a day",
    "when": {
        "type": "absence",
        "after": {"event": "cart_add", "where": [{"field": "event.amount", "op": "at_least", "value": 50}]},
        "no": {"event": "purchase"},
        "for": "24h",
        "same": ["basket_id"],
    },
    "who": [{"not": {"field": "profile.staff", "op": "is", "value": True}}],
    "limits": {"max": {"times": 2, "per": "30d"}},
    "emit": {"trigger": "mail.basket_reminder", "include": {"basket": "first.basket_id"}},
}
MARRIED: Document = {
    "id": "just-married",
    "name": "Got married",
    "when": {"type": "change", "field": "profile.marital_status", "from": ["single"], "to": ["married"]},
    "limits": {"cooldown": "1y"},
    "emit": {"trigger": "offer.joint_account", "set": {"profile.life_stage": "married"}},
}
VISITS: Document = {
    "id": "three-visits",
    "name": "Three visits",
    "when": {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}}, "reaches": 3},
    "who": [
        {"measure": {"of": "count", "event": "call", "over": {"calendar": "month"}}, "op": "is", "value": 0},
    ],
    "emit": {"trigger": "call.adviser", "include": {"visits": "measure.value"}},
}


def faults(document: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        validation.read(document)
    return {fault.pointer: fault.detail for fault in refused.value.errors}


def changed(document: Document, path: str, value: Any) -> Document:
    made = copy.deepcopy(document)
    *way, last = path.strip("/").split("/")
    place: Any = made
    for name in way:
        place = place[int(name) if isinstance(place, list) else name]
    place[last] = value
    return made


@pytest.mark.parametrize("document", [BASKET, MARRIED, VISITS])
def test_a_working_document_passes_and_survives_its_own_encoding(document: Document) -> None:
    rule = validation.read(document)
    assert language.decode(msgspec.json.encode(rule)) == rule


@pytest.mark.parametrize(
    ("document", "path", "value", "detail"),
    [
        (BASKET, "/when/for", "2 fortnights", '"2 fortnights" is not a span; e.g. 14d'),
        (BASKET, "/when/for", "900d", "900d is longer than 400 days"),
        (BASKET, "/when/restart", "on_each", '"on_each" is none of on_each_first, only_when_idle'),
        (BASKET, "/limits/max/times", 0, "0 is below 1"),
        (BASKET, "/limits/repaet", "once", "is not known here; did you mean repeat?"),
        (BASKET, "/time", {"zone": "Asia/Soul"}, "neither customer, company nor a time zone"),
        (BASKET, "/emit/include/x", "event.basket_id", "fields begin with first. or profile."),
        (BASKET, "/emit/trigger", "Mail Reminder", "is not a name; e.g. offer.x"),
        (BASKET, "/valid", {"from": "2026-01-01"}, "is not an instant with an offset"),
        (MARRIED, "/when/to", [], "is empty, so nothing could ever match"),
        (MARRIED, "/when/direction", "up", "needs the order of the values"),
        (VISITS, "/when/measure/field", "event.amount", "a count counts events and has no field"),
        (VISITS, "/when/measure/of", "sum", "is missing: sum of what?"),
        (VISITS, "/when/measure/over", {}, "needs exactly one of last and calendar"),
        (VISITS, "/when/measure/over", {"last": "30d", "skip": "2h"}, "is not written in the unit of last"),
        (VISITS, "/when/measure/over", {"last": "90000s"}, "reaches back more than 800 panes"),
        (VISITS, "/who/0/op", "contains", "does not go with a measure"),
        (VISITS, "/when/reaches", "three", '"three" is not a number'),
    ],
)
def test_a_fault_is_named_where_it_is(document: Document, path: str, value: Any, detail: str) -> None:
    # A part that is missing because of the change is told of beside it.
    place = path.rpartition("/")[0] if detail.startswith(("needs", "is missing", "a count")) else path
    found = faults(changed(document, path, value))
    assert any(detail in each for pointer, each in found.items() if pointer.startswith(place)), found


@pytest.mark.parametrize(
    ("condition", "pointer", "detail"),
    [
        ({"field": "event.amount", "op": "between", "value": [5, 1]}, "/value", "the lowest is above"),
        ({"field": "event.amount", "op": "in", "value": "x"}, "/value", "needs a list"),
        ({"field": "event.amount", "op": "is", "value": ["x"]}, "/value", "for several use in"),
        ({"field": "profile.tier", "op": "is", "value": "x"}, "/field", "fields begin with event."),
        ({"field": "event.a", "op": "changed_within", "value": "3d"}, "/op", "asks about a field of the profile"),
        ({"in_segment": "staff"}, "/in_segment", "in who only"),
        ({}, "", "needs exactly one of field"),
        ({"field": "event.a", "any": [], "op": "exists"}, "/any", "needs at least 1"),
        ({"field": "event.a", "op": "exists", "value": 1}, "/value", "goes without a value"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(condition: Document, pointer: str, detail: str) -> None:
    document = changed(BASKET, "/when/after/where", [condition])
    assert detail in faults(document)[f"/when/after/where/0{pointer}"]


DEVIATION: Document = {
    "type": "deviation",
    "measure": {"of": "sum", "event": "purchase", "field": "event.amount", "over": {"last": "30d"}},
    "against": {"periods": 6},
    "by_percent": 50,
}


@pytest.mark.parametrize(
    ("when", "pointer", "detail"),
    [
        ({"type": "date", "field": "profile.contract.end"}, "/when/field", "too deep"),
        ({"type": "date", "field": "profile.end", "shift": "-30mo"}, "/when/shift", "more than 800 days"),
        ({"type": "dormancy", "no": {"event": "purchase"}, "for": "20y"}, "/when/for", "longer than 4000 days"),
        ({"type": "sequence", "steps": [{"event": "a"}], "within": "3d"}, "/when/steps", "at least 2"),
        ({"type": "sequence", "steps": [{"event": "a"}] * 2, "within": "2y"}, "/when/within", "longer than 400 days"),
        (
            DEVIATION | {"measure": DEVIATION["measure"] | {"over": {"last": "200d"}}},
            "/when/against/periods",
            "1400 panes",
        ),
        (DEVIATION | {"against": {"periods": 2, "min_history": "10h"}}, "/when/against/min_history", "unit"),
        (
            DEVIATION | {"measure": DEVIATION["measure"] | {"over": {"calendar": "month"}}},
            "/when/measure/over",
            "windows of the same length",
        ),
    ],
)
def test_a_moment_that_cannot_come_is_refused(when: Document, pointer: str, detail: str) -> None:
    found = faults({"id": "some-rule", "name": "x", "when": when, "emit": {"trigger": "a.b"}})
    assert detail in found[pointer]


@pytest.mark.parametrize("id", ["backtests", "validate"])
def test_a_rule_is_not_called_like_an_address_of_something_else(id: str) -> None:
    assert "address of something else" in faults({**BASKET, "id": id})["/id"]


def test_a_run_is_asked_for_the_events_that_it_has() -> None:
    steps = {"type": "sequence", "steps": [{"event": "quote"}, {"event": "visit"}], "within": "3d"}
    emit = {"trigger": "a.b", "include": {"quote": "first.quote_id", "place": "second.branch", "no": "third.x"}}
    found = faults({"id": "some-rule", "name": "x", "when": steps, "emit": emit})
    assert list(found) == ["/emit/include/no"]


@pytest.mark.parametrize(
    ("condition", "pointer", "detail"),
    [
        ({"field": "profile.tier", "op": "changed_within", "value": "30"}, "/value", '"30" is not a span; e.g. 30d'),
        ({"field": "profile.tier", "op": "changed_within", "value": 30}, "/value", "30 is not a span"),
        ({"field": "profile.tier", "op": "changed_within", "value": "2y"}, "/value", "longer than 400 days"),
        ({"field": "profile.a.b", "op": "changed_within", "value": "2d"}, "/field", "too deep"),
        ({"field": "first.a", "op": "changed_within", "value": "2d"}, "/op", "a field of the profile"),
        ({"in_segment": "vip", "op": "is"}, "", "goes without op and value"),
        ({"in_segment": "V"}, "/in_segment", "is not the id of a segment"),
    ],
)
def test_a_condition_on_a_segment_or_a_change_is_refused_where_it_is_wrong(
    condition: Document, pointer: str, detail: str
) -> None:
    assert detail in faults(BASKET | {"who": [condition]})[f"/who/0{pointer}"]


def test_all_faults_are_told_at_once() -> None:
    document = changed(changed(BASKET, "/when/for", "x"), "/emit/trigger", 5)
    del document["name"]
    assert set(faults(document)) == {"/when/for", "/emit/trigger", "/name"}


def test_a_pointer_escapes_what_a_name_may_hold() -> None:
    assert "/limits/a~1b~0c" in faults(changed(BASKET, "/limits/x", 1) | {"limits": {"a/b~c": 1}})


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_places = st.sampled_from(
    ["/id", "/when", "/when/for", "/when/after", "/when/after/where", "/who", "/limits", "/limits/max", "/emit"]
)


@settings(max_examples=300, deadline=None)
@given(place=_places, value=_json)
def test_whatever_is_written_it_is_a_rule_or_refused_with_a_reason(place: str, value: Any) -> None:
    document = json.loads(json.dumps(changed(BASKET, place, value)))
    try:
        rule = validation.read(document)
    except Invalid as refused:
        assert refused.errors
        assert all(fault.detail for fault in refused.errors)
    else:
        assert language.decode(msgspec.json.encode(rule)) == rule

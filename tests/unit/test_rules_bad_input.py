"""Is a document that is wrong, huge, deep, contradictory or hostile refused at once, and at its place?"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import Invalid, Refused
from libs.common.web import strict_json
from services.rules.document import checking
from services.rules.engine.snapshot import Source, compile_snapshot

Document = dict[str, Any]
ZONE = "Asia/Seoul"
PATIENCE_SECONDS = 5.0
LEAF = {"field": "event.a", "op": "is", "value": 1}
RULE: Document = {
    "id": "some-rule",
    "name": "x",
    "when": {"type": "event", "event": "purchase", "where": [LEAF]},
    "emit": {"trigger": "offer.x"},
}


def where(*conditions: Any) -> Document:
    return {**RULE, "when": {"type": "event", "event": "purchase", "where": list(conditions)}}


def nested(depth: int, form: str = "not") -> Any:
    condition: Any = LEAF
    for _ in range(depth):
        condition = {form: condition if form == "not" else [condition]}
    return condition


def refusal(document: Any) -> Invalid:
    began = time.monotonic()
    with pytest.raises(Invalid) as caught:
        checking.read(document, ZONE)
    assert time.monotonic() - began < PATIENCE_SECONDS
    return caught.value


HOSTILE: dict[str, tuple[Document, str]] = {
    "10,000 conditions": (where(*[LEAF] * 10_000), ""),
    "1,001 conditions in groups": (where(*[{"any": [LEAF] * 143}] * 7), ""),
    "201 conditions in a row": (where(*[LEAF] * 201), "/when/where"),
    "nine groups deep": (where(nested(9)), "/when/where/0" + "/not" * 8),
    "nine lists deep": (where(nested(9, "any")), "/when/where/0" + "/any/0" * 8),
    "a list of 10,001 values": (
        where({"field": "event.a", "op": "in", "value": list(range(10_001))}),
        "/when/where/0/value",
    ),
    "a regular expression": (where({"field": "event.a", "op": "matches", "value": "(a+)+$"}), "/when/where/0/op"),
    "code": (where({"field": "event.__class__.__mro__", "op": "exec", "value": "import os"}), "/when/where/0/op"),
    "a path of 300 letters": (where({"field": f"event.{'a' * 300}", "op": "exists"}), "/when/where/0/field"),
    "lowest above highest": (where({"field": "event.a", "op": "between", "value": [5, 1]}), "/when/where/0/value"),
    "both a field and a group": (where({**LEAF, "any": [LEAF]}), "/when/where/0"),
    "a condition that is a list": (where([LEAF]), "/when/where/0"),
    "a name of a megabyte": ({**RULE, "name": "x" * (1 << 20)}, "/name"),
    "an id with a path": ({**RULE, "id": "../../etc"}, "/id"),
    "a wait of 99,999 years": (
        {**RULE, "when": {"type": "absence", "after": {"event": "a"}, "no": {"event": "b"}, "for": "99999y"}},
        "/when/for",
    ),
    "panes of seconds for a year": (
        {
            **RULE,
            "when": {
                "type": "measure",
                "measure": {"of": "count", "event": "a", "over": {"last": "99999s"}},
                "reaches": 1,
            },
        },
        "/when/measure/over",
    ),
    "a kind that is a list": ({**RULE, "when": {"type": [], "event": "purchase"}}, "/when/type"),
    "51 tests": ({**RULE, "tests": [{"name": "t", "given": [], "expect": []}] * 51}, "/tests"),
}


@pytest.mark.parametrize(("document", "pointer"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_document_is_refused_at_once_and_at_its_place(document: Document, pointer: str) -> None:
    errors = {each.pointer: each.detail for each in refusal(document).errors}
    assert pointer in errors
    assert all(len(detail) < 500 for detail in errors.values())


def test_what_lies_beyond_depth_numbers_and_names_is_refused_before_anybody_looks_at_it() -> None:
    deep = msgspec.json.encode(where(nested(20)))
    with pytest.raises(Invalid, match="nested more than 32 deep"):
        strict_json.check(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
    strict_json.check(deep)
    with pytest.raises(Invalid, match="occurs twice"):
        strict_json.check(deep.replace(b'"name":"x"', b'"name":"x","id":"other-rule"'))
    with pytest.raises(Refused, match="NaN"):
        strict_json.check(deep.replace(b'"value":1', b'"value":NaN'))


def test_the_largest_rules_that_are_allowed_are_checked_compiled_and_tested_in_moments() -> None:
    branches = [
        {"any": [{"field": f"event.f{m}", "op": "in", "value": [m, str(n)]} for m in range(9)]} for n in range(100)
    ]
    event = {"type": "purchase", "time": "2026-03-02T10:00:00Z", "data": {f"f{m}": m for m in range(9)}}
    tests = [{"name": "t", "given": [event] * 200, "expect": [{"event": str(n + 1)} for n in range(200)]}] * 10
    began = time.monotonic()
    checked = checking.read({**where(*branches), "tests": tests}, ZONE)
    compile_snapshot([Source(checked.body, 1)], ZONE)
    assert time.monotonic() - began < PATIENCE_SECONDS


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for name, each in inner for place in places(each, (*at, name)))]


FULL: Document = {
    **RULE,
    "who": [{"any": [LEAF | {"field": "profile.a"}, {"not": LEAF | {"field": "profile.b"}}]}],
    "limits": {"cooldown": "1d", "max": {"times": 2, "per": "3d"}},
    "time": {"zone": "company", "accept_late": "2d"},
    "valid": {"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
    "tests": [
        {
            "name": "t",
            "given": [{"type": "purchase", "time": "2026-03-02T10:00:00Z", "data": {"a": 1}, "profile": {"a": 1}}],
            "expect": [{"at": "2026-03-02T10:00:00Z"}],
        }
    ],
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_document_with_anything_anywhere_is_a_rule_or_is_refused_with_places_in_it(data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(FULL)))
    document = spoiled(FULL, place, data.draw(JSON))
    try:
        checked = checking.read(document, ZONE)
    except Invalid as error:
        assert error.errors
        for each in error.errors:
            assert each.detail
            assert each.pointer == "" or each.pointer.startswith("/")
    else:
        compile_snapshot([Source(checked.body, 1)], ZONE)


def spoiled(value: Any, place: tuple[Any, ...], put: Any) -> Any:
    if not place:
        return put
    if isinstance(value, dict):
        return value | {place[0]: spoiled(value[place[0]], place[1:], put)}
    return [spoiled(each, place[1:], put) if at == place[0] else each for at, each in enumerate(value)]


def test_the_rule_that_is_spoiled_is_one() -> None:
    assert checking.read(FULL, ZONE).rule.id == "some-rule"

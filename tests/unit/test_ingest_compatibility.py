"""Is a new schema let through only when it certainly accepts what was accepted, and is the place of the rest named?"""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import Conflict, Invalid
from services.ingest.schemas.compatibility import Narrowing, narrowings
from services.ingest.schemas.registration import require_compatible, same
from services.ingest.schemas.schema import compiled
from services.ingest.schemas.standard import standard

CLOSED = {"additionalProperties": False, "properties": {"a": {"type": "integer"}, "b": {}}}
CHOICE = {"anyOf": [{"type": "string", "maxLength": 4}, {"type": "object", "properties": {"x": {"type": "integer"}}}]}


def narrowed(new: Any, *present: Any) -> dict[str, str]:
    """The places that may refuse what was accepted, with yes for what certainly does, and unproven for the rest."""
    found = narrowings(compiled(new), [compiled(each) for each in present])
    return {each.pointer: "yes" if each.proven else "unproven" for each in found}


def purchase(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(dict(standard()["purchase"].document)) | changes


@pytest.mark.parametrize("name", sorted(standard()))
def test_no_schema_is_narrower_than_itself(name: str) -> None:
    assert not narrowed(standard()[name].document, standard()[name].document)


@pytest.mark.parametrize(
    ("new", "present"),
    [
        ({}, {"type": "object", "required": ["a"]}),
        ({"properties": {"a": {"type": "number"}}}, {"properties": {"a": {"type": "integer"}}}),
        ({"properties": {"a": {"maxLength": 9}}}, {"properties": {"a": {"maxLength": 8}}}),
        ({"properties": {"a": {"enum": [1, 2, 3]}}}, {"properties": {"a": {"enum": [3, 1]}}}),
        ({"properties": {"a": {"type": ["string", "null"]}}}, {"properties": {"a": {"type": "string"}}}),
        ({"required": ["a"]}, {"required": ["b", "a"]}),
        ({"additionalProperties": False, "properties": {"a": {}, "b": {}, "c": {"type": "string"}}}, CLOSED),
        ({"additionalProperties": True, "properties": {"a": {"type": "number"}}}, CLOSED),
        ({"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "number"}}}, CLOSED),
        ({"allOf": [{"required": ["a"]}]}, {"$ref": "#/$defs/k", "$defs": {"k": {"allOf": [{"required": ["a"]}]}}}),
        ({"properties": {"k": {"anyOf": [*CHOICE["anyOf"], {"type": "null"}]}}}, {"properties": {"k": CHOICE}}),
        ({"properties": {"k": {"type": ["string", "object"]}}}, {"properties": {"k": CHOICE}}),
        ({"properties": {"l": {"items": {"type": "number"}}}}, {"properties": {"l": {"items": {"type": "integer"}}}}),
        ({"patternProperties": {"^x": {"type": "number"}}}, {"patternProperties": {"^x": {"type": "integer"}}}),
        ({"title": "Other words", "description": "…", "x-team": "care"}, {}),
        ({"minProperties": 1}, {"required": ["a"]}),
    ],
)
def test_what_accepts_more_or_the_same_is_let_through(new: Any, present: Any) -> None:
    assert not narrowed(new, present)


@pytest.mark.parametrize(
    ("new", "present", "pointer"),
    [
        ({"required": ["a", "b"]}, {"required": ["a"]}, "/required/1"),
        (
            {"properties": {"a": {"type": "number"}}},
            {"properties": {"a": {"type": ["number", "null"]}}},
            "/properties/a/type",
        ),
        ({"properties": {"a": {"enum": [1, 2]}}}, {"properties": {"a": {"enum": [1, 2, 3]}}}, "/properties/a/enum"),
        ({"properties": {"a": {"maximum": 5}}}, {"properties": {"a": {"maximum": 6}}}, "/properties/a/maximum"),
        ({"properties": {"a": {"format": "date"}}}, {"properties": {"a": {"type": "string"}}}, "/properties/a/format"),
        ({"properties": {"n": {"type": "string"}}}, {}, "/properties/n"),
        ({"additionalProperties": False}, {}, "/additionalProperties"),
        ({"additionalProperties": False, "properties": {"a": {}}}, CLOSED, "/additionalProperties"),
        ({"properties": {"a": False}}, {"properties": {"a": {}}}, "/properties/a"),
        (
            {"properties": {"l": {"items": {"required": ["p"]}}}},
            {"properties": {"l": {"items": {"type": "object"}}}},
            "/properties/l/items/required/0",
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}},
            {"properties": {"a": {"type": ["integer", "string"]}}},
            "/$defs/n/type",
        ),
        ({"properties": {"k": {"anyOf": CHOICE["anyOf"][:1]}}}, {"properties": {"k": CHOICE}}, "/properties/k/anyOf"),
        ({"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": True}}}, "/properties/a/const"),
        ({"minProperties": 2}, {"required": ["a"]}, "/minProperties"),
    ],
)
def test_what_accepts_less_is_pointed_at(new: Any, present: Any, pointer: str) -> None:
    assert narrowed(new, present).get(pointer) == "yes"


def test_what_cannot_be_decided_is_not_let_through() -> None:
    assert narrowed({"properties": {"a": {"type": "integer"}}}, {"properties": {"a": {"type": "number"}}})
    wider = {"properties": {"c": {"pattern": "^[A-Z]{3,4}$"}}}
    assert narrowed(wider, {"properties": {"c": {"pattern": "^[A-Z]{3}$"}}}) == {"/properties/c/pattern": "unproven"}


def test_each_narrowing_of_a_new_version_has_its_own_pointer() -> None:
    new = purchase(required=["amount", "currency", "order"])
    new["properties"]["channel"] = {"type": "string"}
    new["$defs"]["item"]["properties"]["quantity"] = {"type": "integer"}
    assert narrowed(new, purchase()) == {
        "/required/2": "yes",
        "/properties/channel": "yes",
        "/$defs/item/properties/quantity/type": "yes",
    }


def test_a_first_schema_is_compared_with_any_object() -> None:
    assert not narrowed({"type": "object", "properties": {"a": True}})
    assert narrowed({"required": ["a"]}) == {"/required/0": "yes"}


def test_what_is_added_to_a_standard_type_is_compared_with_both() -> None:
    own = {"required": ["store"]}
    assert not narrowed({"required": ["store", "amount"]}, purchase(), own)
    assert narrowed({"required": ["store", "till"]}, purchase(), own) == {"/required/1": "yes"}


def test_schemas_that_are_too_intricate_are_not_proven_and_cost_little() -> None:
    ways = {"allOf": [{"oneOf": [{"required": [f"a{n}_{m}"]} for m in range(6)]} for n in range(30)]}
    others = {"allOf": [{"oneOf": [{"required": [f"b{n}_{m}"]} for m in range(6)]} for n in range(30)]}
    assert set(narrowed(ways, others).values()) == {"unproven"}
    assert not narrowed(ways, ways)


def test_long_lists_of_values_and_of_dependencies_cost_little() -> None:
    began = time.thread_time()
    listed, shifted = {"enum": list(range(8_000))}, {"enum": list(range(1, 8_001))}
    assert narrowed(listed, shifted) == {"/enum": "unproven"}
    assert not narrowed(listed, {"enum": list(range(7_999))})
    chained = {"dependentRequired": {f"a{n}": [f"a{n + 1}"] for n in range(300)}}
    others = {"dependentRequired": {f"a{n}": [f"a{n + 2}"] for n in range(300)}}
    assert narrowed(chained, others) == {"/dependentRequired": "unproven"}
    assert time.thread_time() - began < 1.0


NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.5, "", "x", "xyz", "2026-11-21"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
LEAVES = st.one_of(
    st.booleans(),
    st.builds(lambda kinds: {"type": sorted(kinds)}, st.sets(TYPES, min_size=1, max_size=3)),
    st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=3, unique_by=repr)),
    st.builds(lambda limit: {"maximum": limit}, st.integers(-1, 2)),
    st.builds(lambda limit: {"minLength": limit}, st.integers(0, 3)),
    st.builds(lambda names: {"required": sorted(names)}, st.sets(NAMES, max_size=2)),
    st.builds(lambda limit: {"maxProperties": limit}, st.integers(0, 3)),
    st.just({"format": "date"}),
)


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(NAMES, inner, max_size=3)
    parts = st.fixed_dictionaries(
        {},
        optional={
            "properties": members,
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, max_size=2),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "contains": inner,
            "maxContains": st.integers(0, 2),
            "propertyNames": inner,
            "dependentSchemas": members,
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
        },
    )
    return parts.map(lambda part: dict(list(part.items())[:4]))


SCHEMAS = st.recursive(LEAVES, around, max_leaves=8).filter(lambda schema: isinstance(schema, dict))


@settings(max_examples=100, deadline=None)
@given(old=SCHEMAS, new=SCHEMAS, values=st.lists(st.dictionaries(NAMES, VALUES, max_size=3), min_size=8, max_size=8))
def test_nothing_that_was_accepted_is_refused_by_a_version_that_was_let_through(
    old: Any, new: Any, values: list[Any]
) -> None:
    before, after = compiled(old), compiled(new)
    for value in values:
        assert bool(before.violations(value, 0, all_of_them=True)) is not before.is_valid(value)
    if narrowings(after, [before]):
        return
    refused = [value for value in values if before.is_valid(value) and not after.is_valid(value)]
    assert not refused


@settings(max_examples=60, deadline=None)
@given(old=SCHEMAS, more=SCHEMAS, values=st.lists(st.dictionaries(NAMES, VALUES, max_size=3), min_size=8, max_size=8))
def test_a_narrowing_that_is_called_proven_is_one(old: Any, more: Any, values: list[Any]) -> None:
    """An alternative added at the top can refuse nothing; whatever is said of it must not be called certain."""
    found = narrowings(compiled({"anyOf": [old, more]}), [compiled(old)])
    assert not [each for each in found if each.proven]


def test_a_narrowing_is_a_conflict_unless_it_is_meant_and_said_why() -> None:
    found = [Narrowing("/required/1", "'b' could be left out until now", True)]
    with pytest.raises(Conflict) as caught:
        require_compatible(found, 3, "backward", "")
    assert [(fault.pointer, fault.detail) for fault in caught.value.errors] == [
        ("/schema/required/1", "'b' could be left out until now")
    ]
    assert "version 3" in caught.value.detail
    with pytest.raises(Invalid) as refused:
        require_compatible(found, 3, "none", " ")
    assert refused.value.errors[0].pointer == "/note"
    require_compatible(found, 3, "none", "The tills were all changed yesterday.")
    require_compatible([], 3, "backward", "")


def test_what_is_not_proven_is_said_to_be_that_and_no_more() -> None:
    with pytest.raises(Conflict) as caught:
        require_compatible([Narrowing("/pattern", "…", False)], 1, "backward", "")
    assert "cannot be proven" in caught.value.detail


def test_the_order_of_names_makes_no_new_version() -> None:
    assert same({"a": 1, "type": "object"}, '{"type":"object","a":1}')
    assert not same({"type": "array"}, '{"type":"object"}')
    assert not same({}, None)

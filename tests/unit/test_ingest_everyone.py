"""Does the door say of an event without a person that it concerns everyone, and of no other?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from libs.common.errors import Conflict, Invalid
from libs.common.kafka import Record
from services.ingest.intake import Form, Rejected, Terms, decode_batch
from services.ingest.keys.book import Scope, WriteKey
from services.ingest.records import EVERYONE, records_of
from services.ingest.schemas import registration
from services.ingest.schemas.kinds import Kinds
from services.ingest.schemas.schema import compiled
from services.ingest.schemas.standard import standard, subjects_of
from services.rules.document.everyone import TYPES
from tests.ingest_events import TILL, event, terms

PAGE = WriteKey("key-3", "shop", [], [], Scope(kind="browser"))
OWN = {"type": "object", "x-subject": ["route"], "properties": {"route": {"type": "string"}}}


def test_exactly_the_types_that_name_a_subject_concern_everyone_in_rules_as_well() -> None:
    assert tuple(name for name, schema in standard().items() if subjects_of(schema)) == TYPES


@pytest.mark.parametrize(
    ("changes", "key", "traffic", "said"),
    [
        ({}, TILL, "", True),
        ({"identifiers": {"account": "a"}}, TILL, "", False),
        ({"type": "visit", "data": {}}, TILL, "", False),
        ({}, TILL, "test", False),
        ({}, PAGE, "", False),
    ],
    ids=["nobody is named", "somebody is named", "of people", "a test", "a stranger's key"],
)
def test_only_what_names_nobody_and_is_meant_by_the_company_goes_out_to_everyone(
    changes: dict[str, Any], key: WriteKey, traffic: str, said: bool
) -> None:
    assert (EVERYONE in sent(changes, replace(terms(key), traffic=traffic)).headers) is said


def test_an_owner_says_by_the_schema_that_a_type_has_no_person() -> None:
    kinds = Kinds({"route_closed": compiled(OWN), "plain": compiled({"type": "object"}), "free": None})
    assert [kinds.concerns_everyone(each) for each in ("route_closed", "plain", "free")] == [True, False, False]
    found = sent({"type": "route_closed", "data": {"route": "2"}}, replace(terms(), kinds=kinds))
    assert EVERYONE in found.headers
    assert told(kinds) == ["An event without a person must say what it is about: data.route is missing."]


@pytest.mark.parametrize("named", ["product", [], [1], [""], {"product": True}])
def test_what_is_no_list_of_fields_is_refused_when_it_is_registered(named: Any) -> None:
    with pytest.raises(Invalid) as caught:
        registration.usable({"type": "object", "x-subject": named})
    assert [each.pointer for each in caught.value.errors] == ["/schema/x-subject"]


def test_an_old_schema_that_used_the_word_for_something_else_still_means_a_person() -> None:
    assert not Kinds({"old": compiled({"x-subject": {"about": "x"}})}).concerns_everyone("old")


def sent(changes: dict[str, Any], given: Terms) -> Record:
    whole = event(type="price_dropped", identifiers={}, data={"product": "tea-12"}) | changes
    [record] = records_of(decode_batch(json.dumps(whole).encode(), Form.NATIVE, given), given, 2)
    return record


def told(kinds: Kinds) -> list[str]:
    """What is said of an event that names neither a person nor a route."""
    given = replace(terms(), kinds=kinds)
    whole = event(type="route_closed", identifiers={}, data={})
    [refused] = decode_batch(json.dumps(whole).encode(), Form.NATIVE, given).verdicts
    assert isinstance(refused, Rejected)
    return [refused.detail]


NAMED = {"type": "object", "properties": {"route": {"type": "string"}, "line": {"type": "string"}}}


@pytest.mark.parametrize(
    ("before", "named", "found"),
    [
        (NAMED, ["route"], [True]),
        (None, ["route"], [True]),
        (NAMED | {"x-subject": ["route"]}, ["route", "line"], []),
        (NAMED | {"x-subject": ["route", "line"]}, ["route"], [False]),
        (NAMED | {"required": ["route"]}, ["route"], [False]),
        (NAMED | {"x-subject": ["route"]}, None, []),
    ],
    ids=["new", "of a free type", "one more", "one less", "perhaps empty", "no more"],
)
def test_what_an_event_must_say_it_is_about_from_now_on_is_a_narrowing(
    before: dict[str, Any] | None, named: list[str] | None, found: list[bool]
) -> None:
    after = NAMED if named is None else NAMED | {"x-subject": named}
    if before is not None:
        after = {**before, **after}
    own = None if before is None else json.dumps(before)
    if named is None:
        after.pop("x-subject", None)
    narrower = [each for each in registration.compared(after, "route_closed", own)[1] if each.pointer == "/x-subject"]
    assert [each.proven for each in narrower] == found
    good = {} if found == [True] else {"route": "", "line": "2"}
    if found and before is not None:
        was, now = (Kinds({"route_closed": compiled(each)}) for each in (before, after))
        assert not refused(was, good) and refused(now, good)


def test_who_names_somebody_is_refused_as_well_so_that_a_new_subject_stops_a_registration() -> None:
    after = NAMED | {"x-subject": ["route"]}
    _, found = registration.compared(after, "route_closed", json.dumps(NAMED))
    with pytest.raises(Conflict) as caught:
        registration.require_compatible(found, 1, "backward", "")
    assert [each.pointer for each in caught.value.errors] == ["/schema/x-subject"]
    assert refused(Kinds({"route_closed": compiled(after)}), {}, identifiers={"account": "a"})


def test_a_subject_that_is_always_given_already_narrows_nothing() -> None:
    before = {"type": "object", "properties": {"line": {"type": "integer"}}, "required": ["line"]}
    assert registration.compared(before | {"x-subject": ["line"]}, "line_lost", json.dumps(before))[1] == []


def test_of_a_standard_type_what_ships_says_what_it_is_about() -> None:
    own = {"type": "object", "properties": {"memo": {"type": "string"}}, "x-subject": ["memo"]}
    assert [e for e in registration.compared(own, "visit", None)[1] if e.pointer == "/x-subject"] == []


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        (NAMED | {"x-subject": ["route", "branch", "rute"]}, ["/schema/x-subject/2"]),
        ({"type": "object", "x-subject": ["route"]}, ["/schema/x-subject/0"]),
        ({"$ref": "#/$defs/whole", "$defs": {"whole": NAMED}, "x-subject": ["line"]}, []),
        ({"type": "object", "allOf": [NAMED], "x-subject": ["line"]}, []),
        ({"type": "object", "x-subject": ["branch"]}, []),
    ],
)
def test_a_subject_is_a_property_or_the_branch_of_the_event(document: dict[str, Any], pointers: list[str]) -> None:
    try:
        registration.usable(document)
        found = []
    except Invalid as error:
        found = [each.pointer for each in error.errors]
    assert found == pointers


def refused(kinds: Kinds, data: dict[str, Any], **more: Any) -> bool:
    given = replace(terms(), kinds=kinds)
    whole = event(**({"type": "route_closed", "identifiers": {}, "data": data} | more))
    [verdict] = decode_batch(json.dumps(whole).encode(), Form.NATIVE, given).verdicts
    return isinstance(verdict, Rejected)

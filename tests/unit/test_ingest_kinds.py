"""Is the data of each event held to its schema, as strictly as its source is, whoever wrote the schema?"""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import Invalid
from libs.common.events import EventReceived
from services.ingest.intake import Accepted, Form, Rejected, decode_batch
from services.ingest.refusals import Reject, Violation
from services.ingest.schemas.compatibility import narrowings
from services.ingest.schemas.kinds import FAMILIES, Kinds
from services.ingest.schemas.modes import Mode, SourceModes
from services.ingest.schemas.schema import BYTES_MAX, Schema, compiled
from services.ingest.schemas.standard import SUBJECT, standard
from services.ingest.schemas.walk import KEYWORDS
from tests.ingest_events import TILL, event, judged, terms

SHIPPED = """purchase refund product_view cart_add search visit call_inbound call_outcome inquiry complaint
complaint_resolved identify consent_given consent_withdrawn life.marriage life.childbirth life.move life.job_change
life.retirement contract.opened contract.ending contract.closed offer.shown offer.accepted offer.declined
coupon.redeemed survey.answered attended referred price_dropped restocked branch_closing competitor_opened
weather""".split()


def received(type: str, data: object = None, source: str = "store-1/pos-1", branch: str | None = None) -> EventReceived:
    whole = {"id": "1", "source": source, "type": type, "time": "2026-11-21T10:15:00+09:00", "data": data or {}}
    if branch is not None:
        whole["branch"] = branch
    return msgspec.json.decode(json.dumps(whole), type=EventReceived)


def refused(kinds: Kinds, given: EventReceived) -> tuple[str, str, str]:
    with pytest.raises(Reject) as caught:
        kinds.check(given)
    return caught.value.reason, caught.value.pointer, caught.value.detail


def observing(own: dict[str, Schema | None] | None = None, source: str = "*") -> Kinds:
    return Kinds(own, SourceModes({source: "observe"}))


def faults(document: object) -> dict[str, str]:
    """What forbids the use of a schema, by pointer."""
    with pytest.raises(Invalid) as caught:
        compiled(document)
    return {fault.pointer: fault.detail for fault in caught.value.errors}


def test_every_type_that_everybody_was_promised_ships() -> None:
    assert standard().keys() >= set(SHIPPED)


@pytest.mark.parametrize("name", sorted(standard()))
def test_a_shipped_schema_accepts_its_own_examples_and_says_what_it_is_for(name: str) -> None:
    schema = standard()[name]
    assert schema.document["description"].endswith(".")
    for example in schema.document["examples"]:
        assert Kinds().check(received(name, example)) == ()


@pytest.mark.parametrize("amount", [0, -3, 45000.5, "45000.50", "-1", "999999999999999.123456789", 10**15])
def test_an_amount_is_a_number_or_a_decimal_text(amount: object) -> None:
    assert Kinds().check(received("purchase", {"amount": amount, "currency": "KRW"})) == ()


@pytest.mark.parametrize("amount", ["1\n", "4,500", " 1", "1e3", "1" * 16, "1.", 10**15 + 1, -(10**15) - 1, True, None])
def test_what_no_reader_takes_for_an_amount_is_refused(amount: object) -> None:
    reason, pointer, detail = refused(Kinds(), received("purchase", {"amount": amount, "currency": "KRW"}))
    assert (reason, pointer) == ("invalid-data", "/data/amount")
    assert "a JSON number or a text" in detail


@pytest.mark.parametrize("currency", ["KRW\n", "krw", "KRWX", "", None, 410])
def test_a_currency_is_exactly_three_capital_letters(currency: object) -> None:
    assert refused(Kinds(), received("purchase", {"amount": 1, "currency": currency}))[1] == "/data/currency"


def test_a_member_that_may_be_absent_may_be_null() -> None:
    item = {"product": None, "quantity": None, "price": None}
    data = {"amount": 1, "currency": "KRW", "items": [item], "order": None, "payment": None}
    assert Kinds().check(received("purchase", data)) == ()


@pytest.mark.parametrize(
    ("type", "data", "pointer", "said"),
    [
        ("purchase", {"currency": "KRW"}, "/data", "'amount' is missing"),
        ("purchase", {"amount": 1, "currency": "KRW", "items": {}}, "/data/items", "a list; found an object"),
        (
            "purchase",
            {"amount": 1, "currency": "KRW", "items": [{}, {"price": []}]},
            "/data/items/1/price",
            "found a list",
        ),
        ("consent_given", {"channel": "pigeon"}, "/data/channel", "email"),
        ("search", {"results": 1.5}, "/data/results", "a whole number or null; found a number"),
        ("call_inbound", {"duration_seconds": -1}, "/data/duration_seconds", "a number of seconds"),
        ("identify", {"traits": {"": 1}}, "/data/traits", "A name in the object does not fit"),
    ],
)
def test_it_is_said_where_and_what_was_expected(type: str, data: object, pointer: str, said: str) -> None:
    reason, where, detail = refused(Kinds(), received(type, data))
    assert (reason, where) == ("invalid-data", pointer)
    assert said in detail and detail.endswith(".")


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"enum": ["a", "b"]}, "c", 'one of "a", "b"'),
        ({"const": 5}, 6, "Expected 5"),
        ({"minLength": 3}, "x", "at least 3 characters"),
        ({"format": "date"}, "tomorrow", "of the format date"),
        ({"pattern": "^T[0-9]$"}, "x", "^T[0-9]$"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "Expected a whole number or null; found a"),
        ({"anyOf": [{"type": "null"}, {"type": "object", "required": ["k"]}]}, {}, "'k' is missing"),
        ({"oneOf": [{"type": "number"}, {"minimum": 1}]}, 3, "several of the alternatives"),
        ({"additionalProperties": False, "properties": {"years": {}}}, {"yaers": 1}, "did you mean years?"),
        ({"not": {"type": "string"}}, "x", "anything but"),
        ({"multipleOf": 0.01}, 0.001, "multiple of 0.01"),
        (False, "x", "Nothing may stand here"),
        ({"title": "a warranty number", "pattern": "^W"}, "x", "Expected a warranty number; found another text"),
        ({"uniqueItems": True}, [1, 1], "nothing stands twice"),
    ],
)
def test_an_owners_schema_is_explained_in_plain_words(schema: Any, value: object, said: str) -> None:
    kinds = Kinds({"own": compiled({"properties": {"v": schema}})})
    reason, pointer, detail = refused(kinds, received("own", {"v": value}))
    assert (reason, pointer) == ("invalid-data", "/data/v")
    assert said in detail


def test_a_value_is_never_repeated_for_it_may_be_a_persons() -> None:
    kinds = Kinds({"own": compiled({"properties": {"v": {"anyOf": [{"type": "integer"}, {"maxLength": 3}]}}})})
    assert "+821012345678" not in refused(kinds, received("own", {"v": "+821012345678"}))[2]


@pytest.mark.parametrize("data", [[1], 5, "x", True])
def test_data_is_an_object_also_from_an_observed_source(data: object) -> None:
    for name in ("own", "purchase", "segment.track.order", "nobody"):
        assert refused(observing({"own": None}), received(name, data))[:2] == ("invalid-data", "/data")


def test_an_owner_may_ask_more_of_a_standard_type_and_never_less() -> None:
    kinds = Kinds({"purchase": compiled({"required": ["store"], "properties": {"amount": {}}})})
    assert refused(kinds, received("purchase", {"amount": 1, "currency": "KRW"}))[1] == "/data"
    assert refused(kinds, received("purchase", {"store": 1, "amount": "x", "currency": "KRW"}))[1] == "/data/amount"
    assert kinds.check(received("purchase", {"store": 1, "amount": 1, "currency": "KRW"})) == ()


def test_a_type_of_a_family_needs_no_registration_and_may_have_a_schema() -> None:
    assert FAMILIES == ("segment.track.",)
    assert Kinds().check(received("segment.track.order_completed", {"any": [1]})) == ()
    kinds = Kinds({"segment.track.order_completed": compiled({"required": ["total"]})})
    assert refused(kinds, received("segment.track.order_completed"))[1] == "/data"
    assert kinds.check(received("segment.track.another")) == ()


@pytest.mark.parametrize(
    "name", ["segment.track.", "segment.track.Order", "segment.track.a b", "segment.track." + "x" * 90]
)
def test_a_family_takes_only_names_that_could_be_registered(name: str) -> None:
    assert refused(Kinds(), received(name))[:2] == ("unknown-type", "/type")


def test_an_observed_source_may_send_what_is_wrong_and_it_is_noted_with_every_place() -> None:
    kinds = observing(source="store-*")
    bad = received("purchase", {"amount": "much", "items": [{"price": "x"}]})
    found = kinds.check(bad)
    assert {(each.pointer, each.reason) for each in found} == {
        ("/data", "invalid-data"),
        ("/data/amount", "invalid-data"),
        ("/data/items/0/price", "invalid-data"),
    }
    assert [each.pointer for each in kinds.check(received("nothing_known"))] == ["/type"]
    assert kinds.check(received("purchase", {"amount": 1, "currency": "KRW"})) == ()
    assert refused(kinds, received("purchase", {"amount": 1}, source="web/shop"))[1] == "/data"


@pytest.mark.parametrize("name", ["message.clicked", "task.done", "profile.changed"])
def test_what_only_the_platform_says_is_refused_from_an_observed_source_too(name: str) -> None:
    assert refused(observing(), received(name))[:2] == ("reserved-type", "/type")


@pytest.mark.parametrize("name", ["a\tb", "a\x7f", "a\u2028"])
def test_a_type_with_control_characters_is_refused_from_an_observed_source_too(name: str) -> None:
    assert refused(observing(), received(name))[0] == "unknown-type"


def test_an_accepted_event_carries_what_was_observed() -> None:
    whole = msgspec.structs.replace(terms(TILL), kinds=observing())
    (verdict,) = decode_batch(json.dumps(event(data={})).encode(), Form.NATIVE, whole).verdicts
    assert isinstance(verdict, Accepted)
    assert [each.pointer for each in verdict.violations] == ["/data", "/data"]
    late = event(data={}, time="2020-01-01T00:00:00Z")
    (verdict,) = decode_batch(json.dumps(late).encode(), Form.NATIVE, whole).verdicts
    assert isinstance(verdict, Rejected) and verdict.reason == "wrong-time"
    (verdict,) = decode_batch(json.dumps(event(source="web/x", data={})).encode(), Form.NATIVE, whole).verdicts
    assert isinstance(verdict, Rejected) and verdict.reason == "source-not-allowed"
    unsafe = json.dumps(event(data={"note": "?"})).replace("?", "\\u0000").encode()
    (verdict,) = decode_batch(unsafe, Form.NATIVE, whole).verdicts
    assert isinstance(verdict, Rejected) and verdict.reason == "unsafe-value"


@pytest.mark.parametrize(
    ("modes", "source", "mode"),
    [
        ({}, "a", "enforce"),
        ({"*": "observe"}, "a", "observe"),
        ({"*": "observe", "store-*": "enforce"}, "store-1", "enforce"),
        ({"store-*": "enforce", "store-1*": "observe"}, "store-12", "observe"),
        ({"store-12": "enforce", "store-1*": "observe"}, "store-12", "enforce"),
        ({"store-12": "observe"}, "store-123", "enforce"),
        ({"*/pos-*": "observe", "store-031/*": "enforce"}, "store-031/pos-1", "enforce"),
        ({"a*b": "enforce", "*ab": "observe"}, "aab", "observe"),
        ({"a*a": "observe"}, "a", "enforce"),
        ({"a*bc*d": "observe"}, "abccd", "observe"),
        ({"a*bc*cd": "observe"}, "abcd", "enforce"),
        ({"a.c": "observe"}, "abc", "enforce"),
        ({"**": "observe"}, "x\ny", "observe"),
    ],
)
def test_an_exact_source_decides_before_a_pattern_and_a_long_pattern_before_a_short_one(
    modes: dict[str, Mode], source: str, mode: Mode
) -> None:
    assert SourceModes(modes).of(source) == mode
    assert SourceModes(dict(reversed(modes.items()))).of(source) == mode


def test_a_pattern_of_many_stars_costs_no_more_than_a_search() -> None:
    modes = SourceModes({"a*" * 90 + "b": "observe"})
    began = time.thread_time()
    assert modes.of("a" * 200) == "enforce"
    assert time.thread_time() - began < 0.05


@pytest.mark.parametrize("name", [name for name in SHIPPED if SUBJECT in standard()[name].document])
def test_an_event_without_a_person_must_say_what_it_is_about(name: str) -> None:
    reason, pointer, detail = refused(Kinds(), received(name, {"note": "x"}))
    assert (reason, pointer) == ("invalid-data", "/data")
    assert "what it is about" in detail
    assert [each.pointer for each in observing().check(received(name, {"note": "x"}))] == ["/data"]


@pytest.mark.parametrize(
    ("name", "data", "branch", "good"),
    [
        ("price_dropped", {"product": "tea-12"}, None, True),
        ("price_dropped", {"branch": "gangnam"}, "gangnam", False),
        ("restocked", {"product": 12}, None, True),
        ("branch_closing", {}, "gangnam", True),
        ("branch_closing", {"branch": "gangnam"}, None, True),
        ("branch_closing", {"region": "KR-11"}, None, False),
        ("competitor_opened", {"region": "KR-11"}, None, True),
        ("competitor_opened", {}, "gangnam", True),
        ("weather", {"region": "KR-11", "temperature_celsius": -4.5}, None, True),
        ("weather", {"branch": "gangnam"}, None, True),
        ("weather", {"product": "tea-12"}, None, False),
        ("weather", {"region": ""}, None, False),
    ],
)
def test_a_product_a_branch_or_a_region_stands_for_the_person(
    name: str, data: dict[str, object], branch: str | None, good: bool
) -> None:
    if good:
        assert Kinds().check(received(name, data, branch=branch)) == ()
    else:
        assert refused(Kinds(), received(name, data, branch=branch))[0] == "invalid-data"


@pytest.mark.parametrize(
    ("document", "pointer", "said"),
    [
        ({"$ref": "http://127.0.0.1:9/x.json"}, "/$ref", "nothing is fetched"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/$ref", "nothing is fetched"),
        ({"$ref": "other.json"}, "/$ref", "nothing is fetched"),
        ({"$id": "http://127.0.0.1:9/", "$ref": "x#/y"}, "/$ref", "nothing is fetched"),
        ({"properties": {"a": {"$id": "http://127.0.0.1:9/"}}}, "/properties/a/$id", "only the whole document"),
        ({"$ref": "#/$defs/nobody"}, "/$ref", "no schema at the place"),
        ({"$ref": "#/examples/0", "examples": [{}]}, "/$ref", "no schema at the place"),
        ({"properties": {"a": {"$ref": "#"}}}, "", "cannot contain itself"),
        ({"$dynamicRef": "#x"}, "/$dynamicRef", "use $ref"),
        ({"properties": {"a": {"pattern": "(a+)+\\1"}}}, "/properties/a/pattern", "no pattern that can be used"),
        ({"pattern": "(?=a)b"}, "/pattern", "no pattern that can be used"),
        ({"pattern": "^(\\w{1,100}-){1,100}$"}, "/pattern", "no pattern that can be used"),
        ({"patternProperties": {"(": {}}}, "/patternProperties", "pattern"),
        ({"properties": {"a": {"type": "strin"}}}, "/properties/a/type", "one of string"),
        ({"properties": []}, "/properties", "expected an object"),
        ({"required": "amount"}, "/required", "expected a list"),
        ({"requred": ["amount"]}, "/requred", "did you mean required"),
        ({"properties": {"a": {"nullable": True}}}, "/properties/a/nullable", '["string", "null"]'),
        ({"definitions": {}}, "/definitions", "$defs"),
        ({"format": "phone"}, "/format", "date-time"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "2020-12"),
        ({"description": "x" * BYTES_MAX}, "", "too large"),
        (True, "", "expected an object"),
        ([], "", "expected an object"),
    ],
)
def test_a_schema_that_cannot_be_used_is_pointed_at(document: object, pointer: str, said: str) -> None:
    found = faults(document)
    assert said in found[pointer], found


def test_everything_that_is_wrong_with_a_schema_is_said_at_once() -> None:
    assert len(faults({"type": "strin", "minimum": "x", "properties": {"a": {"required": [1]}}})) == 3


def test_a_schema_that_refers_to_itself_many_times_over_is_refused_before_it_costs_anything() -> None:
    twice = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
    found = faults({"$ref": "#/$defs/d0", "$defs": {**twice, "d30": {}}})
    assert "all references followed" in " ".join(found.values())
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1_000)}
    assert "too deep" in " ".join(faults({"$ref": "#/$defs/d0", "$defs": {**chain, "d1000": {}}}).values())


def test_a_schema_is_bounded_in_depth_and_in_patterns() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"items": deep}
    assert "nested" in " ".join(faults(deep).values())
    patterns = {f"p{n}": {"pattern": f"^{n}$"} for n in range(201)}
    assert "patterns" in " ".join(faults({"properties": patterns}).values())


def test_a_pattern_that_would_take_others_for_ever_takes_us_no_time() -> None:
    kinds = Kinds({"own": compiled({"properties": {"v": {"pattern": "^(a+)+$"}}})})
    began = time.thread_time()
    refused(kinds, received("own", {"v": "a" * 30_000 + "!"}))
    assert time.thread_time() - began < 0.5


def test_references_within_the_document_and_formats_and_own_words_work() -> None:
    schema = compiled(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://schemas.example/warranty.json",
            "x-team": "care",
            "properties": {"at": {"$ref": "#/$defs/the%20day"}, "by": {"$ref": "#/$defs/a~1b"}},
            "$defs": {"the day": {"format": "date"}, "a/b": {"type": "integer"}},
        }
    )
    assert schema.is_valid({"at": "2026-11-21", "by": 3})
    assert not schema.is_valid({"at": "21.11.2026"}) and not schema.is_valid({"by": "3"})


def test_a_big_event_with_thousands_of_mistakes_is_refused_at_its_first() -> None:
    kinds = observing()
    bad = received("purchase", {"amount": 1, "currency": "KRW", "items": [{"price": "x"}] * 8_000})
    began = time.thread_time()
    assert kinds.check(bad) == (Violation("/data/items/0/price", "invalid-data", kinds.check(bad)[0].detail),)
    assert time.thread_time() - began < 0.2


def test_a_small_event_with_thousands_of_mistakes_costs_little_at_an_observed_source() -> None:
    strict = compiled({"properties": {"a": {"items": {"allOf": [{"type": "string"}] * 500}}}})
    bad = received("own", {"a": [1] * 1_000})
    began = time.thread_time()
    assert len(observing({"own": strict}).check(bad)) == 1
    assert time.thread_time() - began < 0.2


def test_a_misspelt_name_in_an_event_costs_little_where_many_are_known() -> None:
    known: dict[str, Any] = {f"property_of_the_thing_{n}": {} for n in range(1_000)}
    kinds = Kinds({"own": compiled({"properties": known, "additionalProperties": False})})
    began = time.thread_time()
    for n in range(50):
        told = refused(kinds, received("own", {"propertyof_the_thing_77": n}))
        assert "did you mean property_of_the_thing_77" in told[2]
    assert time.thread_time() - began < 0.5


def test_a_schema_full_of_words_that_do_not_exist_is_refused_at_the_first_of_them() -> None:
    began = time.thread_time()
    assert len(faults({f"propertis{n}": 1 for n in range(3_000)})) == 20
    assert time.thread_time() - began < 0.3


def test_a_misspelt_type_is_met_with_its_nearest_among_thousands() -> None:
    kinds = Kinds({f"own_type_{n}": None for n in range(3_000)} | {"warranty_registered": None})
    assert "Nearest: warranty_registered" in refused(kinds, received("waranty_registred"))[2]
    began = time.thread_time()
    for number in range(20):
        refused(kinds, received(f"purchse{number}"))
    assert (time.thread_time() - began) / 20 < 0.01


def test_one_event_costs_the_same_among_thousands_of_registered_types() -> None:
    text = {"type": "object", "properties": {f"p{n}": {"type": ["string", "null"]} for n in range(10)}}
    few = Kinds({"own_0": compiled(text)})
    many = Kinds({f"own_{n}": compiled(text) for n in range(1_000)})
    given = received("own_0", {"p1": "x", "p2": None})

    def cost(kinds: Kinds) -> float:
        began = time.thread_time()
        for _ in range(2_000):
            kinds.check(given)
        return time.thread_time() - began

    assert min(cost(many) for _ in range(7)) < 1.6 * min(cost(few) for _ in range(7))


def test_the_door_itself_refuses_by_the_same_schemas() -> None:
    (verdict,) = judged(event(type="weather", data={"condition": "snow"})).verdicts
    assert isinstance(verdict, Rejected) and verdict.pointer == "/data"


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=4)
WORDS = st.sampled_from(
    ["a", "b", "type", "string", "object", "$ref", "#", "#/$defs/a", "#/properties/a", "date", "^a"]
)
JSON = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(KEYWORDS)), JSON, max_size=5), st.dictionaries(WORDS, JSON, max_size=4))
def test_whatever_stands_in_a_schema_is_used_or_refused_and_whatever_it_refuses_is_explained(
    document: dict[str, Any], data: dict[str, Any]
) -> None:
    try:
        schema = compiled(document)
    except Invalid as error:
        assert error.errors and all(fault.detail for fault in error.errors)
        return
    found = schema.violations(data, 0, all_of_them=True)
    assert bool(found) is not schema.is_valid(data)
    assert all(each.pointer.startswith("/data") and each.detail.endswith(".") for each in found)
    assert not narrowings(schema, [schema])

"""What does the mapping language say, and what does it refuse? Words, amounts, times, faults, and what it may cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from libs.common.errors import Invalid
from services.ingest.mapping import compile_mapping
from services.ingest.mapping.amounts import EXPONENTS
from services.ingest.mapping.shelf import shipped_documents
from services.ingest.refusals import MAPPING_FAILED, Reject

EMIT = {"id": "'1'", "type": "'purchase'", "time": "'2026-11-21T10:15:00Z'"}


def mapping(emit: Mapping[str, Any] = {}, **entry: Any) -> dict[str, Any]:
    return {"id": "mine", "events": [{**entry, "emit": {**EMIT, **emit}}]}


def events(document: Mapping[str, Any], body: Any = None, **given: Any) -> list[dict[str, Any]]:
    whole = {"body": body, "headers": {}, "received_at": "2026-11-21T12:00:00+00:00"} | given
    return [json.loads(raw) for raw in compile_mapping(document).events(whole)]


def value(expression: str, body: Any = None, **given: Any) -> Any:
    """What an expression makes; None where it makes nothing."""
    (event,) = events(mapping({"data": {"it": expression}}), body, **given)
    return event.get("data", {}).get("it")


def failure(expression: str, body: Any = None) -> str:
    with pytest.raises(Reject) as caught:
        value(expression, body)
    assert caught.value.reason == MAPPING_FAILED
    assert caught.value.pointer == "/events/0/emit/data/it"
    return caught.value.detail


def faults(document: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        compile_mapping(document)
    return {fault.pointer: fault.detail for fault in caught.value.errors}


def test_each_entry_whose_condition_holds_makes_one_event() -> None:
    document = {
        "id": "mine",
        "events": [
            {"when": "body.paid", "emit": EMIT},
            {"when": "body.refunded", "emit": EMIT | {"id": "'2'", "type": "'refund'"}},
            {"emit": EMIT | {"id": "'3'", "type": "'visit'"}},
        ],
    }
    assert [event["id"] for event in events(document, {"paid": True, "refunded": False})] == ["1", "3"]
    assert [event["id"] for event in events(document, {"paid": 0, "refunded": []})] == ["1", "3"]
    assert [event["id"] for event in events(document, None)] == ["3"]


def test_nothing_that_matches_is_no_event_and_no_error() -> None:
    assert events(mapping(when="headers.topic == 'orders/paid'"), {"id": 1}, headers={"topic": "orders/updated"}) == []


def test_each_makes_one_event_for_every_item() -> None:
    emit = {"id": "concat(body.order, '-', item.no)", "data": {"place": "index"}}
    document = mapping(emit, each="body.lines", when="item.no > `1`")
    found = events(document, {"order": "o7", "lines": [{"no": 1}, {"no": 2}, {"no": 3}]})
    assert [(event["id"], event["data"]) for event in found] == [("o7-2", {"place": 1}), ("o7-3", {"place": 2})]
    assert events(document, {"order": "o7"}) == []
    with pytest.raises(Reject, match="each needs a list"):
        events(document, {"order": "o7", "lines": {}})


def test_what_is_missing_is_left_out_at_every_depth() -> None:
    emit = {
        "branch": "body.branch",
        "identifiers": {"email": "body.email", "phone": "body.phone", "partner:shop": "body.id"},
        "data": {"a": "body.a", "deep": {"b": "body.b", "c": {"value": 1}}, "items": "body.items[].{x: x, y: y}"},
    }
    (event,) = events(mapping(emit), {"email": " ", "phone": None, "id": 42, "items": [{"x": 1}, {"y": None}]})
    assert event["identifiers"] == {"partner:shop": "42"}
    assert event["data"] == {"deep": {"c": 1}, "items": [{"x": 1}, {}]}
    assert "branch" not in event


def test_a_constant_is_an_object_with_a_value_alone() -> None:
    emit = {"data": {"a": {"value": "USD"}, "b": {"value": {"x": None}}, "c": {"value": "`1`", "more": "`2`"}}}
    (event,) = events(mapping(emit))
    assert event["data"] == {"a": "USD", "b": {}, "c": {"value": 1, "more": 2}}


def test_data_and_identifiers_may_be_taken_over_whole() -> None:
    emit = {"identifiers": "body.who", "data": 'merge(body.data, `{"secret": null}`)'}
    (event,) = events(mapping(emit), {"who": {"email": "a@b.c", "phone": ""}, "data": {"x": 1, "secret": 2}})
    assert event["identifiers"] == {"email": "a@b.c"}
    assert event["data"] == {"x": 1}
    wrongs: list[Any] = [{"who": [], "data": {}}, {"who": {}, "data": []}, {"who": {"email": {}}, "data": {}}]
    for wrong in wrongs:
        with pytest.raises(Reject):
            events(mapping(emit), wrong)


@pytest.mark.parametrize("name", ["id", "type", "time"])
def test_an_event_without_its_names_is_refused_with_the_place_in_the_mapping(name: str) -> None:
    with pytest.raises(Reject) as caught:
        events(mapping({name: "body.missing"}), {})
    assert caught.value.pointer == f"/events/0/emit/{name}"
    assert "body.missing" in caught.value.detail


def test_source_branch_and_history_of_the_door_stand_in() -> None:
    (event,) = events(mapping(), None, source="shop", branch="gangnam", history=True)
    assert (event["source"], event["branch"], event["history"]) == ("shop", "gangnam", True)
    (event,) = events(mapping({"source": "'own'", "branch": "'jongno'"}), None, source="shop", branch="gangnam")
    assert (event["source"], event["branch"], "history" in event) == ("own", "jongno", False)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("12.50", "12.5"),
        ("0.10", "0.1"),
        (" 100 ", "100"),
        ("-0.00", "0"),
        ("+5", "5"),
        ("007.10", "7.1"),
        (12.34, "12.34"),
        (0.1, "0.1"),
        (1e3, "1000"),
        (1e-7, "0.0000001"),
        (45000, "45000"),
        (-3, "-3"),
        ("", None),
        (None, None),
    ],
)
def test_money_has_one_way_of_being_written(written: Any, amount: str | None) -> None:
    assert value("money(body)", written) == amount


@pytest.mark.parametrize(
    "written",
    ["1,234", "12.5.0", "1e3", "$12", "NaN", "١٢", "1" * 16, "0." + "1" * 10, 1e22, 10**50, True, [1], {}, "--1"],
)
def test_money_that_is_none_is_refused_and_never_guessed(written: Any) -> None:
    failure("money(body)", written)


def test_what_stands_between_thousands_is_said_and_not_guessed() -> None:
    assert value("money(body, ',')", "1,234,000.50") == "1234000.5"
    assert value("money(body, ' ')", "45 000") == "45000"


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        (1150, "USD", "11.5"),
        (5, "USD", "0.05"),
        (0, "EUR", "0"),
        (-199, "eur", "-1.99"),
        (45000, "KRW", "45000"),
        (45000, "JPY", "45000"),
        (1005, "BHD", "1.005"),
        (12345, "CLF", "1.2345"),
        ("1150", "USD", "11.5"),
        (None, "USD", None),
        (100, None, None),
    ],
)
def test_minor_units_count_as_their_currency_has_it(minor: Any, currency: Any, amount: str | None) -> None:
    assert value("minor(body.m, body.c)", {"m": minor, "c": currency}) == amount


@pytest.mark.parametrize(
    "body", [{"m": 1.5, "c": "USD"}, {"m": 1, "c": "dollars"}, {"m": "x", "c": "USD"}, {"m": True, "c": "USD"}]
)
def test_minor_units_are_whole_and_have_a_currency(body: Any) -> None:
    failure("minor(body.m, body.c)", body)


def test_the_table_of_minor_units_names_real_exceptions_alone() -> None:
    assert set(EXPONENTS.values()) == {0, 3, 4}
    assert all(len(code) == 3 and code.isupper() for code in EXPONENTS)
    assert EXPONENTS["KRW"] == EXPONENTS["JPY"] == EXPONENTS["VND"] == 0
    assert EXPONENTS["KWD"] == EXPONENTS["OMR"] == EXPONENTS["TND"] == 3


def test_a_total_is_exact() -> None:
    assert value("total(body[].amount)", [{"amount": "0.10"}, {"amount": 0.2}, {"amount": None}]) == "0.3"
    assert value("total(body)", []) == "0"
    failure("total(body)", ["x"])
    failure("total(body)", "12")


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-11-21T10:15:00+09:00", "2026-11-21T10:15:00+09:00"),
        ("2026-11-21T10:15:00Z", "2026-11-21T10:15:00Z"),
        ("2026-11-21T17:17:58.120+0000", "2026-11-21T17:17:58.120000Z"),
        ("2023-03-29T18:00:27.877041743Z", "2023-03-29T18:00:27.877041Z"),
        ("2026-11-21 10:15", "2026-11-21T10:15:00Z"),
        ("2026/1/2 3:04:05", "2026-01-02T03:04:05Z"),
        ("2026.11.21", "2026-11-21T00:00:00Z"),
        ("20261121", "2026-11-21T00:00:00Z"),
        (20261121, "2026-11-21T00:00:00Z"),
        ("20261121101500", "2026-11-21T10:15:00Z"),
        ("20261121T101500Z", "2026-11-21T10:15:00Z"),
        ("Sat, 21 Nov 2026 10:15:00 +0900", "2026-11-21T10:15:00+09:00"),
        ("Sat, 21 Nov 2026 01:15:00 GMT", "2026-11-21T01:15:00Z"),
        (1795256100, "2026-11-21T10:15:00Z"),
        ("1795256100", "2026-11-21T10:15:00Z"),
        (1795256100.5, "2026-11-21T10:15:00.500000Z"),
        (1795256100123, "2026-11-21T10:15:00.123000Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read_in_the_ways_that_people_write_it(written: Any, instant: str | None) -> None:
    assert value("time(body)", written) == instant


@pytest.mark.parametrize(
    "written",
    [
        "yesterday",
        "21/11/2026",
        "2026-13-01",
        "2026-02-30",
        "2026-11-21T25:00Z",
        "12",
        12,
        -5,
        1e20,
        True,
        {},
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "2026-11-21T10:15:61Z",
    ],
)
def test_a_time_that_is_none_is_refused(written: Any) -> None:
    failure("time(body)", written)


def test_a_time_without_an_offset_is_in_the_zone_that_is_said() -> None:
    assert value("time(body, 'Asia/Seoul')", "2026-11-21 10:15") == "2026-11-21T10:15:00+09:00"
    assert value("time(body, 'Asia/Seoul')", "2026-11-21 10:15Z") == "2026-11-21T10:15:00Z"
    assert value("time(body, 'America/New_York')", "2026-07-01 10:15") == "2026-07-01T10:15:00-04:00"
    assert "Mars" in failure("time(body, 'Mars/Olympus')", "2026-11-21 10:15")
    failure("time(body, '../../etc/passwd')", "2026-11-21 10:15")


def test_a_day_is_that_of_the_writers_clock_or_of_a_zone() -> None:
    assert value("day(body)", "2026-11-21T23:30:00-05:00") == "2026-11-21"
    assert value("day(body, 'Asia/Seoul')", "2026-11-21T23:30:00-05:00") == "2026-11-22"
    assert value("days_between(body.a, body.b)", {"a": "2026-11-20", "b": "2026-11-21T12:00Z"}) == 1.5
    assert value("days_between(body.a, body.b)", {"a": None, "b": "2026-11-21"}) is None


@pytest.mark.parametrize(
    ("expression", "body", "made"),
    [
        ("text(body)", 12, "12"),
        ("text(body)", 12.0, "12"),
        ("text(body)", 1.5, "1.5"),
        ("text(body)", True, "true"),
        ("text(body)", None, None),
        ("concat('a-', body)", 820982911946154508, "a-820982911946154508"),
        ("concat('a-', body)", None, None),
        ("lower(body)", "ABC", "abc"),
        ("upper(body)", "krw", "KRW"),
        ("default(body, 'x')", None, "x"),
        ("default(body, 'x')", "  ", "x"),
        ("default(body, 'x')", 0, 0),
        ("default(body, absent())", "", None),
        ("slug(body)", "  Gangnam  Store #2 (본점) ", "gangnam-store-2-본점"),
        ("slug(body)", "!!!", None),
        ("body[?a == `1`].b | [0]", [{"a": 1, "b": 2}], 2),
    ],
)
def test_the_own_functions(expression: str, body: Any, made: Any) -> None:
    assert value(expression, body) == made


def test_a_hash_depends_on_its_parts_and_on_nothing_else() -> None:
    first = value("hash(body.a, body.b)", {"a": {"x": 1, "y": 2}, "b": None})
    assert first == value("hash(body.a, body.b)", {"b": None, "a": {"y": 2, "x": 1}})
    assert len(first) == 24
    others = [{"a": {"x": 1, "y": 3}}, {"a": None, "b": {"x": 1, "y": 2}}, {"a": "{'x': 1}"}]
    assert len({first, *(value("hash(body.a, body.b)", other) for other in others)}) == 4
    assert value("hash('ab', 'c')") != value("hash('a', 'bc')")


def test_every_fault_of_a_document_is_found_with_its_place() -> None:
    found = faults(
        {
            "id": "Not An Id",
            "evnts": [],
            "events": [
                {
                    "when": "bodi.paid",
                    "emit": {
                        "id": "concat(",
                        "type": "purchase",
                        "tme": "x",
                        "identifiers": {"emial": "body.email", "partner:shop": "body.id"},
                        "data": {"a/b": "mony(body.a)", "c": "money()", "d": 3, "e": {"f": "lower(body.a, body.b)"}},
                    },
                },
                {"emit": []},
                "x",
            ],
        }
    )
    assert found.keys() == {
        "/id",
        "/evnts",
        "/events/0/when",
        "/events/0/emit",
        "/events/0/emit/id",
        "/events/0/emit/type",
        "/events/0/emit/tme",
        "/events/0/emit/identifiers/emial",
        "/events/0/emit/data/a~1b",
        "/events/0/emit/data/c",
        "/events/0/emit/data/d",
        "/events/0/emit/data/e/f",
        "/events/1",
        "/events/2",
    }
    assert "body" in found["/events/0/when"]
    assert "single quotes" in found["/events/0/emit/type"]
    assert "money" in found["/events/0/emit/data/a~1b"]
    assert "Nearest: time" in found["/events/0/emit/tme"]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "body.",
        "body..a",
        "body[",
        "'open",
        "`{`",
        "body.a ==",
        "a b",
        "body.\x00",
        "@.@",
        "body[?]",
        "(" * 900,
        "!" * 900,
        "item.a",
    ],
)
def test_what_is_no_expression_is_found_before_anything_comes(expression: str) -> None:
    assert list(faults(mapping({"data": {"it": expression}}))) == ["/events/0/emit/data/it"]


def test_a_not_that_would_never_hold_is_found() -> None:
    """JMESPath reads !a.b as (!a).b."""
    for expression in ("!body.voided", "body.a && !body.b", "!body.list[0]"):
        assert "!(a.b)" in faults(mapping({"data": {"it": expression}}))["/events/0/emit/data/it"]
    assert value("!(body.voided)", {"voided": False}) is True
    assert value("body[?!voided].a | [0]", [{"voided": True, "a": 1}, {"a": 2}]) == 2


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": "a", "events": []},
        {"id": "a", "events": {}},
        {"id": "a" * 101, "events": [{"emit": EMIT}]},
        {"id": "a", "description": 1, "events": [{"emit": EMIT}]},
        {"id": "a", "events": [{"emit": EMIT}] * 51},
        mapping({"data": {"it": "body." + "a" * 1_000}}),
        mapping({"data": {f"n{at}": "body" for at in range(98)}}),
        mapping({"data": {"it": " | ".join(["body"] * 100)}}),
        mapping({"type": "'Has Spaces'"}),
        mapping({"type": {"value": 3}}),
        mapping({"data": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": {"k": "body"}}}}}}}}}}}}),
    ],
)
def test_a_document_has_limits(document: dict[str, Any]) -> None:
    assert faults(document)


def test_the_largest_entry_that_is_allowed_compiles() -> None:
    compile_mapping(mapping({"data": {f"n{at}": "body" for at in range(97)}}))


DOUBLING = [
    "body | " + " | ".join(["[@, @]"] * 40),
    "to_string(body | " + " | ".join(["[@, @]"] * 40) + ")",
    "body | " + " | ".join(["{a: @, b: @}"] * 40),
    "body | " + " | ".join(["[@, @][]"] * 40),
    "body | to_string(@) | " + " | ".join(["concat(@, @)"] * 40),
    "body | to_string(@) | " + " | ".join(["join('', [@, @])"] * 40),
    "(body | " + " | ".join(["[@, @]"] * 25) + ") == (body | " + " | ".join(["[@, @]"] * 25) + ")",
    "contains([body | " + " | ".join(["[@, @]"] * 25) + "], body | " + " | ".join(["[@, @]"] * 25) + ")",
]
"""Short texts that stand for more values than there are atoms."""


@pytest.mark.parametrize("expression", DOUBLING)
def test_an_expression_cannot_grow_without_end(expression: str) -> None:
    began = time.process_time()
    with pytest.raises(Reject) as caught:
        value(expression, {"a": [1, 2]})
    assert caught.value.reason == MAPPING_FAILED
    assert time.process_time() - began < 2


HOSTILE: dict[str, Any] = {
    "a megabyte of numbers": [1] * 500_000,
    "a megabyte of objects": [{"a": 1, "b": 2}] * 60_000,
    "a megabyte of lists": [[1, 2]] * 150_000,
    "one long text": "x" * 1_000_000,
    "nested to the end": json.loads("[" * 900 + "]" * 900),
    "objects nested to the end": json.loads('{"body":' * 900 + "1" + "}" * 900),
}
WORK = (
    "body",
    "body[]",
    "body[].a",
    "body[].{x: a, y: b, z: @}",
    "body[?a == `1` || b == `2`] | [0]",
    "sort(body)",
    "sum(body)",
    "to_string(body)",
    "hash(body)",
    "body == body",
    "length(body)",
    "reverse(body)",
    "lower(body)",
    "map(&text(@), body)",
    "total(body)",
    "max_by(body, &a)",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_costs_at_most_moments(name: str) -> None:
    """Whatever an owner wrote, and whatever a megabyte of JSON holds: an answer, or a reason."""
    for expression in WORK:
        began = time.process_time()
        try:
            made = value(expression, HOSTILE[name])
        except Reject as reject:
            assert reject.reason == MAPPING_FAILED
        else:
            assert len(json.dumps(made)) < 2_000_000
        assert time.process_time() - began < 3, expression


def test_all_expressions_of_a_mapping_share_one_purse() -> None:
    document = mapping({"data": {f"n{at}": "length(body[].a)" for at in range(90)}})
    began = time.process_time()
    with pytest.raises(Reject, match="too much work"):
        events(document, [{"a": 1}] * 20_000)
    assert time.process_time() - began < 3


def test_a_body_makes_no_endless_number_of_events() -> None:
    document = mapping({"id": "text(index)"}, each="body")
    assert len(events(document, [1] * 500)) == 500
    with pytest.raises(Reject, match="more than 500 events"):
        events(document, [1] * 501)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = (
    "id type time timestamp data object payment refund customer checks order details item amount eventType guid".split()
)
SHAPED = st.recursive(
    ANYTHING | st.sampled_from(["payment.updated", "order_updated", "COMPLETED", "CLOSED", "2026-11-21T10:15:00Z"]),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)
TOPICS = st.sampled_from(["orders/paid", "refunds/create", "customers/update", "customers/redact", "shop/redact"])


SHIPPED = [compile_mapping(document) for document in shipped_documents().values()]


@settings(max_examples=400, deadline=None)
@drawn(body=ANYTHING | SHAPED, topic=TOPICS)
def test_no_body_whatever_breaks_a_mapping_that_ships(body: Any, topic: str) -> None:
    for compiled in SHIPPED:
        given = {"body": body, "headers": {"x-shopify-topic": topic}, "received_at": "2026-11-21T12:00:00Z"}
        try:
            assert compiled.events(given) == compiled.events(given)
        except Reject as reject:
            assert reject.reason == MAPPING_FAILED

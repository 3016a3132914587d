"""Does nothing get through that a later part could not hold, however it is written?"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.common.errors import Refused
from libs.common.events import EventReceived
from services.ingest import strict
from services.ingest.intake import Accepted, Form, Outcome
from tests.ingest_events import OFFICE, event, judged, naughty_strings, refusal

DEEP = 40


def with_value(text: str) -> bytes:
    """An event that holds this JSON text in its data."""
    return json.dumps(event(type="visit", data={"a": "?"})).replace('"?"', text).encode("utf-8", "surrogatepass")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "text",
    [
        '"\\u0000"',
        '"a\\\\\\u0000"',
        "9223372036854775808",
        "-9223372036854775809",
        "1" * 5000,
        "1e999",
        "-1e400",
        "1e-20000",
        "1E+100",
        "0." + "1" * 100,
        '"' + "x" * 32_769 + '"',
        '"' + "단" * 11_000 + '"',
        nested(31),
        nested(500),
        json.dumps({f"k{n}": 1 for n in range(504)}),
        '{"\\u0000": 1}',
    ],
)
def test_what_cannot_be_carried_on_unchanged_is_refused(text: str) -> None:
    assert refusal(with_value(text))[0] == "unsafe-value"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_named(text: str) -> None:
    reason, pointer, detail = refusal(with_value(text))
    assert (reason, pointer) == ("unsafe-value", "/data/a")
    assert text in detail


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00x"', '"\\ud800\\u0041"'])
def test_half_characters_are_refused(text: str) -> None:
    assert refusal(with_value(text))[:2] == ("unsafe-value", "/data/a")


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbf{}", b"{", b"nothing", b'{"a": 01}', b'{"a": "\n"}', b'{"a": "\x00"}', b"{'a': 1}"]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    assert refusal(body)[0] == "not-json"


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    assert refusal(with_value('"?!"').replace(b"?!", b"\xff"))[0] == "not-json"
    assert refusal(with_value('"?!"').replace(b"?!", b"\xed\xa0\x80"))[0] == "not-json"


@pytest.mark.parametrize(
    "text",
    [
        '"\\\\u0000"',
        "9223372036854775807",
        "-9223372036854775808",
        "1e99",
        '"1e999"',
        '"NaN"',
        '"' + "1" * 40 + '"',
        '"' + "x" * 32_768 + '"',
        '"\\ud83d\\ude00"',
        '"{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{["',
        nested(30),
        json.dumps([[] for _ in range(100)]),
        json.dumps({f"k{n}": 1 for n in range(503)}),
    ],
)
def test_what_only_looks_dangerous_is_accepted(text: str) -> None:
    (verdict,) = judged(with_value(text)).verdicts
    assert isinstance(verdict, Accepted), verdict


def test_endless_brackets_are_refused_and_nothing_worse() -> None:
    assert refusal(b"{" + b'"a":{' * 50_000)[0] in ("not-json", "unsafe-value")
    with pytest.raises(Refused):
        judged(b"[" * 100_000)


def check_sound(outcome: Outcome) -> None:
    """Whatever was accepted is an EventReceived to msgspec and to Python, and holds nothing that cannot be stored."""
    for verdict in outcome.verdicts:
        if isinstance(verdict, Accepted):
            read = msgspec.json.decode(verdict.value, type=EventReceived, strict=True)
            whole = json.loads(verdict.value.decode("utf-8"))
            assert read.id == verdict.id == whole["id"]
            check_storable(whole, 0)


def check_storable(value: Any, depth: int) -> None:
    assert depth <= strict.DEPTH_MAX
    if isinstance(value, str):
        assert "\x00" not in value
        value.encode("utf-8")
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**63
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_storable(name, depth)
            check_storable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_storable(inner, depth + 1)


forms = st.sampled_from(Form)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), forms)
@example(b"", Form.NATIVE)
@example(b'{"events":', Form.NATIVE)
def test_any_bytes_get_a_verdict(body: bytes, form: Form) -> None:
    try:
        check_sound(judged(body, form=form, key=OFFICE))
    except Refused as refused:
        assert 400 <= refused.status < 500


numbers = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.builds("{}e{}".format, st.integers(-99, 99), st.integers(-30_000, 30_000)),
)
escapes = st.sampled_from(
    ["\\u0000", "\\ud800", "\\udfff", "\\u0007", "\\n", "\\\\", "\x00", "\ud800", "é", "단", "😀"]
)
texts = st.lists(st.one_of(escapes, st.text(max_size=5).map(lambda t: json.dumps(t)[1:-1])), max_size=4).map(
    lambda parts: '"' + "".join(parts) + '"'
)
values = st.recursive(
    st.one_of(numbers, texts, st.sampled_from(["true", "null", "{}", "[]", nested(DEEP)])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]"),
        st.lists(st.tuples(texts, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        ),
    ),
    max_leaves=5,
)
names = st.sampled_from(["id", "source", "type", "time", "channel", "identifiers", "branch", "data", "history"])


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(names, values, max_size=2), st.sampled_from(["one", "batch", "cloud"]), st.randoms())
def test_an_event_with_anything_in_any_place_gets_a_verdict(changed: dict[str, str], way: str, chance: Any) -> None:
    parts = {name: json.dumps(value) for name, value in event(type="visit").items()} | changed
    if way == "cloud":
        parts["specversion"] = '"1.0"'
    text = "{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}"
    body = text.encode("utf-8", "surrogatepass")
    if way == "batch":
        body = b"[" + body + b"," + json.dumps(event()).encode() + b"]"
    if chance.random() < 0.2:
        cut = chance.randrange(len(body))
        body = body[:cut] + bytes([chance.randrange(256)]) + body[cut + 1 :]
    try:
        check_sound(judged(body, key=OFFICE))
    except Refused as refused:
        assert 400 <= refused.status < 500


@pytest.mark.parametrize("place", ["id", "source", "branch", "identifier", "value", "name"])
def test_every_naughty_string_gets_a_verdict_in_every_place(place: str) -> None:
    for text in naughty_strings():
        special: dict[str, dict[str, Any]] = {
            "identifier": {"identifiers": {"account": text}},
            "value": {"type": "visit", "data": {"note": text}},
            "name": {"type": "visit", "data": {text: 1}},
        }
        changes = special.get(place, {place: text})
        for ascii_only in (True, False):
            body = json.dumps(event(**changes), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
            check_sound(judged(body, key=OFFICE))

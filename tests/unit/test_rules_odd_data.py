"""Does data that fits no type, from a source that is only observed, leave every rule and the state in order?"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common import clock
from libs.common.events import EventResolved
from services.rules.document import validation
from services.rules.engine import matching
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State

NOON_MS = clock.to_ms(datetime(2026, 3, 4, 12, tzinfo=UTC))
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "tea", "12.50", "1\n", "1e5", "NaN", "9" * 20]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["price", "sku", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
DATA = st.dictionaries(st.sampled_from(["amount", "items", "order", "currency"]), ANYTHING, max_size=4)


def where(*conditions: tuple[str, str, Any]) -> list[dict[str, Any]]:
    return [{"field": field, "op": op, "value": value} for field, op, value in conditions]


def measure(of: str, field: str) -> dict[str, Any]:
    over = {"last": "7d"}
    return {"type": "measure", "measure": {"of": of, "event": "purchase", "field": field, "over": over}, "reaches": 2}


WHENS: list[dict[str, Any]] = [
    {"type": "event", "event": "purchase", "where": where(("event.amount", "more_than", 9))},
    {"type": "event", "event": "purchase", "where": where(("event.items.sku", "in", ["tea", "cup"]))},
    {"type": "event", "event": "purchase", "where": where(("event.items.sku", "contains", "te"))},
    {"type": "event", "event": "purchase", "where": where(("event.currency", "is", "KRW"))},
    {"type": "event", "event": "purchase", "where": where(("event.order", "is", 7))},
    *(measure(of, "event.amount") for of in ("sum", "average", "min", "max", "distinct")),
    measure("sum", "event.items.price"),
    measure("distinct", "event.items"),
    {
        "type": "absence",
        "after": {"event": "purchase"},
        "no": {"event": "refund"},
        "for": "1h",
        "same": ["event.order"],
    },
]


@cache
def snapshot() -> Snapshot:
    rules = []
    for number, when in enumerate(WHENS):
        field = "first.amount" if when["type"] == "absence" else "event.amount"
        emit = {"trigger": "offer.x", "include": {"a": field}}
        document = {"id": f"rule-{number}", "name": "x", "when": when, "emit": emit}
        validation.read(document)
        rules.append(Source(msgspec.json.encode(document), 1))
    return compile_snapshot(rules, "Asia/Seoul")


def event(number: int, data: dict[str, Any]) -> EventResolved:
    at = NOON_MS + number * 1_000
    raw = msgspec.Raw(msgspec.json.encode(data))
    return EventResolved(str(number), "c", "p", "purchase", "till", clock.from_ms(at), at, data=raw)


@settings(max_examples=150, deadline=None)
@given(st.lists(DATA, min_size=1, max_size=4))
def test_whatever_an_event_holds_every_rule_goes_on(each: list[dict[str, Any]]) -> None:
    rules, own, out = snapshot(), State("c"), Effects()
    for number, data in enumerate(each):
        taken = event(number, data)
        hit = matching.match(rules, taken)
        if hit is not None:
            matching.step(rules, taken, hit, own, (), out)
    assert msgspec.json.encode(out.triggers)
    assert msgspec.msgpack.encode(own)

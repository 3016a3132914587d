"""How are conditions, spans and windows said in plain English? Pure."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from libs.common import clock
from services.rules.document.language import Condition, Measure, Over
from services.rules.engine import spans

SHOWN_MAX = 80
_UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_PANE_MS = {"s": 1_000, "min": 60_000, "h": 3_600_000}
_OPS = {
    "is": "is",
    "is_not": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "at_least": "at least",
    "more_than": "more than",
    "at_most": "at most",
    "less_than": "less than",
    "between": "between",
    "contains": "contains",
    "starts_with": "starts with",
    "exists": "exists",
    "missing": "is missing",
    "changed_within": "changed within",
}


def shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."


def number(value: float | None) -> str:
    """Without the noise of binary fractions."""
    return "nothing" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def span(text: str) -> str:
    found = spans.parse(text)
    return f"{found.number} {_UNITS[found.unit]}{'' if found.number == 1 else 's'}"


def window(over: Over) -> str:
    if over.calendar is not None:
        return f"this {over.calendar}"
    last = f"the last {span(over.last or '1d')}"
    return last if over.skip is None else f"{last} before the newest {span(over.skip)}"


def pane(number: int, size: str) -> str:
    """A day, or the instant at which a shorter pane begins."""
    if size == "d":
        return date.fromordinal(number).isoformat()
    return f"{clock.from_ms(number * _PANE_MS[size]):%Y-%m-%dT%H:%M:%SZ}"


def instant(milliseconds: int) -> str:
    return f"{clock.from_ms(milliseconds):%Y-%m-%d %H:%M:%S} UTC"


def wanted(condition: Condition) -> str:
    """What the condition asks of its field."""
    words = _OPS[condition.op or "is"]
    if condition.field_value is not None:
        times = "" if condition.times is None else f"{number(condition.times)} times "
        return f"{words} {times}{condition.field_value}"
    if condition.op in ("exists", "missing"):
        return words
    if condition.op == "between" and isinstance(condition.value, list):
        return f"between {shown(condition.value[0])} and {shown(condition.value[1])}"
    return f"{words} {shown(condition.value)}"


def measure(asked: Measure) -> str:
    if asked.of == "count":
        return f"the number of {asked.event} events"
    return f"the {asked.of} of {asked.field} over {asked.event} events"

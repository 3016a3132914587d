"""Are these conditions well formed, wherever they stand, and if not, where and why? All faults at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from services.rules.document.language import Condition, Measure, Over
from services.rules.engine import spans
from services.rules.engine.conditions import number

Findings = Iterator[tuple[str, str]]
DEPTH_MAX = 8
CONDITIONS_MAX = 200
PANES_MAX = 800
CHANGED_DAYS_MAX = 400
_LISTS = ("in", "not_in", "between")
_ORDERED = ("at_least", "more_than", "at_most", "less_than")
_VALUELESS = ("exists", "missing")
_TEXTS = ("starts_with", "contains")


def of_conditions(
    conditions: Sequence[Condition],
    at: str,
    roots: tuple[str, ...],
    *,
    measures: bool = False,
    depth: int = 1,
) -> Findings:
    if len(conditions) > CONDITIONS_MAX:
        yield at, f"has {len(conditions)} conditions, at most {CONDITIONS_MAX} are allowed"
        return
    for index, each in enumerate(conditions):
        yield from _condition(each, f"{at}/{index}", roots, measures, depth)


def _condition(condition: Condition, at: str, roots: tuple[str, ...], measures: bool, depth: int) -> Findings:
    forms = {
        "field": condition.field,
        "any": condition.any_,
        "all": condition.all_,
        "not": condition.not_,
        "measure": condition.measure,
        "in_segment": condition.in_segment,
    }
    given = [name for name, value in forms.items() if value is not None]
    if len(given) != 1:
        yield at, f"needs exactly one of {', '.join(forms)}; it has {' and '.join(given) or 'none'}"
    elif depth > DEPTH_MAX:
        yield at, f"is nested more than {DEPTH_MAX} deep"
    elif condition.field is not None:
        yield from _leaf(condition, condition.field, at, roots)
    elif condition.measure is not None:
        yield from _measured(condition, condition.measure, at, measures)
    elif condition.in_segment is not None:
        if not measures:
            yield f"{at}/in_segment", "a segment may be asked about in who only: here one event is looked at by itself"
        if condition.op is not None or condition.value is not None:
            yield at, "in_segment goes without op and value; for those who are not in it use not"
    else:
        inner = condition.any_ or condition.all_ or [condition.not_ or Condition()]
        name = f"{at}/{given[0]}"
        if condition.not_ is not None:
            yield from _condition(condition.not_, name, roots, measures, depth + 1)
        else:
            yield from of_conditions(inner, name, roots, measures=measures, depth=depth + 1)
        if condition.op is not None or condition.value is not None:
            yield at, f"{given[0]} goes without op and value"


def _measured(condition: Condition, measure: Measure, at: str, allowed: bool) -> Findings:
    if not allowed:
        yield f"{at}/measure", "a measure may stand in who only: here one event is looked at by itself"
        return
    yield from of_measure(measure, f"{at}/measure")
    if condition.op not in ("is", *_ORDERED):
        yield f"{at}/op", f"{condition.op or 'nothing'} does not go with a measure; use {', '.join(_ORDERED)}"
    if number(condition.value) is None:
        yield f"{at}/value", "a measure is compared with a number"


def _leaf(condition: Condition, field: str, at: str, roots: tuple[str, ...]) -> Findings:
    yield from of_path(field, f"{at}/field", roots)
    op, value = condition.op, condition.value
    if op is None:
        yield f"{at}/op", "is missing; e.g. is"
    elif op == "changed_within":
        yield from _changed_within(condition, field, at)
    elif condition.field_value is not None:
        yield from of_path(condition.field_value, f"{at}/field_value", roots)
        if value is not None or op not in ("is", "is_not", *_ORDERED):
            yield at, f"field_value goes with is, is_not, {', '.join(_ORDERED)} and without value"
    elif condition.times is not None:
        yield f"{at}/times", "goes with field_value only"
    elif fault := _value_fault(op, value):
        yield f"{at}/value", fault


def _changed_within(condition: Condition, field: str, at: str) -> Findings:
    if not field.startswith("profile."):
        yield f"{at}/op", "changed_within asks about a field of the profile; e.g. profile.tier"
    elif field.count(".") > 1:
        yield f"{at}/field", f"{field} is too deep: changes are seen of whole fields, profile.<name>"
    if condition.field_value is not None or condition.times is not None:
        yield at, "changed_within goes with field and value alone"
        return
    try:
        span = spans.parse(condition.value if isinstance(condition.value, str) else "")
    except ValueError:
        yield f"{at}/value", f"{_shown(condition.value)} is not a span; e.g. 30d"
        return
    if span.ms_max > CHANGED_DAYS_MAX * 86_400_000:
        yield f"{at}/value", f"{condition.value} is longer than {CHANGED_DAYS_MAX} days, which is as far as is kept"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _value_fault(op: str, value: Any) -> str:
    if op in _VALUELESS:
        return "" if value is None else f"{op} goes without a value"
    if op == "between":
        return _between_fault(value)
    if op in _LISTS:
        return "" if isinstance(value, list) and value else f"{op} needs a list with at least one value"
    if isinstance(value, list):
        return f"{op} needs one value; for several use in"
    return _single_fault(op, value)


def _between_fault(value: Any) -> str:
    if not isinstance(value, list) or len(value) != 2 or None in map(number, value):
        return "between needs two numbers, [lowest, highest]"
    return "" if (number(value[0]) or 0) <= (number(value[1]) or 0) else "the lowest is above the highest"


def _single_fault(op: str, value: Any) -> str:
    if op in _ORDERED and (value is None or isinstance(value, bool)):
        return f"{op} needs a number, or text such as a date"
    if op == "starts_with" and not isinstance(value, str):
        return f"{op} needs text"
    if op in _TEXTS and value is None:
        return f"{op} needs a value"
    return ""


def of_path(path: str, at: str, roots: tuple[str, ...]) -> Findings:
    root = path.partition(".")[0]
    if root not in roots:
        yield at, f"{path} is not known here; fields begin with {' or '.join(f'{each}.' for each in roots)}"
    elif root == "measure" and path not in ("measure.value", "measure.baseline"):
        yield at, f"{path} is not known; the value of the measure is measure.value"
    elif path == "measure.baseline" and "event" in roots:
        yield at, "measure.baseline is what a deviation compares with; here there is measure.value only"


def of_measure(measure: Measure, at: str) -> Findings:
    yield from of_conditions(measure.where, f"{at}/where", ("event",))
    if measure.of == "count" and measure.field is not None:
        yield f"{at}/field", "a count counts events and has no field; to count values use distinct"
    if measure.of != "count" and measure.field is None:
        yield f"{at}/field", f"is missing: {measure.of} of what? e.g. event.amount"
    if measure.field is not None and not measure.field.startswith("event."):
        yield f"{at}/field", f"{measure.field} is not a field of the event; e.g. event.amount"
    yield from _over(measure.over, f"{at}/over")


def _over(over: Over, at: str) -> Findings:
    if (over.last is None) == (over.calendar is None):
        yield at, 'needs exactly one of last and calendar; e.g. {"last": "30d"}'
        return
    if over.calendar is not None and over.skip is not None:
        yield f"{at}/skip", "goes with last only"
        return
    last = None if over.last is None else spans.parse(over.last)
    skip = None if over.skip is None else spans.parse(over.skip)
    if last is not None and skip is not None and spans.pane_size(last.unit) != spans.pane_size(skip.unit):
        yield f"{at}/skip", f"{over.skip} is not written in the unit of last, {over.last}"
    elif spans.panes_max(last, skip) > PANES_MAX:
        yield at, f"reaches back more than {PANES_MAX} panes; write a long window in a larger unit, such as d"


def of_zone(name: str) -> Findings:
    if name not in ("customer", "company") and not _is_zone(name):
        yield "/time/zone", f"{name!r} is neither customer, company nor a time zone; e.g. Asia/Seoul"


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False

"""Is this document a rule that works, and if not, where and why? All faults at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from libs.common.errors import Fault, Invalid
from services.rules.document import shape
from services.rules.document.language import (
    ORDINALS,
    WORKING_KINDS,
    AbsenceWhen,
    ChangeWhen,
    Condition,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    Emit,
    EventWhen,
    Measure,
    MeasureWhen,
    Over,
    Rule,
    SequenceWhen,
    Timing,
    Valid,
    When,
)
from services.rules.engine import dates, spans
from services.rules.engine.conditions import number

Findings = Iterator[tuple[str, str]]
WORKING = ", ".join(WORKING_KINDS)
DEPTH_MAX = 8
CONDITIONS_MAX = 200
PANES_MAX = 800
WAIT_DAYS_MAX = 400
SILENCE_DAYS_MAX = 4_000
RESERVED_IDS = ("backtests", "validate")
_ROOTS = {
    "event": ("event", "profile"),
    "measure": ("event", "profile", "measure"),
    "absence": ("first", "profile"),
    "change": ("event", "profile", "was", "now"),
    "sequence": ("event", "profile"),
    "date": ("profile",),
    "dormancy": ("first", "profile"),
    "deviation": ("profile", "measure"),
}
_LISTS = ("in", "not_in", "between")
_ORDERED = ("at_least", "more_than", "at_most", "less_than")
_VALUELESS = ("exists", "missing")
_TEXTS = ("starts_with", "contains")


def read(document: Any) -> Rule:
    """The rule in a decoded JSON document; Invalid with every fault otherwise."""
    found = shape.faults(document, Rule)
    rule = None
    if not found:
        try:
            rule = msgspec.convert(document, Rule)
        except msgspec.ValidationError as error:
            found = [Fault("", str(error))]
    if rule is not None:
        found = [Fault(pointer, detail) for pointer, detail in _findings(rule)]
    if found or rule is None:
        first = found[0]
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise Invalid(f"{first.pointer or 'the document'}: {first.detail}{more}", found)
    return rule


def _findings(rule: Rule) -> Findings:
    kind = _kind(rule.when)
    if kind not in WORKING_KINDS:
        yield "/when/type", f"rules of kind {kind} do not work yet; the kinds that work are {WORKING}"
        return
    if rule.id in RESERVED_IDS:
        yield "/id", f"{rule.id} is the address of something else under /v1/rules; choose another"
    roots = _ROOTS[kind]
    if isinstance(rule.when, SequenceWhen):
        roots += ORDINALS[: len(rule.when.steps)]
    yield from _when(rule.when)
    yield from _conditions(rule.who, "/who", roots, measures=True)
    yield from _time(rule.time)
    yield from _valid(rule.valid)
    yield from _emit(rule.emit, roots)


def _kind(when: When) -> str:
    return str(when.__struct_config__.tag)


def _when(when: When) -> Findings:
    if isinstance(when, EventWhen):
        yield from _conditions(when.where, "/when/where", ("event",))
    elif isinstance(when, MeasureWhen):
        yield from _measure(when.measure, "/when/measure")
    elif isinstance(when, AbsenceWhen):
        yield from _conditions(when.after.where, "/when/after/where", ("event",))
        yield from _conditions(when.no.where, "/when/no/where", ("event",))
        yield from _length("for", when.for_, WAIT_DAYS_MAX)
    elif isinstance(when, SequenceWhen):
        for index, step in enumerate(when.steps):
            yield from _conditions(step.where, f"/when/steps/{index}/where", ("event",))
        yield from _length("within", when.within, WAIT_DAYS_MAX)
    elif isinstance(when, DormancyWhen):
        yield from _conditions(when.no.where, "/when/no/where", ("event",))
        yield from _length("for", when.for_, SILENCE_DAYS_MAX)
    elif isinstance(when, DateWhen):
        yield from _date(when)
    elif isinstance(when, DeviationWhen):
        yield from _deviation(when)
    elif isinstance(when, ChangeWhen):
        yield from _change(when)


def _length(name: str, span: str, days_max: int) -> Findings:
    if spans.parse(span).ms_max > days_max * 86_400_000:
        yield f"/when/{name}", f"{span} is longer than {days_max} days, the longest wait there is"


def _date(when: DateWhen) -> Findings:
    if when.field.count(".") > 1:
        yield "/when/field", f"{when.field} is too deep: dates are looked for in whole fields, profile.<name>"
    if dates.shift_days_max(when.shift) > dates.SHIFT_DAYS_MAX:
        yield "/when/shift", f"{when.shift} is more than {dates.SHIFT_DAYS_MAX} days"


def _deviation(when: DeviationWhen) -> Findings:
    measure, against = when.measure, when.against
    yield from _measure(measure, "/when/measure")
    if measure.over.last is None:
        yield "/when/measure/over", 'needs last: windows of the same length are compared; e.g. {"last": "30d"}'
        return
    if measure.over.skip is not None:
        yield "/when/measure/over/skip", "the windows before this one are what it is compared with; leave it out"
        return
    last = spans.parse(measure.over.last)
    if (panes := (1 + against.periods) * spans.panes_max(last, None)) > PANES_MAX:
        yield "/when/against/periods", f"with the window makes {panes} panes, at most {PANES_MAX} are kept"
    if against.min_history is not None:
        wanted = spans.parse(against.min_history)
        if spans.pane_size(wanted.unit) != spans.pane_size(last.unit):
            yield "/when/against/min_history", f"{against.min_history} is not written in the unit of the window"


def _change(when: ChangeWhen) -> Findings:
    if when.field.count(".") > 1:
        yield "/when/field", f"{when.field} is too deep: changes are seen of whole fields, profile.<name>"
    if when.direction != "any" and len(when.order) < 2:
        yield "/when/order", f"direction {when.direction} needs the order of the values, lowest first"
    if len(set(when.order)) < len(when.order):
        yield "/when/order", "names a value twice"
    for name, values in (("from", when.from_), ("to", when.to)):
        if values is not None and not values:
            yield f"/when/{name}", "is empty, so nothing could ever match; leave it out to allow any value"


def _measure(measure: Measure, at: str) -> Findings:
    yield from _conditions(measure.where, f"{at}/where", ("event",))
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


def _conditions(
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
        yield f"{at}/in_segment", "segments do not work yet; write their conditions out"
    else:
        inner = condition.any_ or condition.all_ or [condition.not_ or Condition()]
        name = f"{at}/{given[0]}"
        if condition.not_ is not None:
            yield from _condition(condition.not_, name, roots, measures, depth + 1)
        else:
            yield from _conditions(inner, name, roots, measures=measures, depth=depth + 1)
        if condition.op is not None or condition.value is not None:
            yield at, f"{given[0]} goes without op and value"


def _measured(condition: Condition, measure: Measure, at: str, allowed: bool) -> Findings:
    if not allowed:
        yield f"{at}/measure", "a measure may stand in who only: here one event is looked at by itself"
        return
    yield from _measure(measure, f"{at}/measure")
    if condition.op not in ("is", *_ORDERED):
        yield f"{at}/op", f"{condition.op or 'nothing'} does not go with a measure; use {', '.join(_ORDERED)}"
    if number(condition.value) is None:
        yield f"{at}/value", "a measure is compared with a number"


def _leaf(condition: Condition, field: str, at: str, roots: tuple[str, ...]) -> Findings:
    yield from _path(field, f"{at}/field", roots)
    op, value = condition.op, condition.value
    if op is None:
        yield f"{at}/op", "is missing; e.g. is"
    elif op == "changed_within":
        yield f"{at}/op", "changed_within does not work yet; a rule of kind change fires at the change itself"
    elif condition.field_value is not None:
        yield from _path(condition.field_value, f"{at}/field_value", roots)
        if value is not None or op not in ("is", "is_not", *_ORDERED):
            yield at, f"field_value goes with is, is_not, {', '.join(_ORDERED)} and without value"
    elif condition.times is not None:
        yield f"{at}/times", "goes with field_value only"
    elif fault := _value_fault(op, value):
        yield f"{at}/value", fault


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


def _path(path: str, at: str, roots: tuple[str, ...]) -> Findings:
    root = path.partition(".")[0]
    if root not in roots:
        yield at, f"{path} is not known here; fields begin with {' or '.join(f'{each}.' for each in roots)}"
    elif root == "measure" and path not in ("measure.value", "measure.baseline"):
        yield at, f"{path} is not known; the value of the measure is measure.value"
    elif path == "measure.baseline" and "event" in roots:
        yield at, "measure.baseline is what a deviation compares with; here there is measure.value only"


def _time(time: Timing) -> Findings:
    if time.zone not in ("customer", "company") and not _is_zone(time.zone):
        yield "/time/zone", f"{time.zone!r} is neither customer, company nor a time zone; e.g. Asia/Seoul"


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _valid(valid: Valid | None) -> Findings:
    if valid is None:
        return
    bounds: list[tuple[str, datetime | None]] = [("from", valid.from_), ("until", valid.until)]
    naive = [name for name, instant in bounds if instant is not None and instant.tzinfo is None]
    for name in naive:
        yield f"/valid/{name}", "has no offset; e.g. 2026-12-01T09:00:00+09:00"
    if not naive and valid.from_ and valid.until and valid.from_ >= valid.until:
        yield "/valid/until", "is not after from"


def _emit(emit: Emit, roots: tuple[str, ...]) -> Findings:
    for name, path in emit.include.items():
        yield from _path(path, f"/emit/include/{name}", roots)
    for name, value in emit.set.items():
        if name.count(".") > 1:
            yield f"/emit/set/{name}", "is too deep: a rule sets whole profile fields, profile.<name>"
        if isinstance(value, dict | list):
            yield f"/emit/set/{name}", "is not text, a number, true, false or null"

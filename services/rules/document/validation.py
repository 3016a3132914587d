"""Is this document a rule that works, and if not, where and why? All faults at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from libs.common.errors import Fault, Invalid
from services.rules.document import shape, wellformed
from services.rules.document.language import (
    ORDINALS,
    AbsenceWhen,
    ChangeWhen,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    Emit,
    EventWhen,
    MeasureWhen,
    Rule,
    SequenceWhen,
    Valid,
    When,
)
from services.rules.engine import dates, spans

Findings = Iterator[tuple[str, str]]
WAIT_DAYS_MAX = 400
SILENCE_DAYS_MAX = 4_000
RESERVED_IDS = ("backtests", "fanouts", "validate")
_ROOTS = {
    "event": ("event", "profile"),
    "measure": ("event", "profile", "measure"),
    "absence": ("first", "profile"),
    "change": ("event", "profile", "was", "now"),
    "sequence": ("event", "profile"),
    "date": ("profile",),
    "dormancy": ("first", "profile"),
    "segment": ("profile",),
    "deviation": ("profile", "measure"),
}


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
    if rule.id in RESERVED_IDS:
        yield "/id", f"{rule.id} is the address of something else under /v1/rules; choose another"
    roots = _ROOTS[kind]
    if isinstance(rule.when, SequenceWhen):
        roots += ORDINALS[: len(rule.when.steps)]
    yield from _when(rule.when)
    yield from wellformed.of_conditions(rule.who, "/who", roots, measures=True)
    yield from wellformed.of_zone(rule.time.zone)
    yield from _valid(rule.valid)
    yield from _emit(rule.emit, roots)


def _kind(when: When) -> str:
    return str(when.__struct_config__.tag)


def _when(when: When) -> Findings:
    if isinstance(when, EventWhen):
        yield from wellformed.of_conditions(when.where, "/when/where", ("event",))
    elif isinstance(when, MeasureWhen):
        yield from wellformed.of_measure(when.measure, "/when/measure")
    elif isinstance(when, AbsenceWhen):
        yield from wellformed.of_conditions(when.after.where, "/when/after/where", ("event",))
        yield from wellformed.of_conditions(when.no.where, "/when/no/where", ("event",))
        yield from _length("for", when.for_, WAIT_DAYS_MAX)
    elif isinstance(when, SequenceWhen):
        for index, step in enumerate(when.steps):
            yield from wellformed.of_conditions(step.where, f"/when/steps/{index}/where", ("event",))
        yield from _length("within", when.within, WAIT_DAYS_MAX)
    elif isinstance(when, DormancyWhen):
        yield from wellformed.of_conditions(when.no.where, "/when/no/where", ("event",))
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
    yield from wellformed.of_measure(measure, "/when/measure")
    if measure.over.last is None:
        yield "/when/measure/over", 'needs last: windows of the same length are compared; e.g. {"last": "30d"}'
        return
    if measure.over.skip is not None:
        yield "/when/measure/over/skip", "the windows before this one are what it is compared with; leave it out"
        return
    last = spans.parse(measure.over.last)
    if (panes := (1 + against.periods) * spans.panes_max(last, None)) > wellformed.PANES_MAX:
        yield "/when/against/periods", f"with the window makes {panes} panes, at most {wellformed.PANES_MAX} are kept"
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
        yield from wellformed.of_path(path, f"/emit/include/{name}", roots)
    for name, value in emit.set.items():
        if name.count(".") > 1:
            yield f"/emit/set/{name}", "is too deep: a rule sets whole profile fields, profile.<name>"
        if isinstance(value, dict | list):
            yield f"/emit/set/{name}", "is not text, a number, true, false or null"

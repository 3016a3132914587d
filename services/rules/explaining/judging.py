"""Does a condition hold now, what was found, and by how much does it miss? One small function per form. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from libs.common import clock
from services.rules.document.language import Condition, Measure
from services.rules.engine import spans
from services.rules.engine.conditions import compile_one, number
from services.rules.explaining import wording
from services.rules.explaining.weighing import Weighed

UTC = ZoneInfo("UTC")
_ORDERED = ("at_least", "more_than", "at_most", "less_than", "between")
_UPWARDS = ("is", "at_least", "more_than")


class Found(NamedTuple):
    """What a field has. `known` false: nobody can say now, and `why` says why."""

    known: bool
    value: Any = None
    why: str = ""


class Sight(NamedTuple):
    """What can be seen of the moment: fields by path, and measures, where any are known."""

    find: Callable[[str], Found]
    weigh: Callable[[Measure, float], Weighed] | None = None
    worth: Callable[[], float | None] | None = None
    """The next measure as it was written down, where it cannot be weighed any more."""
    within: Callable[[str], tuple[Sequence[Condition], Sight] | None] | None = None
    """What a segment asks, and what can be seen by it; None for one that is not known."""
    at_ms: int | None = None
    """The moment; None where it is not known."""
    zone: ZoneInfo = UTC
    told: dict[str, bool | None] | None = None
    """The segments that were looked into already: each is told at length once."""


@dataclass(frozen=True)
class Judged:
    """`holds` is null where it cannot be known now. `misses_by` is how far a number is from what is wanted."""

    condition: dict[str, Any]
    holds: bool | None
    detail: str
    found: Any = None
    wanted: Any = None
    misses_by: float | None = None
    measure: Weighed | None = None
    inner: list[Judged] = field(default_factory=list)


def judge_all(conditions: Sequence[Condition], sight: Sight) -> list[Judged]:
    seen = sight if sight.told is not None else sight._replace(told={})
    return [judge(each, seen) for each in conditions]


def all_hold(judged: Sequence[Judged]) -> bool | None:
    """False as soon as one does not, whatever is not known."""
    answers = [each.holds for each in judged]
    return False if False in answers else None if None in answers else True


def judge(condition: Condition, sight: Sight) -> Judged:
    if condition.any_ is not None:
        return _any(condition, judge_all(condition.any_, sight))
    if condition.all_ is not None:
        return _all(condition, judge_all(condition.all_, sight))
    if condition.not_ is not None:
        return _not(condition, judge(condition.not_, sight))
    if condition.measure is not None:
        return _measure(condition, condition.measure, sight)
    if condition.in_segment is not None:
        return _segment(condition, condition.in_segment, sight)
    return _field(condition, condition.field or "", sight)


def _field(condition: Condition, path: str, sight: Sight) -> Judged:
    if condition.op == "changed_within":
        return _changed_within(condition, path, sight)
    return _leaf(condition, path, sight)


def _any(condition: Condition, inner: list[Judged]) -> Judged:
    answers = [each.holds for each in inner]
    holds = True if True in answers else None if None in answers else False
    detail = "one of them holds" if holds else "none of them holds" if holds is False else "none is known to hold"
    return Judged(_document(condition), holds, detail, inner=inner)


def _all(condition: Condition, inner: list[Judged]) -> Judged:
    failing = [each.detail for each in inner if each.holds is False]
    return Judged(_document(condition), all_hold(inner), "; ".join(failing) or _summary(all_hold(inner)), inner=inner)


def _not(condition: Condition, inner: Judged) -> Judged:
    holds = None if inner.holds is None else not inner.holds
    return Judged(_document(condition), holds, f"must not hold: {inner.detail}", inner=[inner])


def _segment(condition: Condition, id: str, sight: Sight) -> Judged:
    """The conditions of the segment, judged as if they stood here."""
    told = {} if sight.told is None else sight.told
    if id in told:
        return Judged(_document(condition), told[id], f"{_whether(told[id], id)}, see above")
    found = sight.within(id) if sight.within is not None else None
    if found is None:
        return Judged(_document(condition), None, f"what the segment {id} means is not known")
    conditions, seen = found
    inner = judge_all(conditions, seen._replace(told=told))
    holds = told[id] = all_hold(inner)
    said = _whether(holds, id)
    why = "; ".join(each.detail for each in inner if each.holds is False)
    return Judged(_document(condition), holds, f"{said}: {why}" if why else said, inner=inner)


def _whether(holds: bool | None, id: str) -> str:
    if holds is None:
        return f"whether they are in the segment {id} is not known"
    return f"{'is' if holds else 'is not'} in the segment {id}"


def _changed_within(condition: Condition, path: str, sight: Sight) -> Judged:
    document, name = _document(condition), path.partition(".")[2]
    found, span = sight.find(f"changed.{name}"), spans.parse(str(condition.value))
    if not found.known or sight.at_ms is None:
        return Judged(document, None, f"when {path} changed {found.why or 'is not known'}", wanted=condition.value)
    if found.value is None:
        return Judged(document, False, f"no change of {path} is known", wanted=condition.value)
    at_ms = clock.to_ms(datetime.fromisoformat(found.value))
    holds = spans.after(at_ms, span, sight.zone) > sight.at_ms
    told = f"{path} changed at {wording.instant(at_ms)}; wanted: within {wording.span(str(condition.value))}"
    return Judged(document, holds, told, found.value, condition.value)


def _summary(holds: bool | None) -> str:
    return "all of them hold" if holds else "not all of them are known"


def _leaf(condition: Condition, path: str, sight: Sight) -> Judged:
    found = sight.find(path)
    other = Found(True) if condition.field_value is None else sight.find(condition.field_value)
    document, wanted = _document(condition), wording.wanted(condition)
    unknown = next((each for each in (found, other) if not each.known), None)
    if unknown is not None:
        return Judged(document, None, f"{path} {unknown.why}; wanted: {wanted}", wanted=condition.value)
    values = {path: found.value, condition.field_value: other.value}
    holds = compile_one(condition, lambda each: lambda _: values[each])(None)
    limit = _limit(condition, other.value)
    misses_by = None if holds else _misses_by(condition.op or "is", found.value, limit)
    return Judged(document, holds, _said(condition, path, found.value, misses_by), found.value, limit, misses_by)


def _limit(condition: Condition, other: Any) -> Any:
    if condition.field_value is None:
        return condition.value
    amount = number(other)
    return other if condition.times is None or amount is None else amount * condition.times


def _said(condition: Condition, path: str, value: Any, misses_by: float | None) -> str:
    if value is None:
        return f"{path} is not there; wanted: {wording.wanted(condition)}"
    text = f"{path} is {wording.shown(value)}; wanted: {wording.wanted(condition)}"
    if condition.op in _ORDERED and condition.field_value is None and _is_odd(condition, value):
        return f"{text}, which it cannot be compared with"
    return text if misses_by is None else f"{text}; {wording.number(misses_by)} off"


def _is_odd(condition: Condition, value: Any) -> bool:
    wanted = condition.value[0] if isinstance(condition.value, list) else condition.value
    members = value if isinstance(value, list) else [value]
    if number(wanted) is not None:
        return all(number(each) is None for each in members)
    return not any(isinstance(each, str) for each in members)


def _misses_by(op: str, value: Any, wanted: Any) -> float | None:
    """How much more, or less, it would have to be; of several values the nearest counts."""
    ends = [number(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
    amounts = [
        amount for each in (value if isinstance(value, list) else [value]) if (amount := number(each)) is not None
    ]
    if op not in _ORDERED or not amounts or not ends or any(each is None for each in ends):
        return None
    low, high = ends[0] or 0, ends[-1] or 0
    if op in ("at_least", "more_than"):
        return max(0, low - max(amounts))
    if op in ("at_most", "less_than"):
        return max(0, min(amounts) - high)
    return min(low - each if each < low else max(0, each - high) for each in amounts)


def _measure(condition: Condition, measure: Measure, sight: Sight) -> Judged:
    """The measure as the engine would see it now, or as it was seen when the rule fired."""
    wanted = number(condition.value) or 0.0
    weighed = None if sight.weigh is None else sight.weigh(measure, wanted)
    if weighed is None and sight.worth is None:
        return Judged(_document(condition), None, f"{wording.measure(measure)} is not known", wanted=condition.value)
    value = weighed.value if weighed is not None else sight.worth() if sight.worth is not None else None
    holds = compile_one(condition, _nowhere, lambda _: lambda _: value)(None)
    misses_by = None if holds else _misses_by(condition.op or "is", value, wanted)
    if weighed is not None and condition.op in _UPWARDS:
        detail = weighed.detail
    else:
        where = wording.window(measure.over)
        detail = (
            f"{wording.measure(measure)} in {where} is {wording.number(value)}; wanted: {wording.wanted(condition)}"
        )
    return Judged(_document(condition), holds, detail, value, condition.value, misses_by, weighed)


def _nowhere(_: str) -> Callable[[Any], Any]:
    return lambda _: None


def _document(condition: Condition) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(condition)
    return found


def of_values(
    values: Mapping[str, Any],
    worths: Sequence[float | None],
    at_ms: int | None = None,
    segments: Mapping[str, Sequence[Condition]] | None = None,
) -> Sight:
    """As it was written down when a rule fired. `segments` are those that it looked into, as they were then."""
    left, known = iter(worths), segments or {}

    def find(path: str) -> Found:
        return Found(True, values[path]) if path in values else Found(False, why="was not written down")

    def within(id: str) -> tuple[Sequence[Condition], Sight] | None:
        return (known[id], sight) if id in known else None

    sight = Sight(find, worth=lambda: next(left, None), within=within, at_ms=at_ms)
    return sight

"""What does a valid rule most likely not mean? That it never fires, fires on everything, or has limits in vain. Pure.

A caution is no fault: whoever wrote the rule may know better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from libs.common.errors import Fault
from services.rules.document import everyone
from services.rules.document.language import (
    ChangeWhen,
    Condition,
    EventWhen,
    Limits,
    Measure,
    MeasureWhen,
    Rule,
    Scalar,
)
from services.rules.document.segments import Segment
from services.rules.engine import spans
from services.rules.engine.conditions import compile_one, number
from services.rules.engine.spans import Span

Findings = Iterator[tuple[str, str]]
HISTORY_DAYS = 400
_DAY_MS = 86_400_000
_LEAVES_MAX = 200
_POSITIVE = ("is", "in")
_NEGATIVE = ("is_not", "not_in", "missing")
_LOWS = {"at_least": False, "more_than": True}
_HIGHS = {"at_most": False, "less_than": True}


def cautions(rule: Rule, now: datetime) -> list[Fault]:
    """`now` is the instant against which the validity is held."""
    return [Fault(pointer, detail) for pointer, detail in _findings(rule, now)]


def of_segment(segment: Segment) -> list[Fault]:
    """Conditions that exclude each other, so that nobody is ever in it."""
    found = [("/who", segment.who), *((f"{at}/where", each.where) for at, each in _measures(segment.who, "/who"))]
    told = "can never hold, so that nobody is ever in it"
    return [
        Fault(at, f"{told}: {why.text}") for at, conditions in found if (why := _contradiction(conditions)) and why.sure
    ]


def _findings(rule: Rule, now: datetime) -> Findings:
    when = rule.when
    yield from _validity(rule, now)
    for at, conditions in _groups_of(rule):
        yield from _never(conditions, at)
    if isinstance(when, EventWhen):
        yield from _always(rule, when)
        # The event that fires it is the one that `who` sees.
        both = [*when.where, *(each for each in rule.who if (each.field or "").startswith("event."))]
        if not _contradiction(when.where) and len(both) > len(when.where) and (why := _contradiction(both)):
            yield "/who", f"together with where it {why.told()}"
    elif isinstance(when, MeasureWhen):
        yield from _unreachable(when)
    elif isinstance(when, ChangeWhen):
        yield from _change(when, rule)
    yield from everyone.cautions(rule)
    yield from _limits(rule.limits)


def _validity(rule: Rule, now: datetime) -> Findings:
    if rule.valid is not None and rule.valid.until is not None and rule.valid.until <= now:
        yield (
            "/valid/until",
            f"lies in the past, so that the rule can never fire: it ended at {_told(rule.valid.until)}",
        )


def _groups_of(rule: Rule) -> Iterator[tuple[str, Sequence[Condition]]]:
    """Every list of conditions that one event, or one moment, has to satisfy, with its place."""
    yield "/who", rule.who
    yield from _wheres(rule.when, "/when")
    for at, measure in _measures(rule.who, "/who"):
        yield f"{at}/where", measure.where


def _wheres(part: Any, at: str) -> Iterator[tuple[str, Sequence[Condition]]]:
    """The `where` of a kind's own parts: itself, its measure, its steps, the events that begin or end a wait."""
    for name in getattr(part, "__struct_fields__", ()):
        value, place = getattr(part, name), f"{at}/{name.rstrip('_')}"
        if name == "where":
            yield place, value
        elif isinstance(value, msgspec.Struct):
            yield from _wheres(value, place)
        elif name == "steps":
            for index, step in enumerate(value):
                yield from _wheres(step, f"{place}/{index}")


def _measures(conditions: Iterable[Condition], at: str) -> Iterator[tuple[str, Measure]]:
    for index, each in enumerate(conditions):
        if each.measure is not None:
            yield f"{at}/{index}/measure", each.measure
        for name, inner in (("any", each.any_), ("all", each.all_)):
            if inner is not None:
                yield from _measures(inner, f"{at}/{index}/{name}")


class _Why(NamedTuple):
    """Why conditions exclude each other; not `sure` where a list of several values could satisfy them all."""

    text: str
    sure: bool

    def told(self) -> str:
        if self.sure:
            return f"can never hold, so that the rule can never fire: {self.text}"
        return f"holds only where that field is a list of several values: {self.text}"


def _never(conditions: Sequence[Condition], at: str) -> Findings:
    if why := _contradiction(conditions):
        yield at, why.told()


def _contradiction(conditions: Iterable[Condition]) -> _Why | None:
    """Why no value of some field satisfies all of these."""
    by_field: dict[str, list[Condition]] = {}
    for leaf in _flat(conditions):
        if leaf.any_ is not None:
            # One branch is enough, so it is only in vain when each of them is.
            whys = [why for branch in leaf.any_ if (why := _contradiction([branch]))]
            if len(whys) == len(leaf.any_):
                return whys[0]
        elif leaf.measure is not None:
            by_field.setdefault(msgspec.json.encode(leaf.measure).decode(), []).append(leaf)
        elif leaf.field is not None and leaf.field_value is None and leaf.op != "changed_within":
            by_field.setdefault(leaf.field, []).append(leaf)
    found = (_against_each_other(leaves) for leaves in by_field.values() if len(leaves) <= _LEAVES_MAX)
    return next((why for why in found if why), None)


def _flat(conditions: Iterable[Condition]) -> Iterator[Condition]:
    for each in conditions:
        if each.all_ is not None:
            yield from _flat(each.all_)
        else:
            yield each


def _against_each_other(leaves: Sequence[Condition]) -> _Why | None:
    if leaves[0].measure is not None:
        return _below_nothing(leaves) if (why := _empty_range(leaves)) is None else why
    there = [leaf for leaf in leaves if leaf.op not in ("missing", "is_not", "not_in") and not _allows_null(leaf)]
    if there and (gone := next((leaf for leaf in leaves if leaf.op == "missing"), None)):
        return _Why(_phrase([gone, there[0]]), True)
    if wanted := next((leaf for leaf in leaves if leaf.op in _POSITIVE), None):
        return _no_candidate(wanted, leaves)
    return _empty_range(leaves)


def _allows_null(leaf: Condition) -> bool:
    return leaf.op in _POSITIVE and (leaf.value is None or (isinstance(leaf.value, list) and None in leaf.value))


def _no_candidate(wanted: Condition, leaves: Sequence[Condition]) -> _Why | None:
    """One of the values that it may have would have to satisfy all the rest, by the engine's own judgement."""
    values: list[Scalar] = wanted.value if isinstance(wanted.value, list) else [wanted.value]
    rest = [leaf for leaf in leaves if leaf is not wanted]
    tests = [compile_one(leaf, lambda _: lambda found: found) for leaf in rest]
    if len(values) > _LEAVES_MAX or any(all(test(value) for test in tests) for value in values):
        return None
    # A list that holds one of the values is refused by the negative conditions as well, if each value is.
    refused = [leaf for leaf in rest if leaf.op in _NEGATIVE]
    against = [compile_one(leaf, lambda _: lambda found: found) for leaf in refused]
    sure = all(any(not test(value) for test in against) for value in values)
    return _Why(_phrase(leaves), sure)


def _empty_range(leaves: Sequence[Condition]) -> _Why | None:
    lows = [bound for leaf in leaves for bound in _bounds(leaf, _LOWS, 0)]
    highs = [bound for leaf in leaves for bound in _bounds(leaf, _HIGHS, 1)]
    if not lows or not highs:
        return None
    low, above = max(lows)
    high, below = min(highs, key=lambda bound: (bound[0], not bound[1]))
    if low < high or (low == high and not above and not below):
        return None
    return _Why(_phrase(leaves), leaves[0].measure is not None)


def _bounds(leaf: Condition, ops: dict[str, bool], end: int) -> Iterator[tuple[float, bool]]:
    """The bound that a condition sets on that side, and whether the bound itself is left out."""
    value = leaf.value
    if isinstance(value, list):
        if leaf.op == "between" and (found := number(value[end])) is not None:
            yield found, False
    elif (found := number(value)) is not None and (leaf.op in ops or leaf.op == "is"):
        yield found, ops.get(leaf.op, False)


def _below_nothing(leaves: Sequence[Condition]) -> _Why | None:
    measure = leaves[0].measure
    if measure is None or measure.of not in ("count", "distinct"):
        return None
    for leaf in leaves:
        limit = number(leaf.value)
        under = limit is not None and (limit < 0 or (limit == 0 and leaf.op == "less_than"))
        if under and leaf.op in ("less_than", "at_most", "is"):
            return _Why(f"{_phrase([leaf])}, and it is never below 0", True)
    return None


def _always(rule: Rule, when: EventWhen) -> Findings:
    limits = rule.limits
    limited = limits.cooldown is not None or limits.max is not None or limits.repeat == "once"
    # A rule that writes a field, such as a life stage, may well do so for everybody.
    if not when.where and not rule.who and not limited and not rule.emit.set:
        yield "/when", f"fires on every {when.event} of everybody: there is no where, no who, no cooldown and no max"


def _unreachable(when: MeasureWhen) -> Findings:
    if when.measure.of in ("count", "distinct") and when.reaches <= 0:
        told = (
            f"a {when.measure.of} is never below {when.reaches:g}, so it never reaches it and the rule can never fire"
        )
        yield "/when/reaches", told
    if when.measure.over.skip is not None:
        told = (
            f"leaves out the newest {when.measure.over.skip}, the event that has just come in with them: only one that "
            "comes in as late as that can reach the threshold; ask for it in who, at another event"
        )
        yield "/when/measure/over/skip", told


def _change(when: ChangeWhen, rule: Rule) -> Findings:
    was, now = when.from_, when.to
    if was is not None and now is not None and len(was) == len(now) == 1 and was == now:
        yield "/when/to", "is what it comes from, so that nothing changes and the rule can never fire"
    if when.direction != "any" and not any(True for _ in _moves(when)):
        yield "/when/order", f"allows no move {when.direction} between these values, so that the rule can never fire"
    if now is not None:
        reached = Condition(field=when.field, op="in", value=list(now))
        if not _contradiction(rule.who) and (why := _contradiction([reached, *rule.who])):
            yield "/who", f"sees the profile as the change left it, so it {why.told()}"
    if when.field in rule.emit.set:
        yield f"/emit/set/{when.field}", "is the field whose change the rule waits for: it may set itself off again"


def _moves(when: ChangeWhen) -> Iterator[tuple[str, str]]:
    for low, was in enumerate(when.order):
        for now in when.order[low + 1 :]:
            one, other = (was, now) if when.direction == "up" else (now, was)
            if (when.from_ is None or one in when.from_) and (when.to is None or other in when.to):
                yield one, other


def _limits(limits: Limits) -> Findings:
    cooldown = None if limits.cooldown is None else spans.parse(limits.cooldown)
    if limits.repeat == "once":
        for name, given in (("cooldown", cooldown), ("max", limits.max)):
            if given is not None:
                yield f"/limits/{name}", "holds nothing back: with repeat once nobody sets the rule off a second time"
        return
    if (
        limits.max is not None
        and cooldown is not None
        and _at_most(cooldown, spans.parse(limits.max.per)) <= limits.max.times
    ):
        yield (
            "/limits/max",
            f"holds nothing back: a cooldown of {limits.cooldown} leaves no more within {limits.max.per}",
        )
    for name, span in (("cooldown", limits.cooldown), ("max/per", limits.max.per if limits.max else None)):
        if span is not None and spans.parse(span).ms_max > HISTORY_DAYS * _DAY_MS:
            told = f"{span} is longer than the {HISTORY_DAYS} days of history: no backtest can show what it holds back"
            yield f"/limits/{name}", told


def _at_most(cooldown: Span, per: Span) -> int:
    """How many firings a cooldown lets into a span; the shortest cooldown counts where the calendar decides."""
    return -(-per.ms_max // max(cooldown.ms_max * 28 // 31 if cooldown.calendar else cooldown.ms_max, 1))


def _phrase(leaves: Sequence[Condition]) -> str:
    first = leaves[0]
    name = f"the {first.measure.of} of {first.measure.event}" if first.measure else first.field
    shown = [f"{leaf.op} {_json(leaf.value)}" if leaf.value is not None else f"{leaf.op}" for leaf in leaves[:4]]
    return f"{name} {' and '.join(shown)}"


def _json(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")

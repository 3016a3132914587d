"""On what did a trigger rest? The events behind it, and the values that its rule looked at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from services.rules.document.language import (
    ORDINALS,
    AbsenceWhen,
    ChangeWhen,
    Condition,
    DateWhen,
    DeviationWhen,
    EventWhen,
    MeasureWhen,
    Rule,
    SequenceWhen,
)

if TYPE_CHECKING:
    from services.rules.engine.snapshot import CompiledRule, Moment

MEMBERS_MAX = 50
TEXT_MAX = 500


class Grounds(Struct, array_like=True):
    """`events` are ids with times in ms; `worths` the measures of `who`, in their order in the document.

    `panes` is what made up the measure that reached its value, by pane. `segments` are those that were looked into, by
    the version that was in force.
    """

    events: list[tuple[str, int]] = []
    values: dict[str, Any] = {}
    worths: list[float | None] = []
    panes: dict[int, float | None] = {}
    segments: dict[str, int] = {}


def of(rule: CompiledRule, moment: Moment, event_id: str) -> Grounds:
    """Taken at the moment of firing, before anything else changes."""
    events = list(moment.cited) or ([(event_id, moment.time_ms)] if event_id else [])
    return Grounds(
        events,
        {path: bounded(getter(moment)) for path, getter in rule.looked_at.items()},
        [worth(moment) for worth in rule.worths],
        _panes(rule, moment) if isinstance(rule.when, MeasureWhen) else {},
        rule.named,
    )


def _panes(rule: CompiledRule, moment: Moment) -> dict[int, float | None]:
    gauge = rule.gauge
    if gauge is None or rule.bounds is None:
        return {}
    held = [each for view in moment.views if (each := view.aggregates.get(gauge.key)) is not None]
    known = sorted({pane for each in held for pane in each.panes})
    if not known:
        return {}
    first, last = rule.bounds(known[-1])
    within = [pane for pane in known if first <= pane <= last][-MEMBERS_MAX:]
    return {pane: gauge.value(moment.views, lambda _, at=pane: (at, at), pane) for pane in within}  # type: ignore[misc]


def looked_at(rule: Rule) -> list[str]:
    """The fields whose values decide whether it fires, each once; those of what it waited behind by their ordinals."""
    paths = [*_of_when(rule), *fields_of(rule.who)]
    return list(dict.fromkeys(paths))


def _of_when(rule: Rule) -> Iterator[str]:
    when = rule.when
    if isinstance(when, EventWhen):
        yield from fields_of(when.where)
    elif isinstance(when, MeasureWhen | DeviationWhen):
        yield "measure.value"
        if isinstance(when, DeviationWhen):
            yield "measure.baseline"
        yield from fields_of(when.measure.where)
    elif isinstance(when, AbsenceWhen):
        yield from renamed(fields_of(when.after.where), "first")
    elif isinstance(when, SequenceWhen):
        for ordinal, step in zip(ORDINALS, when.steps, strict=False):
            yield from renamed(fields_of(step.where), ordinal)
    elif isinstance(when, ChangeWhen):
        name = when.field.partition(".")[2]
        yield from (f"was.{name}", f"now.{name}")
    elif isinstance(when, DateWhen):
        yield when.field


def renamed(paths: Iterable[str], ordinal: str) -> Iterator[str]:
    """`event.amount` of a step is `first.amount` when the rule fires."""
    return (f"{ordinal}.{path.partition('.')[2]}" for path in paths)


def fields_of(conditions: Iterable[Condition]) -> Iterator[str]:
    for each in conditions:
        yield from (path for path in (each.field, each.field_value) if path is not None)
        yield from fields_of(_within(each))


def _within(each: Condition) -> Sequence[Condition]:
    return [*(each.any_ or ()), *(each.all_ or ()), *((each.not_,) if each.not_ else ())]


def bounded(value: Any) -> Any:
    """Enough of a value to see why a condition held, however large a basket is."""
    if isinstance(value, str):
        return value[:TEXT_MAX]
    if isinstance(value, list):
        return [bounded(each) for each in value[:MEMBERS_MAX]]
    if isinstance(value, dict):
        return {str(name)[:TEXT_MAX]: "…" for name in list(value)[:MEMBERS_MAX]}
    return value

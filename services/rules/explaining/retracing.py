"""Why did this trigger fire? Its rule, as it stood then, held against what was written down. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.common import clock
from services.rules.document.language import (
    ORDINALS,
    AbsenceWhen,
    Condition,
    DeviationWhen,
    EventWhen,
    Measure,
    MeasureWhen,
    Rule,
    SequenceWhen,
)
from services.rules.engine import spans
from services.rules.explaining import wording
from services.rules.explaining.grounds import Grounds
from services.rules.explaining.judging import Found, Judged, Sight, judge_all, of_values


@dataclass(frozen=True)
class CausingEvent:
    event_id: str
    time: datetime


@dataclass(frozen=True)
class PaneThen:
    pane: str
    worth: float | None


@dataclass(frozen=True)
class MeasureThen:
    """`panes` is what made up the value; of a deviation it is not kept."""

    value: Any
    wanted: float | None
    baseline: Any
    detail: str
    panes: list[PaneThen] = field(default_factory=list)


@dataclass(frozen=True)
class Retraced:
    """`where` are the conditions on the events, of a sequence those of each step in turn; `values` is all that was
    seen.
    """

    events: list[CausingEvent]
    where: list[Judged]
    who: list[Judged]
    measure: MeasureThen | None
    values: dict[str, Any]


def retrace(
    rule: Rule,
    grounds: Grounds,
    occurred_at: datetime | None = None,
    segments: Mapping[str, Sequence[Condition]] | None = None,
) -> Retraced:
    """`segments` are those that the rule looked into, as they were then, by id."""
    at_ms = None if occurred_at is None else clock.to_ms(occurred_at)
    sight = of_values(grounds.values, grounds.worths, at_ms, segments)
    return Retraced(
        events_of(grounds),
        _where(rule, sight),
        judge_all(rule.who, sight),
        _measure(rule, grounds),
        grounds.values,
    )


def events_of(grounds: Grounds) -> list[CausingEvent]:
    return [CausingEvent(event_id, clock.from_ms(time_ms)) for event_id, time_ms in grounds.events]


def _where(rule: Rule, sight: Sight) -> list[Judged]:
    when = rule.when
    if isinstance(when, EventWhen):
        return judge_all(when.where, sight)
    if isinstance(when, MeasureWhen):
        return judge_all(when.measure.where, sight)
    if isinstance(when, AbsenceWhen):
        return _of_step(when.after.where, "first", sight)
    if isinstance(when, SequenceWhen):
        steps = zip(ORDINALS, when.steps, strict=False)
        return [each for ordinal, step in steps for each in _of_step(step.where, ordinal, sight)]
    return []


def _of_step(conditions: Sequence[Condition], ordinal: str, sight: Sight) -> list[Judged]:
    """The fields of a step's event were written down by its ordinal."""

    def find(path: str) -> Found:
        return sight.find(f"{ordinal}.{path.partition('.')[2]}")

    return judge_all(conditions, sight._replace(find=find))


def _measure(rule: Rule, grounds: Grounds) -> MeasureThen | None:
    when = rule.when
    if not isinstance(when, MeasureWhen | DeviationWhen):
        return None
    measure, value = when.measure, grounds.values.get("measure.value")
    what = f"{wording.measure(measure)} in {wording.window(measure.over)} was {wording.number(value)}"
    if isinstance(when, DeviationWhen):
        baseline = grounds.values.get("measure.baseline")
        return MeasureThen(value, None, baseline, f"{what}, against {wording.number(baseline)} before")
    size = _pane_size(measure)
    panes = [PaneThen(wording.pane(pane, size), worth) for pane, worth in sorted(grounds.panes.items())]
    return MeasureThen(value, when.reaches, None, f"{what}, of {wording.number(when.reaches)}", panes)


def _pane_size(measure: Measure) -> str:
    last = measure.over.last
    return "d" if last is None else spans.pane_size(spans.parse(last).unit)

"""How far is a customer on the way to the moment that a rule waits for? One small function per kind. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from libs.common import clock
from services.rules.document.language import (
    AbsenceWhen,
    ChangeWhen,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    EventWhen,
    Measure,
    MeasureWhen,
    Pick,
    Rule,
    SegmentWhen,
    SequenceWhen,
)
from services.rules.engine import deviations, spans
from services.rules.engine.snapshot import CompiledRule
from services.rules.engine.state import Appointment, State, Step
from services.rules.explaining import wording
from services.rules.explaining.judging import Judged, Sight, all_hold, judge_all
from services.rules.explaining.weighing import Weighed


@dataclass(frozen=True)
class Wait:
    """Something that is under way; `due` is when it fires, or for a sequence when it ends without firing."""

    customer_id: str
    since: datetime
    due: datetime
    event_id: str
    detail: str


@dataclass(frozen=True)
class Awaited:
    """`holds` says whether the moment has come, or comes by itself; null where only an event can tell."""

    type: str
    holds: bool | None
    detail: str
    conditions: list[Judged] = field(default_factory=list)
    measure: Weighed | None = None
    waits: list[Wait] = field(default_factory=list)


_Later = dict[int, list[Step]]


class _Asked(NamedTuple):
    rule: CompiledRule
    states: Sequence[State]
    sight: Sight
    weighed: Weighed | None
    now: datetime
    zone: ZoneInfo


def measured(rule: Rule) -> tuple[Measure, float] | None:
    """The measure that the rule is about, and the value that it has to reach."""
    when = rule.when
    if isinstance(when, MeasureWhen):
        return when.measure, when.reaches
    return None


def awaited(
    rule: Rule,
    compiled: CompiledRule,
    states: Sequence[State],
    sight: Sight,
    weighed: Weighed | None,
    now: datetime,
    zone: ZoneInfo,
) -> Awaited:
    answer = _KINDS.get(type(rule.when))
    kind = str(rule.when.__struct_config__.tag)
    if answer is None:
        return Awaited(kind, None, "whether the moment has come is known at the moment itself only")
    return answer(kind, rule.when, _Asked(compiled, states, sight, weighed, now, zone))


def _event(kind: str, when: EventWhen, asked: _Asked) -> Awaited:
    judged = judge_all(when.where, asked.sight)
    happened = asked.sight.find("event.type")
    if not happened.known:
        such = " that meets its conditions" if when.where else ""
        return Awaited(kind, None, f"waits for a {when.event} event{such}", judged)
    if happened.value != when.event:
        return Awaited(kind, False, f"the event is a {happened.value}, not a {when.event}", judged)
    failing = "; ".join(each.detail for each in judged if each.holds is False)
    return Awaited(kind, all_hold(judged), failing or f"the {when.event} event meets its conditions", judged)


def _measure(kind: str, when: MeasureWhen, asked: _Asked) -> Awaited:
    weighed = asked.weighed
    assert weighed is not None
    detail = weighed.detail
    if weighed.missing is None:
        detail += "; it was reached, and fires again only after it has fallen below"
    return Awaited(kind, False, detail, judge_all(when.measure.where, asked.sight), weighed)


def _absence(kind: str, when: AbsenceWhen, asked: _Asked) -> Awaited:
    unless = f"fires then unless {_an(when.no)} comes"
    waits = [
        Wait(each.customer_id, clock.from_ms(w.since_ms), clock.from_ms(w.due_ms), w.event_id, unless)
        for each in asked.states
        if (held := each.absences.get(asked.rule.id)) is not None
        for w in held.waits
    ]
    waits.sort(key=lambda each: (each.due, each.event_id))
    judged = judge_all(when.after.where, asked.sight)
    if not waits:
        return Awaited(kind, False, f"nothing is waited for: no {when.after.event} has begun a wait", judged)
    first = waits[0]
    begun = f"a {when.after.event} of {_at(first.since)} is waited behind until {_at(first.due)}"
    return Awaited(kind, True, f"{begun}; {unless}", judged, waits=waits)


def _sequence(kind: str, when: SequenceWhen, asked: _Asked) -> Awaited:
    """The run that has come furthest of those that have time left."""
    steps = [
        sorted((s for each in _progress(asked, len(when.steps)) for s in each[at]), key=lambda s: (s.time_ms, s.number))
        for at in range(len(when.steps))
    ]
    later = _by_same(steps)
    spent = {n for each in asked.states if (held := each.sequences.get(asked.rule.id)) for n in held.spent}
    now_ms = clock.to_ms(asked.now)
    runs = []
    for first in steps[0]:
        end_ms = spans.after(first.time_ms, asked.rule.span, asked.zone)
        if first.number not in spent and end_ms >= now_ms:
            runs.append((_run(first, later, end_ms), end_ms))
    if not runs:
        return Awaited(kind, False, f"waits for {_an(when.steps[0])}, the first of {len(when.steps)} steps")
    run, end_ms = max(runs, key=lambda each: (len(each[0]), each[0][0].time_ms))
    missing = when.steps[min(len(run), len(when.steps) - 1)]
    detail = f"{len(run)} of {len(when.steps)} steps have happened; {_an(missing)} by {wording.instant(end_ms)} is next"
    since, due = clock.from_ms(run[0].time_ms), clock.from_ms(end_ms)
    return Awaited(kind, False, detail, waits=[Wait(asked.states[0].customer_id, since, due, run[0].event_id, detail)])


def _progress(asked: _Asked, count: int) -> list[list[list[Step]]]:
    held = [found for each in asked.states if (found := each.sequences.get(asked.rule.id)) is not None]
    return [each.steps for each in held if len(each.steps) == count]


def _by_same(steps: list[list[Step]]) -> list[_Later]:
    """Of each step, the events by what those of one run have in common, in their order."""
    found: list[_Later] = [{} for _ in steps]
    for held, events in zip(found, steps, strict=True):
        for each in events:
            held.setdefault(each.same, []).append(each)
    return found


def _run(first: Step, steps: list[_Later], end_ms: int) -> list[Step]:
    run = [first]
    for events in steps[1:]:
        own = events.get(first.same, [])
        at = bisect_left(own, run[-1].time_ms, key=_time_of)
        # One event may be several steps, but only one of each run.
        while at < len(own) and any(own[at].number == each.number for each in run):
            at += 1
        if at == len(own) or own[at].time_ms > end_ms:
            break
        run.append(own[at])
    return run


def _time_of(step: Step) -> int:
    return step.time_ms


def _change(kind: str, when: ChangeWhen, asked: _Asked) -> Awaited:
    found = asked.sight.find(when.field)
    moves = "moves" if when.to is None else f"moves to {' or '.join(map(wording.shown, when.to))}"
    if when.from_ is not None:
        moves += f" from {' or '.join(map(wording.shown, when.from_))}"
    if not found.known:
        return Awaited(kind, None, f"waits until {when.field}, which {found.why}, {moves}")
    return Awaited(kind, None, f"{when.field} is {wording.shown(found.value)}; waits until it {moves}")


def _date(kind: str, when: DateWhen, asked: _Asked) -> Awaited:
    held = _appointments(asked)
    if not held:
        return Awaited(kind, False, f"no day is ahead: {when.field} is not known, is no date, or is over")
    basis = next(each.basis for _, each in held)
    return _due(kind, asked, f"{when.field} is {wording.shown(basis)}", "fires then")


def _dormancy(kind: str, when: DormancyWhen, asked: _Asked) -> Awaited:
    if not _appointments(asked):
        return Awaited(kind, False, f"no silence is under way: waits for {_an(when.no)} first")
    return _due(kind, asked, f"silent for {wording.span(when.for_)} if nothing happens", f"unless {_an(when.no)} comes")


def _deviation(kind: str, when: DeviationWhen, asked: _Asked) -> Awaited:
    gauge = asked.rule.gauge
    assert gauge is not None
    judged = judge_all(when.measure.where, asked.sight)
    found = deviations.compare(asked.rule, gauge, asked.states, gauge.pane_at(asked.now, asked.zone))
    what = f"{wording.measure(when.measure)} in {wording.window(when.measure.over)}"
    if found is None:
        return Awaited(kind, False, f"{what} has nothing to be compared with yet", judged)
    change = 0.0 if not found.baseline else 100 * (found.value - found.baseline) / found.baseline
    asks = f"a {when.direction} by {wording.number(when.by_percent)} %"
    value, baseline = wording.number(round(found.value, 2)), wording.number(round(found.baseline, 2))
    detail = f"{what} is {value}, against {baseline} before: {change:+.1f} %; wanted: {asks}"
    return Awaited(kind, found.met, detail, judged)


def _segment(kind: str, when: SegmentWhen, asked: _Asked) -> Awaited:
    """Who is in by now is as it was judged last, at whichever record of the person."""
    known = [held for each in asked.states if (held := each.memberships.get(when.segment)) is not None]
    held = max(known, key=lambda each: each.judged_ms, default=None)
    inside = held is not None and held.inside
    now = f"is {'in' if inside else 'not in'} the segment {when.segment}"
    if held is not None and inside:
        now += f" since {wording.instant(held.since_ms)}"
    wanted = "comes in" if when.moves == "in" else "falls out"
    missing = "" if inside != (when.moves == "in") else f", and has to {'leave' if inside else 'come in'} first"
    return Awaited(kind, None if not missing else False, f"{now}; waits until the person {wanted}{missing}")


def _appointments(asked: _Asked) -> list[tuple[State, Appointment]]:
    held = [(each, found) for each in asked.states if (found := each.appointments.get(asked.rule.id)) is not None]
    return sorted((each for each in held if each[1].due_ms), key=lambda each: each[1].due_ms)


def _due(kind: str, asked: _Asked, what: str, then: str) -> Awaited:
    waits = [
        Wait(
            each.customer_id,
            clock.from_ms(held.last_ms or held.received_ms),
            clock.from_ms(held.due_ms),
            held.event_id,
            then,
        )
        for each, held in _appointments(asked)
    ]
    return Awaited(kind, True, f"{what}; due {_at(waits[0].due)}, {then}", waits=waits)


def _an(pick: Pick) -> str:
    return f"a {pick.event}" + (" that meets its conditions" if pick.where else "")


def _at(instant: datetime) -> str:
    return wording.instant(clock.to_ms(instant))


_KINDS: dict[type, Callable[[str, Any, _Asked], Awaited]] = {
    EventWhen: _event,
    MeasureWhen: _measure,
    AbsenceWhen: _absence,
    SequenceWhen: _sequence,
    ChangeWhen: _change,
    DateWhen: _date,
    DormancyWhen: _dormancy,
    DeviationWhen: _deviation,
    SegmentWhen: _segment,
}

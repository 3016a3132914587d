"""Did A, then B, then C happen within T? Whatever order they are told in. Pure.

A run begins with an event of the first step at time a. It is complete when there are events of the other steps, all
different, each at the time of the one before it or later and none after a + T. A run is complete once: the event with
which it becomes so fires, though it may be the middle one, told of late. With `on_each_first` every event of the first
step begins a run of its own; of runs that one event completes, the youngest fires. With `only_when_idle` an event of
the first step begins none when a run is under way at its time as it comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from zoneinfo import ZoneInfo

from services.rules import spans
from services.rules.language import SequenceWhen
from services.rules.snapshot import CompiledRule
from services.rules.state import DAY_MS, Progress, State, Step

STEPS_MAX = 64
"""Of each step that many events are kept, the newest."""


def take(rule: CompiledRule, state: State, at: int, step: Step) -> None:
    """Note an event as one of step `at`; forget what no run can need any more."""
    held = state.sequences.get(rule.id)
    count = len(rule.when.steps) if isinstance(rule.when, SequenceWhen) else 0
    if held is None or len(held.steps) != count or (rule.drop_running and held.version != rule.version):
        held = state.sequences[rule.id] = Progress(steps=[[] for _ in range(count)])
    held.version = rule.version
    held.steps[at].append(step)
    newest = max(step.time_ms, state.latest_ms)
    keep_ms = _keep_ms(rule)
    for index, events in enumerate(held.steps):
        kept = sorted((each for each in events if each.time_ms > newest - keep_ms), key=_order)
        held.steps[index] = kept[-STEPS_MAX:]
    held.spent = {number: time_ms for number, time_ms in held.spent.items() if time_ms > newest - keep_ms}
    held.until_ms = newest + keep_ms


def completed(rule: CompiledRule, views: Sequence[State], zone: ZoneInfo) -> list[Step] | None:
    """The run that fires now, as its events in the order of the steps; None where none has become complete.

    All runs that are complete are spent with it. `views` are all records of the person, the one that is kept first.
    """
    own, steps, spent = _known(rule, views)
    fresh: list[list[Step]] = []
    for first in steps[0]:
        if first.number not in spent:
            run = _continued([first], steps, spans.after(first.time_ms, rule.span, zone))
            if run is not None:
                own.spent[first.number] = first.time_ms
                fresh.append(run)
    return fresh[-1] if fresh else None


def pass_over(rule: CompiledRule, views: Sequence[State], first: Step, zone: ZoneInfo) -> None:
    """Let an event of the first step begin no run if one is under way."""
    if not isinstance(rule.when, SequenceWhen) or rule.when.restart != "only_when_idle":
        return
    own, steps, spent = _known(rule, views)
    end_ms = spans.after(first.time_ms, rule.span, zone)
    for each in steps[0]:
        if each.same == first.same and each.number != first.number and each.number not in spent:
            if each.time_ms <= end_ms and first.time_ms <= spans.after(each.time_ms, rule.span, zone):
                own.spent[first.number] = first.time_ms
                return


def _known(rule: CompiledRule, views: Sequence[State]) -> tuple[Progress, list[list[Step]], set[int]]:
    """The progress of the record that is kept, and what all records know: events by step, and what is spent."""
    own = views[0].sequences[rule.id]
    held = [each for view in views if (each := view.sequences.get(rule.id)) is not None]
    held = [each for each in held if len(each.steps) == len(own.steps)]
    steps = [sorted((step for each in held for step in each.steps[at]), key=_order) for at in range(len(own.steps))]
    # What one record has forgotten another may still know: nobody looks further back than the first to forget.
    oldest = max(each.until_ms for each in held) - 2 * _keep_ms(rule)
    steps[0] = [each for each in steps[0] if each.time_ms > oldest]
    return own, steps, {number for each in held for number in each.spent}


def _keep_ms(rule: CompiledRule) -> int:
    return rule.span.ms_max + rule.accept_late_ms + 2 * DAY_MS


def _order(step: Step) -> tuple[int, int]:
    return step.time_ms, step.number


def _continued(run: list[Step], steps: list[list[Step]], end_ms: int) -> list[Step] | None:
    """The run with events for the rest of the steps, each as early as can be.

    Only where several have the same earliest time does it matter which is taken: another may be wanted by a later step.
    """
    if len(run) == len(steps):
        return run
    taken, same, since_ms = {each.number for each in run}, run[0].same, run[-1].time_ms
    possible = [
        each
        for each in steps[len(run)]
        if each.same == same and since_ms <= each.time_ms <= end_ms and each.number not in taken
    ]
    for each in takewhile(lambda step: step.time_ms == possible[0].time_ms, possible):
        if (found := _continued([*run, each], steps, end_ms)) is not None:
            return found
    return None

"""Did A, then B, then C happen within T? Whatever order they are told in. Pure.

A run begins with an event of the first step at time a. It is complete when there are events of the other steps, all
different, each at the time of the one before it or later and none after a + T. A run is complete once: the event
without which it would not be fires, though it may be the middle one, told of late. With `on_each_first` every event of
the first step begins a run of its own; of runs that one event completes, the youngest fires. With `only_when_idle` an
event of the first step begins none when a run is under way at its time as it comes in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from services.rules.document.language import SequenceWhen
from services.rules.engine import spans
from services.rules.engine.snapshot import CompiledRule
from services.rules.engine.state import DAY_MS, Progress, State, Step

ALIKE_MAX = 64
"""Of each step that many events with the same `same` are kept, the newest."""
STEPS_MAX = 256
"""And that many whatever they have in common."""

Order = tuple[int, int]
"""Time in milliseconds, and the event's digest: no two events have the same."""


def take(rule: CompiledRule, state: State, at: int, step: Step) -> int:
    """Note an event as one of step `at`, and forget what no run can need any more.

    Returns how many events there was no room for, which a run might have needed.
    """
    held = state.sequences.get(rule.id)
    count = len(rule.when.steps) if isinstance(rule.when, SequenceWhen) else 0
    if held is None or len(held.steps) != count or (rule.drop_running and held.version != rule.version):
        held = state.sequences[rule.id] = Progress(steps=[[] for _ in range(count)])
    held.version = rule.version
    held.steps[at].append(step)
    newest = max(step.time_ms, state.latest_ms)
    keep_ms = _keep_ms(rule)
    for index, events in enumerate(held.steps):
        held.steps[index] = sorted((each for each in events if each.time_ms > newest - keep_ms), key=_order)
    held.spent = {number: time_ms for number, time_ms in held.spent.items() if time_ms > newest - keep_ms}
    held.until_ms = newest + keep_ms
    return _make_room(held, at)


def _make_room(held: Progress, at: int) -> int:
    events = held.steps[at]
    alike: Counter[int] = Counter()
    kept: list[Step] = []
    for each in reversed(events):
        alike[each.same] += 1
        if alike[each.same] <= ALIKE_MAX and len(kept) < STEPS_MAX:
            kept.append(each)
    held.steps[at] = kept[::-1]
    return len(events) - len(kept)


def completed(rule: CompiledRule, views: Sequence[State], zone: ZoneInfo, last: Order) -> list[Step] | None:
    """The run that fires now, as its events in the order of the steps; None where none has become complete.

    `last` is the event that was taken up just now. Runs that are complete without it, because records were linked or
    the rule was edited since, are spent and fire nothing. `views` are all records of the person, the one that is kept
    first.
    """
    own, steps, spent = _known(rule, views)
    fresh: list[list[Step]] = []
    alike: dict[int, list[list[Step]]] = {}
    for first in steps[0]:
        if first.number in spent or first.time_ms > last[0]:
            continue
        end_ms = spans.after(first.time_ms, rule.span, zone)
        if end_ms < last[0]:
            continue
        if first.same not in alike:
            alike[first.same] = [[each for each in events if each.same == first.same] for events in steps]
        mine = alike[first.same]
        run = _run(first, mine, end_ms)
        if run is None:
            continue
        own.spent[first.number] = first.time_ms
        without = [[each for each in events if _order(each) != last] for events in mine]
        if _order(first) == last or _run(first, without, end_ms) is None:
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


def _order(step: Step) -> Order:
    return step.time_ms, step.number


def _run(first: Step, steps: list[list[Step]], end_ms: int) -> list[Step] | None:
    """The run with events for the rest of the steps, each as early as can be; None where there are not enough.

    To be further on at an instant is never worse, for later events go with any step. So at each instant as many steps
    as possible are taken.
    """
    run = [first]
    since_ms = first.time_ms
    while len(run) < len(steps):
        events = steps[len(run)]
        at = bisect_left(events, since_ms, key=_time)
        while at < len(events) and events[at].number == first.number:
            at += 1
        if at == len(events) or events[at].time_ms > end_ms:
            return None
        instant_ms = events[at].time_ms
        run += _taken(steps, len(run), instant_ms, first.number)
        since_ms = instant_ms + 1
    return run


def _time(step: Step) -> int:
    return step.time_ms


def _taken(steps: list[list[Step]], begin: int, instant_ms: int, first: int) -> list[Step]:
    """As many steps in a row as have events of their own at one instant: a matching that grows by one step a time."""
    possible: list[list[Step]] = []
    holder: dict[int, int] = {}
    for events in steps[begin:]:
        low, high = bisect_left(events, instant_ms, key=_time), bisect_right(events, instant_ms, key=_time)
        possible.append([each for each in events[low:high] if each.number != first])
        if not _settle(possible, len(possible) - 1, holder, set()):
            possible.pop()
            break
    of = {step: number for number, step in holder.items()}
    return [next(each for each in events if each.number == of[at]) for at, events in enumerate(possible)]


def _settle(possible: list[list[Step]], at: int, holder: dict[int, int], tried: set[int]) -> bool:
    """Find an event for a step, if need be by giving the step that holds it another one."""
    for each in possible[at]:
        if each.number not in tried:
            tried.add(each.number)
            other = holder.get(each.number)
            if other is None or _settle(possible, other, holder, tried):
                holder[each.number] = at
                return True
    return False

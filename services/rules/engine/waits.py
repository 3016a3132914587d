"""Did A happen, and no B within T? Waits that begin, are ended, and run out, whatever order they are told in.
Pure.

A wait that began with A at time a is due at a + T. It runs out unless an event of the same person that ends
it, at time t with a <= t <= a + T, is known when the clock has passed the due instant. With `on_each_first` a
later A ends a wait just as B does, and begins its own; with `only_when_idle` an A that falls into a wait
under way is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from libs.common.events import EventResolved
from services.rules.document.language import AbsenceWhen
from services.rules.engine import spans
from services.rules.engine.snapshot import CompiledRule
from services.rules.engine.state import AFTER_ALL, DAY_MS, Absence, State, Wait, digest

MARKS_MAX = 256


def same_of(rule: CompiledRule, subject: Mapping[str, Any]) -> int | None:
    """What the events of one wait have in common; None for an event that lacks it."""
    values = [getter(subject) for getter in rule.same]
    if any(value is None for value in values):
        return None
    return digest(*values) if values else 0


def interrupt(rule: CompiledRule, state: State, subject: Mapping[str, Any], time_ms: int) -> list[Wait]:
    """B has happened: the waits that it ends."""
    same = same_of(rule, subject)
    return [] if same is None else _end(rule, state, (same, time_ms, AFTER_ALL))


def begin(
    rule: CompiledRule,
    state: State,
    event: EventResolved,
    subject: Mapping[str, Any],
    time_ms: int,
    zone: ZoneInfo,
    own_mark: bool,
) -> tuple[Wait | None, list[Wait]]:
    """A has happened: the wait that it begins, if any, and those that it ends.

    `own_mark` says that the event is a B of the same rule as well, and has been taken up as that just now:
    its own mark does not end its own wait.
    """
    same = same_of(rule, subject)
    if same is None:
        return None, []
    mine = digest(event.event_id)
    due_ms = spans.after(time_ms, rule.span, zone)
    held = state.absences.setdefault(rule.id, Absence())
    marks = list(held.marks)
    if own_mark and (same, time_ms, AFTER_ALL) in marks:
        marks.remove((same, time_ms, AFTER_ALL))
    restarts = _restarts(rule)
    idle = restarts or not any(
        each.same == same and each.since_ms <= due_ms and time_ms <= each.due_ms for each in held.waits
    )
    ended = _end(rule, state, (same, time_ms, mine)) if restarts else []
    if not idle or ends(marks, same, (time_ms, mine), due_ms):
        return None, ended
    wait = Wait(same, time_ms, due_ms, event.event_id, rule.version, event.hops, event.received_ms)
    wait.first = rule.kept_of(subject)
    held.waits.append(wait)
    return wait, ended


def expire(rule: CompiledRule | None, state: State, rule_id: str, event_id: str, same: int) -> Wait | None:
    """The clock has passed a due instant: the wait that runs out; None when it is gone, or its rule is."""
    held = state.absences.get(rule_id)
    if held is None:
        return None
    wait = next((each for each in held.waits if each.event_id == event_id and each.same == same), None)
    if wait is None:
        return None
    held.waits.remove(wait)
    if rule is None or (rule.drop_running and rule.version != wait.version):
        return None
    return wait


def ended_elsewhere(rule: CompiledRule, wait: Wait, others: Iterable[State]) -> bool:
    """Whether another record of the same person knows of an event that ends the wait."""
    begun = (wait.since_ms, digest(wait.event_id))
    marks = [mark for other in others if (held := other.absences.get(rule.id)) for mark in held.marks]
    return ends(marks, wait.same, begun, wait.due_ms)


def ends(marks: Iterable[tuple[int, int, int]], same: int, begun: tuple[int, int], due_ms: int) -> bool:
    """Of two A at one instant the one with the higher event number counts as the later; B counts as later
    than both.
    """
    return any(each[0] == same and (each[1], each[2]) > begun and each[1] <= due_ms for each in marks)


def _end(rule: CompiledRule, state: State, mark: tuple[int, int, int]) -> list[Wait]:
    """Remember what ends waits, and end those that it ends."""
    held = state.absences.setdefault(rule.id, Absence())
    ended = [w for w in held.waits if ends([mark], w.same, (w.since_ms, digest(w.event_id)), w.due_ms)]
    if ended:
        held.waits = [each for each in held.waits if each not in ended]
    newest = max(mark[1], state.latest_ms)
    keep_ms = rule.span.ms_max + rule.accept_late_ms + 2 * DAY_MS
    marks = sorted(each for each in [*held.marks, mark] if each[1] > newest - keep_ms)
    held.marks = marks if len(marks) <= MARKS_MAX else sorted(marks, key=lambda m: m[1])[-MARKS_MAX:]
    held.until_ms = newest + keep_ms
    return ended


def _restarts(rule: CompiledRule) -> bool:
    return isinstance(rule.when, AbsenceWhen) and rule.when.restart == "on_each_first"

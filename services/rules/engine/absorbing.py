"""What would be remembered of a customer had some rules always been watched? Pure.

The past leaves a state of its own, in which these rules alone were watched and nothing fired. `carry_on` leads it from
where the past was cut to now, by the very functions that take up events and fire timers live. `absorb` then puts what
it holds in the place of what the live state knows of these rules since the cut. So there is no arithmetic of halves,
which every new kind of rule would have to be taught.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from libs.common.events import EventResolved
from services.rules.document.everyone import audience_id
from services.rules.engine import matching, standing
from services.rules.engine.compiled import SEGMENT, segment_figures
from services.rules.engine.firing import Due, Effects, Expiry, appointed, due, looked_at_again
from services.rules.engine.snapshot import CompiledRule, Snapshot
from services.rules.engine.state import Absence, Aggregate, Membership, Progress, State

T = TypeVar("T")


class Heard(NamedTuple):
    """An event that came after the cut, and what the unit's clock was then."""

    clock_ms: int
    event: EventResolved


def carry_on(
    snapshot: Snapshot, earlier: State, heard: Iterable[Heard], others: Sequence[State], now_ms: int, grace_ms: int
) -> None:
    """Lead a state from the cut to now. `snapshot` holds the new rules alone, paused, so that nothing fires."""
    out = Effects()
    for clock_ms, event in heard:
        _expire_due(snapshot, earlier, others, clock_ms - grace_ms, out)
        hit = matching.match(snapshot, event)
        if hit is not None:
            matching.step(snapshot, event, hit, earlier, others, out)
        else:
            matching.remember_profile(earlier, event)
    _expire_due(snapshot, earlier, others, now_ms - grace_ms, out)


def _expire_due(snapshot: Snapshot, state: State, others: Sequence[State], ready_ms: int, out: Effects) -> None:
    while True:
        first = min(_expiries(state), default=None)
        if first is None or first[0] > ready_ms:
            return
        matching.expire(snapshot, Expiry(first[1], state.customer_id, first[2], first[3]), state, others, out)


def _expiries(state: State) -> list[tuple[int, str, str, int]]:
    """What a customer's timers would say: due instant, rule, event and what `Expiry` calls `same`."""
    found = [
        (wait.due_ms, rule_id, wait.event_id, wait.same)
        for rule_id, absence in state.absences.items()
        for wait in absence.waits
    ]
    dues = [(id, held.due_ms) for id, held in state.appointments.items()]
    dues += [(segment_figures(id), held.due_ms) for id, held in state.memberships.items()]
    return found + [(due_ms, id, "", due_ms) for id, due_ms in dues if due_ms]


def absorb(state: State, earlier: State, snapshot: Snapshot, wanted: Mapping[str, bool], out: Effects) -> None:
    """Take over what `earlier` holds of the `wanted` rules, with their timers.

    `wanted` says of each rule whether it is new. What an earlier version of one that is not has begun goes on beside
    it. When and for whom a rule fired is never taken over: that is known of the rule itself alone.
    """
    for key, past in earlier.aggregates.items():
        _add_panes(state, key, past)
    for rule_id, is_new in wanted.items():
        for segment_id in (rule_id.removeprefix(SEGMENT), audience_id(rule_id)):
            if segment_id in snapshot.segments and segment_id in earlier.memberships:
                _join(state, earlier.memberships[segment_id], segment_id, out)
        rule = snapshot.rules.get(rule_id)
        if rule is not None:
            before = _timers_of(rule, state)
            _take_over(rule, state, earlier, goes_on=not is_new and not rule.drop_running)
            after = _timers_of(rule, state)
            for timer in after.values():
                out.begin(timer)
            for gone in before.keys() - after.keys():
                out.end(gone)
    _note_person(state, earlier)


def _add_panes(state: State, key: int, past: Aggregate) -> None:
    """Panes that the past knows are whole there. What lies further back than it was asked is known here alone."""
    held = state.aggregates.get(key)
    if held is None:
        state.aggregates[key] = past
        return
    held.panes = held.panes | past.panes
    held.since = min((each for each in (held.since, past.since) if each is not None), default=None)
    held.until_ms = max(held.until_ms, past.until_ms)


def _take_over(rule: CompiledRule, state: State, earlier: State, *, goes_on: bool) -> None:
    name = rule.id
    absence, progress, held = earlier.absences.get(name), earlier.sequences.get(name), earlier.appointments.get(name)
    if goes_on:
        absence = _both_absences(rule, state.absences.get(name), absence)
        progress = _both_runs(state.sequences.get(name), progress)
        own = state.appointments.get(name)
        held = own if own is not None and not standing.is_dropped(rule, own) else held
    _put(state.absences, name, absence)
    _put(state.sequences, name, progress)
    _put(state.appointments, name, held)


def _join(state: State, past: Membership, segment_id: str, out: Effects) -> None:
    """What the past judged last, after all that has come since. The list of members is put right when it is saved."""
    own = state.memberships.get(segment_id)
    past.listed = 0 if own is None else own.listed
    if own is not None:
        past.judged_ms = max(past.judged_ms, own.judged_ms)
    state.memberships[segment_id] = past
    timer = looked_at_again(segment_id, state.customer_id, past.due_ms)
    if past.due_ms:
        out.begin(timer)
    elif own is not None and own.due_ms:
        out.end(timer.key)


def _put(places: dict[str, T], name: str, found: T | None) -> None:
    if found is None:
        places.pop(name, None)
    else:
        places[name] = found


def _both_absences(rule: CompiledRule, own: Absence | None, past: Absence | None) -> Absence | None:
    """Waits of an earlier version go on as they were begun; of those of this version the past knows all."""
    if own is None or past is None:
        return own or past
    known = {(wait.event_id, wait.same) for wait in past.waits}
    waits = [each for each in own.waits if each.version != rule.version and (each.event_id, each.same) not in known]
    return Absence(max(own.until_ms, past.until_ms), [*past.waits, *waits], sorted({*own.marks, *past.marks}))


def _both_runs(own: Progress | None, past: Progress | None) -> Progress | None:
    """Steps that an earlier version took note of stay, if there are as many steps; what is spent is spent."""
    if own is None or past is None or len(own.steps) != len(past.steps):
        return past or own
    steps = []
    for mine, theirs in zip(own.steps, past.steps, strict=True):
        known = {each.number: each for each in (*mine, *theirs)}
        steps.append(sorted(known.values(), key=lambda each: (each.time_ms, each.number)))
    return Progress(max(own.until_ms, past.until_ms), past.version, steps, own.spent | past.spent)


def _timers_of(rule: CompiledRule, state: State) -> dict[str, Due]:
    waits = state.absences[rule.id].waits if rule.id in state.absences else []
    found = [due(rule, state.customer_id, wait) for wait in waits]
    held = state.appointments.get(rule.id)
    if held is not None and held.due_ms:
        found.append(appointed(rule, state.customer_id, held.due_ms))
    return {each.key: each for each in found}


def _note_person(state: State, earlier: State) -> None:
    """Who it is and what is known of them: a past in which something waits has seen every event until now."""
    if earlier.profile or not state.latest_ms:
        state.person_id, state.linked = earlier.person_id, earlier.linked
        state.profile = earlier.profile or state.profile
    state.latest_ms = max(state.latest_ms, earlier.latest_ms)
    seen = earlier.seen | state.seen
    state.seen = {event: max(until, earlier.seen.get(event, 0)) for event, until in seen.items()}
    for name, past in earlier.changes.items():
        held = state.changes.get(name)
        if held is None or held.at_ms < past.at_ms:
            state.changes[name] = past

"""What would be remembered of a customer had some rules always been watched? Pure.

The past leaves a state of its own, in which these rules alone were watched and nothing fired. `carry_on` leads it from
where the past was cut to now, by the very functions that take up events and fire timers live; what came due meanwhile
is made up for. `absorb` then puts what it holds in the place of what the live state knows of these rules since the cut.
So there is no arithmetic of halves, which every new kind of rule would have to be taught.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, TypeVar

from libs.common.events import EventResolved
from services.rules.document.everyone import audience_id
from services.rules.engine import matching, standing
from services.rules.engine.compiled import SEGMENT, segment_figures
from services.rules.engine.firing import Due, Effects, Expiry, appointed, due, looked_at_again
from services.rules.engine.snapshot import CompiledRule, CompiledSegment, Snapshot
from services.rules.engine.state import Absence, Aggregate, Membership, Memory, Progress, State

T = TypeVar("T")


class Heard(NamedTuple):
    """An event that came after the cut, and what the unit's clock was then."""

    clock_ms: int
    event: EventResolved


class Voice(NamedTuple):
    """By what new rules speak of what came due on the way: `live` are the rules in force, `since` is the unit's clock
    when each of the new ones came into force, and `told` are the ids of the triggers that are known to have fired.
    """

    live: Snapshot
    since: Mapping[str, int]
    told: Set[str]
    out: Effects


def carry_on(
    snapshot: Snapshot,
    earlier: State,
    heard: Iterable[Heard],
    others: Sequence[State],
    now_ms: int,
    grace_ms: int,
    voice: Voice,
) -> None:
    """Lead a state from the cut to now. `snapshot` holds the new rules alone, paused, so that no event fires.

    What has come due since a rule is in force does fire, unless it was told already.
    """
    way = Way(snapshot, earlier, others, now_ms, grace_ms, voice)
    way.hear(heard)
    way.arrive()


class Way:
    """From the cut to now, as the clock went: a step for each part of what was heard, and at last `arrive`."""

    def __init__(
        self, snapshot: Snapshot, state: State, others: Sequence[State], now_ms: int, grace_ms: int, voice: Voice
    ) -> None:
        self._unheard = Effects()
        self._snapshot, self._state, self._others = snapshot, state, others
        self._now_ms, self._grace_ms, self._voice = now_ms, grace_ms, voice
        self._stops = sorted(set(voice.since.values()))
        self._clock_ms = min(self._stops, default=0)

    def hear(self, heard: Iterable[Heard]) -> None:
        for clock_ms, event in heard:
            self._come_to(clock_ms)
            hit = matching.match(self._snapshot, event)
            if hit is not None:
                matching.step(self._snapshot, event, hit, self._state, self._others, self._unheard)
            else:
                matching.remember_profile(self._state, event)

    def arrive(self) -> None:
        self._come_to(self._now_ms)
        # Timers that were due have fired by now, also where the clock stands still.
        self._expire_due(self._now_ms + 1)

    def _come_to(self, clock_ms: int) -> None:
        """Timers fire when the clock has moved: what one event appoints, the next of its batch may put off."""
        for stop in [*(each for each in self._stops if each < clock_ms), clock_ms]:
            if stop > self._clock_ms:
                self._clock_ms = stop
                self._expire_due(stop)

    def _expire_due(self, clock_ms: int) -> None:
        while True:
            first = min(_expiries(self._state), default=None)
            if first is None or first[0] > min(clock_ms, self._now_ms) - self._grace_ms:
                return
            _, rule_id, event_id, same = first
            expiry = Expiry(rule_id, self._state.customer_id, event_id, same)
            rule = self._voice.live.rules.get(rule_id)
            begun = clock_ms > self._voice.since.get(rule_id, clock_ms)
            if rule is None or not begun:
                matching.expire(self._snapshot, expiry, self._state, self._others, self._unheard)
            else:
                self._speak(expiry)

    def _speak(self, expiry: Expiry) -> None:
        rule_id, voice, found = expiry.rule_id, self._voice, Effects()
        held = self._state.memories.get(rule_id)
        before = None if held is None else Memory(held.until_ms, list(held.fired_ms))
        matching.expire(voice.live, expiry, self._state, self._others, found)
        if any(each.trigger_id in voice.told for each in found.triggers):
            # The live state fired it itself, and its limits count it already.
            _put(self._state.memories, rule_id, before)
            return
        voice.out.triggers += found.triggers
        voice.out.grounds += found.grounds
        voice.out.outcomes.update((rule_id, "fired") for _ in found.triggers)


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


def gauges_of(silent: Snapshot, live: Snapshot, wanted: Collection[str], unready: Collection[str]) -> dict[int, int]:
    """What is taken over of what is added up, by key: all that the `wanted` ask for and that was led to now.

    Each with how many of its newest panes are known already, because somebody else asks for them who has nothing to
    learn; `unready` are those who have.
    """
    found = {}
    for key, asked in silent.measured.items():
        if not asked.keys().isdisjoint(wanted):
            known = live.measured.get(key, {})
            found[key] = max((panes for name, panes in known.items() if name not in unready), default=0)
    return found


def absorb(
    state: State,
    earlier: State,
    snapshot: Snapshot,
    wanted: Mapping[str, bool],
    gauges: Mapping[int, int],
    out: Effects,
) -> None:
    """Take over what `earlier` holds of the `wanted` rules, with their timers, and of `gauges`.

    `wanted` says of each rule whether it is new. What an earlier version of one that is not has begun goes on beside
    it. When and for whom a rule fired is never taken over: that is known of the rule itself alone.
    """
    for key, known in gauges.items():
        if (past := earlier.aggregates.get(key)) is not None:
            _add_panes(state, key, past, known)
    for rule_id, is_new in wanted.items():
        for segment_id in (rule_id.removeprefix(SEGMENT), audience_id(rule_id)):
            if segment_id in snapshot.segments and segment_id in earlier.memberships:
                _join(state, earlier.memberships[segment_id], segment_id, out)
            elif segment_id in snapshot.segments and segment_id in state.memberships:
                _leave(state.memberships[segment_id], snapshot.segments[segment_id])
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


def _add_panes(state: State, key: int, past: Aggregate, known: int) -> None:
    """The newest `known` panes are whole here already. The past tells of others at least as much as was seen since.

    Of where the reading begins it holds pieces, which are better than nothing and worse than what is whole.
    """
    held = state.aggregates.get(key)
    if held is None:
        state.aggregates[key] = past
        return
    whole = max(held.panes, default=0) - known
    held.panes = held.panes | {at: parts for at, parts in past.panes.items() if at not in held.panes or at <= whole}
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


def _leave(own: Membership, segment: CompiledSegment) -> None:
    """Of whom the past knows no judgement, they are out. What was judged by this definition meanwhile stands."""
    if own.inside and own.about != segment.about:
        own.inside, own.since_ms, own.until_ms = False, own.judged_ms, 0


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

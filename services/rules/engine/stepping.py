"""What does one event do to a customer's state, and what fires with it? One event at a time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from libs.common import clock
from libs.common.events import EventResolved
from services.rules.document.language import ChangeWhen, DateWhen
from services.rules.engine import deviations, segments, sequences, standing, waits
from services.rules.engine.firing import Cause, Effects, appointed, due, fire, profile_of, withdrawn
from services.rules.engine.snapshot import (
    BEGIN,
    COMPARE,
    COUNT,
    EVENT,
    FIRST_SEEN,
    INTERRUPT,
    REACH,
    STEP,
    STIR,
    CompiledRule,
    CompiledSegment,
    Moment,
    Snapshot,
    Use,
)
from services.rules.engine.standing import Sign
from services.rules.engine.state import Changed, State, Step, Wait, digest
from services.rules.engine.subject import with_envelope


class Hit(NamedTuple):
    """What one event met. `needs_state` false: it can be decided from the event alone. `segments` are those of which a
    change may move the members, and `watched` the fields of which it is noted when they changed.
    """

    uses: Sequence[Use]
    changes: Sequence[CompiledRule]
    subject: dict[str, Any]
    needs_state: bool
    segments: Sequence[CompiledSegment] = ()
    watched: Sequence[str] = ()


class Stepping:
    def __init__(
        self,
        snapshot: Snapshot,
        event: EventResolved,
        hit: Hit,
        state: State,
        others: Sequence[State],
        out: Effects,
    ) -> None:
        self.snapshot, self.event, self.hit, self.state, self.out = snapshot, event, hit, state, out
        self.time_ms = clock.to_ms(event.time)
        self.late_ms = event.received_ms - self.time_ms
        self.profile = profile_of(event.profile)
        self.moment = Moment(self.time_ms, self.profile, (state, *others), snapshot.company_zone)
        self.moment.changed = event.changed
        self._subject_whole = False

    def run(self) -> None:
        if self.hit.needs_state and not self._is_new():
            return
        reached = [(use, self._worth(use)) for use in self.hit.uses if use.role == REACH]
        judging = self._judging()
        self._take_up()
        for use, before in reached:
            self._reach(use, before)
        for use in self.hit.uses:
            if use.role == EVENT and use.rule is not None:
                self._fire(use.rule)
            elif use.role == COMPARE:
                self._compare(use)
        for rule in dict.fromkeys(use.rule for use in self.hit.uses if use.role == STEP and use.rule is not None):
            self._complete(rule)
        for rule in self.hit.changes:
            if isinstance(rule.when, ChangeWhen):
                self._fire(rule)
            else:
                self._expect(rule)
        for rule in judging.moves(self.out) if judging is not None else ():
            self._fire(rule)
        remember_profile(self.state, self.event)

    def _is_new(self) -> bool:
        event, state = self.event, self.state
        if state.was_seen(digest(event.event_id, event.type), self.time_ms):
            return False
        state.latest_ms = max(state.latest_ms, self.time_ms)
        state.person_id, state.linked = event.person_id, event.linked
        return True

    def _judging(self) -> segments.Judging | None:
        """Of the segments that the event concerns; None for nearly all events."""
        concerned = [*self.hit.segments, *segments.concerned_by(self.hit.uses)]
        if not concerned:
            return None
        return segments.Judging(self.snapshot, self.event, concerned, self.profile, self.moment.views)

    def _take_up(self) -> None:
        """What is added up, ended and begun, before anything fires: conditions see the event's own effect."""
        for name in self.hit.watched:
            self._note_change(name)
        ended = set()
        for use in self.hit.uses:
            if use.role == COUNT:
                self._count(use)
            elif use.role == INTERRUPT and use.rule is not None:
                ended.add(use.rule.id)
                self._interrupt(use.rule)
            elif use.role == BEGIN and use.rule is not None:
                self._begin(use.rule, use.rule.id in ended)
            elif use.role == STEP and use.rule is not None:
                self._step(use.rule, use.at)
            elif use.role == STIR and use.rule is not None:
                self._stir(use.rule)

    def _note_change(self, name: str) -> None:
        held = self.state.changes.setdefault(name, Changed(at_ms=self.time_ms))
        held.at_ms = max(held.at_ms, self.time_ms)
        held.until_ms = held.at_ms + self.snapshot.watched[name]

    def _count(self, use: Use) -> None:
        gauge = use.gauge
        assert gauge is not None
        if gauge.ignore_late_ms is None or self.late_ms <= gauge.ignore_late_ms:
            zone = self.snapshot.zone(gauge.zone_name, self.profile)
            gauge.add(self.state, gauge.pane_at(self.event.time, zone), self.time_ms, self.hit.subject)

    def _worth(self, use: Use) -> float | None:
        gauge, rule = use.gauge, use.rule
        assert gauge is not None and rule is not None and rule.bounds is not None
        pane = gauge.pane_at(self.event.time, self.snapshot.zone(gauge.zone_name, self.profile))
        return gauge.value(self.moment.views, rule.bounds, pane)

    def _reach(self, use: Use, before: float | None) -> None:
        rule = use.rule
        assert rule is not None
        worth = self._worth(use)
        if worth is not None and worth >= rule.reaches and (before is None or before < rule.reaches):
            self.moment.value = worth
            self._fire(rule)
            self.moment.value = None

    def _interrupt(self, rule: CompiledRule) -> None:
        if not rule.ignores(self.late_ms):
            self._end(rule, waits.interrupt(rule, self.state, self.hit.subject, self.time_ms))

    def _begin(self, rule: CompiledRule, own_mark: bool) -> None:
        if self.event.history:
            return
        if self.late_ms > rule.accept_late_ms:
            self.out.outcomes[rule.id, "late"] += 1
            return
        zone = self.snapshot.zone(rule.zone_name, self.profile)
        begun, ended = waits.begin(rule, self.state, self.event, self.hit.subject, self.time_ms, zone, own_mark)
        self._end(rule, ended)
        if begun is not None:
            self.out.begin(due(rule, self.event.customer_id, begun))

    def _end(self, rule: CompiledRule, ended: Sequence[Wait]) -> None:
        for wait in ended:
            self.out.end(due(rule, self.event.customer_id, wait).key)

    def _step(self, rule: CompiledRule, at: int) -> None:
        same = waits.same_of(rule, self.hit.subject)
        if same is None or rule.ignores(self.late_ms):
            return
        number = digest(self.event.event_id)
        kept = rule.kept_of(self.hit.subject, at)
        step = Step(self.time_ms, number, same, self.event.event_id, kept)
        if dropped := sequences.take(rule, self.state, at, step):
            self.out.outcomes[rule.id, "crowded_out"] += dropped
        if at == 0:
            sequences.pass_over(rule, self.moment.views, step, self._zone(rule))

    def _complete(self, rule: CompiledRule) -> None:
        if rule.id not in self.state.sequences:
            return
        last = (self.time_ms, digest(self.event.event_id))
        run = sequences.completed(rule, self.moment.views, self._zone(rule), last)
        if run is not None:
            self.moment.kept = {path: value for each in run for path, value in each.values.items()}
            self.moment.cited = [(each.event_id, each.time_ms) for each in run]
            self._fire(rule, occasion=run[0].event_id)
            self.moment.kept, self.moment.cited = {}, ()

    def _sign(self) -> Sign:
        event = self.event
        return Sign(digest(event.event_id), event.event_id, self.time_ms, event.received_ms, event.hops)

    def _stir(self, rule: CompiledRule) -> None:
        """A silence begins anew; a timer that is set already is left: it finds out when it fires."""
        if rule.ignores(self.late_ms):
            return
        held = standing.stir(rule, self.state, self._sign())
        if held is None:
            return
        held.values = rule.kept_of(self.hit.subject)
        due_ms = standing.silence_ends(rule, held, self._zone(rule))
        if not held.due_ms or due_ms < held.due_ms:
            self._appoint(rule, due_ms)

    def _compare(self, use: Use) -> None:
        """Somebody of whom the measure is known is looked at each day from now on, or at each event."""
        rule, gauge = use.rule, use.gauge
        assert rule is not None and gauge is not None
        held = standing.meet(rule, self.state)
        zone = self._zone(rule)
        if not rule.checks_events:
            sign = self._sign()
            held.event_id, held.hops, held.received_ms = sign.event_id, sign.hops, sign.received_ms
            held.last_ms = sign.time_ms
            if not held.due_ms:
                self._appoint(rule, standing.next_midnight(self.event.received_ms, zone))
            return
        pane = gauge.pane_at(self.event.time, self.snapshot.zone(gauge.zone_name, self.profile))
        found = deviations.compare(rule, gauge, self.moment.views, pane)
        met = found is not None and found.met
        if found is not None and met and not standing.was_met(rule, self.moment.views):
            self.moment.value, self.moment.baseline = found.value, found.baseline
            self._fire(rule)
            self.moment.value = self.moment.baseline = None
        held.met, held.judged_ms = met, self.event.received_ms
        standing.set_due(rule, self.state, held, 0)

    def _expect(self, rule: CompiledRule) -> None:
        """A profile field has changed on which an appointment hangs."""
        if isinstance(rule.when, DateWhen):
            self._expect_date(rule, rule.when)
        elif FIRST_SEEN in self.event.changed and self.event.changed[FIRST_SEEN].was is None:
            self._stir(rule)

    def _expect_date(self, rule: CompiledRule, when: DateWhen) -> None:
        change = self.event.changed.get(when.field.split(".")[1])
        if change is None and rule.id not in self.state.appointments:
            return
        held = standing.meet(rule, self.state)
        if change is not None:
            sign = self._sign()
            held.last_ms, held.number, held.event_id = sign.time_ms, sign.number, sign.event_id
            held.hops, held.received_ms = sign.hops, sign.received_ms
            held.basis = change.now if isinstance(change.now, str) else ""
            if change.now is not None and not held.basis:
                self.out.outcomes[rule.id, "no_date"] += 1
        # What fell due a while ago may still be acted on; of dates that come again only the next one counts.
        since_ms = self.event.received_ms - (rule.accept_late_ms if when.every == "never" else 0)
        self._appoint(rule, standing.next_date(rule, held, self._zone(rule), since_ms))

    def _appoint(self, rule: CompiledRule, due_ms: int) -> None:
        """`due_ms` 0 cancels. What was due too long ago is noted and left alone."""
        held = self.state.appointments[rule.id]
        if due_ms and standing.is_over(rule, due_ms, self.event.received_ms, self.event.history):
            self.out.outcomes[rule.id, "late"] += not self.event.history
            due_ms = 0
        if due_ms:
            self.out.begin(appointed(rule, self.event.customer_id, due_ms))
        elif held.due_ms:
            self.out.end(withdrawn(rule, self.event.customer_id))
        standing.set_due(rule, self.state, held, due_ms)

    def _zone(self, rule: CompiledRule) -> ZoneInfo:
        return self.snapshot.zone(rule.zone_name, self.profile)

    def _fire(self, rule: CompiledRule, occasion: str = "") -> None:
        event = self.event
        if event.history:
            return
        if self.late_ms > rule.accept_late_ms:
            self.out.outcomes[rule.id, "late"] += 1
            return
        if not self._subject_whole:
            self.moment.subject = with_envelope(event, self.hit.subject)
            self._subject_whole = True
        cause = Cause(
            occasion or event.event_id,
            event.event_id,
            event.customer_id,
            event.person_id,
            event.linked,
            event.profile,
            event.hops,
            event.received_ms,
        )
        fire(self.snapshot, rule, self.moment, cause, self.out)


def remember_profile(state: State, event: EventResolved) -> bool:
    """While something waits, the profile as last seen is what the timer will judge by. Whether that is news."""
    if not state.waiting:
        return False
    profile = bytes(event.profile)
    if profile == state.profile and event.linked == state.linked:
        return False
    state.profile = profile
    state.person_id, state.linked = event.person_id, event.linked
    state.latest_ms = max(state.latest_ms, clock.to_ms(event.time))
    return True

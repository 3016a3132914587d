"""What fires because a due instant has passed? Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from libs.common import clock
from services.rules.document.language import DateWhen, DeviationWhen, DormancyWhen
from services.rules.engine import deviations, segments, standing, waits
from services.rules.engine.firing import Cause, Effects, Expiry, appointed, fire, profile_of
from services.rules.engine.snapshot import CompiledRule, Moment, Snapshot
from services.rules.engine.state import Appointment, State


def expire(snapshot: Snapshot, expiry: Expiry, state: State, others: Sequence[State], out: Effects) -> None:
    """A timer has fired: the rule fires unless what was waited for has come, here or at another record."""
    if segments.is_look(expiry):
        segments.look(snapshot, expiry, state, others, out)
        return
    rule = snapshot.rules.get(expiry.rule_id)
    if expiry.event_id:
        _expire_wait(snapshot, rule, expiry, state, others, out)
        return
    held = state.appointments.get(expiry.rule_id)
    if held is None or held.due_ms != expiry.same:
        return
    held.due_ms = 0
    if rule is None or not rule.standing or standing.is_dropped(rule, held):
        del state.appointments[expiry.rule_id]
        return
    state.latest_ms = max(state.latest_ms, expiry.same)
    _Due(snapshot, rule, state, others, held, expiry.same, out).run()


def _expire_wait(
    snapshot: Snapshot,
    rule: CompiledRule | None,
    expiry: Expiry,
    state: State,
    others: Sequence[State],
    out: Effects,
) -> None:
    wait = waits.expire(rule, state, expiry.rule_id, expiry.event_id, expiry.same)
    if wait is None or rule is None or waits.ended_elsewhere(rule, wait, others):
        return
    state.latest_ms = max(state.latest_ms, wait.due_ms)
    moment = _moment(snapshot, wait.due_ms, state, others)
    moment.kept, moment.cited = wait.first, [(wait.event_id, wait.since_ms)]
    cause = _cause(state, wait.event_id, wait.event_id, wait.hops, wait.received_ms)
    fire(snapshot, rule, moment, cause, out)


class _Due:
    """An appointment whose instant has come."""

    def __init__(
        self,
        snapshot: Snapshot,
        rule: CompiledRule,
        state: State,
        others: Sequence[State],
        held: Appointment,
        due_ms: int,
        out: Effects,
    ) -> None:
        self.snapshot, self.rule, self.state, self.others = snapshot, rule, state, others
        self.held, self.due_ms, self.out = held, due_ms, out
        self.moment = _moment(snapshot, due_ms, state, others)
        self.zone = snapshot.zone(rule.zone_name, self.moment.profile)

    def run(self) -> None:
        when = self.rule.when
        if isinstance(when, DormancyWhen):
            next_ms = self._silence()
        elif isinstance(when, DateWhen):
            next_ms = self._date(when)
        else:
            next_ms = self._deviation()
        if next_ms:
            self.out.begin(appointed(self.rule, self.state.customer_id, next_ms))
        standing.set_due(self.rule, self.state, self.held, next_ms)

    def _silence(self) -> int:
        """Fires when no newer sign is known; else it is due that much later. Returns when, or 0."""
        held, rule = self.held, self.rule
        other = standing.newest_sign(rule, self.others)
        newest = other if other is not None and (other.last_ms, other.number) > (held.last_ms, held.number) else held
        due_ms = standing.silence_ends(rule, newest, self.zone)
        if due_ms > self.due_ms:
            return due_ms
        # A silence is told by the record that had the last sign.
        if newest is held:
            self.moment.kept = held.values
            self._fire(f"silent:{held.event_id}")
        return 0

    def _date(self, when: DateWhen) -> int:
        held, rule = self.held, self.rule
        if held.version != rule.version:
            # The timer was set by another version: by this one, the date may be due at another instant.
            held.version = rule.version
            due_ms = standing.next_date(rule, held, self.zone, self.due_ms - rule.accept_late_ms)
            if due_ms != self.due_ms:
                return due_ms
        day = held.day
        if not standing.another_speaks(rule, self.state, self.others, day):
            self._fire(f"day:{day}")
        held.told_day = day
        return 0 if when.every == "never" else standing.next_date(rule, held, self.zone, self.due_ms)

    def _deviation(self) -> int:
        rule, held, gauge = self.rule, self.held, self.rule.gauge
        assert gauge is not None and isinstance(rule.when, DeviationWhen)
        views = (self.state, *self.others)
        # At midnight one looks back at the day that ends there: the next one is empty yet.
        ended = clock.from_ms(self.due_ms - 1)
        pane = gauge.pane_at(ended, self.snapshot.zone(gauge.zone_name, self.moment.profile))
        found = deviations.compare(rule, gauge, views, pane)
        met = found is not None and found.met
        if found is not None and met and not standing.was_met(rule, views):
            self.moment.value, self.moment.baseline = found.value, found.baseline
            self._fire(f"day:{ended.astimezone(self.zone).date().toordinal()}")
        held.met, held.judged_ms = met, self.due_ms
        # Nobody is looked at any more when all that is known of them lies further back than is compared.
        lasts = gauge.newest(views, 0) > pane - rule.panes_compared
        return standing.next_midnight(self.due_ms, self.zone) if lasts else 0

    def _fire(self, occasion: str) -> None:
        held = self.held
        self.moment.cited = [(held.event_id, held.last_ms or held.received_ms)] if held.event_id else ()
        cause = _cause(self.state, occasion, held.event_id, held.hops, max(held.received_ms, self.due_ms))
        fire(self.snapshot, self.rule, self.moment, cause, self.out)


def _moment(snapshot: Snapshot, time_ms: int, state: State, others: Sequence[State]) -> Moment:
    profile = profile_of(msgspec.Raw(state.profile or b"{}"))
    return Moment(time_ms, profile, (state, *others), snapshot.company_zone)


def _cause(state: State, occasion: str, event_id: str, hops: int, received_ms: int) -> Cause:
    """By the customer's profile as last seen."""
    raw = msgspec.Raw(state.profile or b"{}")
    person = state.person_id or state.customer_id
    return Cause(occasion, event_id, state.customer_id, person, state.linked, raw, hops, received_ms)

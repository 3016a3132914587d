"""Which rules find their moment in this event, or in this instant? The heart: no I/O, no clock, no chance.

match    which patterns an event meets; needs no state, so a whole batch is matched before anything is
loaded step     what the event changes in the customer's state, and what fires expire   what fires because
a due instant has passed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.events import EventResolved
from services.rules import waits
from services.rules.firing import Cause, Effects, Expiry, due, fire, profile_of
from services.rules.language import ChangeWhen
from services.rules.snapshot import (
    BEGIN,
    COUNT,
    ENVELOPE,
    EVENT,
    INTERRUPT,
    REACH,
    CompiledRule,
    Moment,
    Snapshot,
    Use,
)
from services.rules.state import State, Wait, digest

_object = msgspec.json.Decoder(dict[str, Any])


class Hit(NamedTuple):
    """What one event met. `needs_state` false: it can be decided from the event alone."""

    uses: Sequence[Use]
    changes: Sequence[CompiledRule]
    subject: dict[str, Any]
    needs_state: bool


def match(snapshot: Snapshot, event: EventResolved) -> Hit | None:
    """What the event means to the rules; None when it means nothing to any of them, or no customer is behind it."""
    if event.traffic:
        return None
    uses: list[Use] = []
    subject: dict[str, Any] = {}
    known = snapshot.by_type.get(event.type)
    if known is not None:
        subject = _subject(event, known.envelope)
        known.find(subject, uses)
    changes = _changed_rules(snapshot, event) if event.changed else ()
    if not uses and not changes:
        return None
    if len(uses) > 1:
        uses.sort(key=_order)
    stateless = all(use.role == EVENT and use.rule is not None and not use.rule.stateful for use in uses)
    return Hit(uses, changes, subject, not stateless or any(rule.stateful for rule in changes))


def _order(use: Use) -> tuple[int, str]:
    return use.role, use.rule.id if use.rule is not None else ""


def _subject(event: EventResolved, envelope: Sequence[str]) -> dict[str, Any]:
    """The data of an event as an object, with what is wanted of its envelope beneath."""
    try:
        subject = _object.decode(event.data)
    except msgspec.DecodeError:
        # Data that is no object has no fields; the event still counts as an event of its type.
        subject = {}
    for name in envelope:
        if name not in subject:
            value = getattr(event, name)
            subject[name] = value.isoformat() if name == "time" else value
    return subject


def _changed_rules(snapshot: Snapshot, event: EventResolved) -> list[CompiledRule]:
    found = []
    for name, change in event.changed.items():
        for rule in snapshot.by_change.get(name, ()):
            if isinstance(rule.when, ChangeWhen) and _moved(rule.when, change.was, change.now):
                found.append(rule)
    return found


def _moved(when: ChangeWhen, was: Any, now: Any) -> bool:
    if was == now or (when.from_ is not None and was not in when.from_):
        return False
    if when.to is not None and now not in when.to:
        return False
    if when.direction == "any":
        return True
    if was not in when.order or now not in when.order:
        return False
    rises = when.order.index(now) > when.order.index(was)
    return rises == (when.direction == "up")


def step(
    snapshot: Snapshot, event: EventResolved, hit: Hit, state: State, others: Sequence[State], out: Effects
) -> None:
    """Takes up one event. `others` are the person's other records, which are read and never changed.

    A `state` that the hit does not need may be empty, unless something waits for the customer.
    """
    _Step(snapshot, event, hit, state, others, out).run()


class _Step:
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
        self._take_up()
        for use, before in reached:
            self._reach(use, before)
        for rule in [use.rule for use in self.hit.uses if use.role == EVENT and use.rule is not None]:
            self._fire(rule)
        for rule in self.hit.changes:
            self._fire(rule)
        remember_profile(self.state, self.event)

    def _is_new(self) -> bool:
        event, state = self.event, self.state
        if state.was_seen(digest(event.event_id, event.type), self.time_ms):
            return False
        state.latest_ms = max(state.latest_ms, self.time_ms)
        state.person_id, state.linked = event.person_id, event.linked
        return True

    def _take_up(self) -> None:
        """What is added up, ended and begun, before anything fires: conditions see the event's own effect."""
        ended = set()
        for use in self.hit.uses:
            if use.role == COUNT:
                self._count(use)
            elif use.role == INTERRUPT and use.rule is not None:
                ended.add(use.rule.id)
                self._interrupt(use.rule)
            elif use.role == BEGIN and use.rule is not None:
                self._begin(use.rule, use.rule.id in ended)

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

    def _fire(self, rule: CompiledRule) -> None:
        event = self.event
        if event.history:
            return
        if self.late_ms > rule.accept_late_ms:
            self.out.outcomes[rule.id, "late"] += 1
            return
        if not self._subject_whole:
            self.moment.subject = _with_envelope(event, self.hit.subject)
            self._subject_whole = True
        cause = Cause(
            event.event_id,
            event.event_id,
            event.customer_id,
            event.person_id,
            event.linked,
            event.profile,
            event.hops,
            event.received_ms,
        )
        fire(self.snapshot, rule, self.moment, cause, self.out)


def _with_envelope(event: EventResolved, subject: dict[str, Any]) -> dict[str, Any]:
    # A change is looked at in events of any type, whose data nobody has decoded yet.
    whole = subject or _subject(event, ())
    envelope = {name: getattr(event, name) for name in ENVELOPE if name not in whole}
    if "time" in envelope:
        envelope["time"] = event.time.isoformat()
    return {**envelope, **whole}


def remember_profile(state: State, event: EventResolved) -> None:
    """While something waits, the profile as last seen is what the timer will judge by."""
    if state.waiting:
        state.profile = bytes(event.profile)
        state.person_id, state.linked = event.person_id, event.linked
        state.latest_ms = max(state.latest_ms, clock.to_ms(event.time))


def expire(snapshot: Snapshot, expiry: Expiry, state: State, others: Sequence[State], out: Effects) -> None:
    """A due instant has passed: fires unless what was waited for has come, here or at another record."""
    rule = snapshot.rules.get(expiry.rule_id)
    wait = waits.expire(rule, state, expiry.rule_id, expiry.event_id, expiry.same)
    if wait is None or rule is None or waits.ended_elsewhere(rule, wait, others):
        return
    state.latest_ms = max(state.latest_ms, wait.due_ms)
    raw = msgspec.Raw(state.profile or b"{}")
    moment = Moment(wait.due_ms, profile_of(raw), (state, *others), snapshot.company_zone)
    moment.first = wait.first
    cause = Cause(
        wait.event_id,
        wait.event_id,
        expiry.customer_id,
        state.person_id or expiry.customer_id,
        state.linked,
        raw,
        wait.hops,
        wait.received_ms,
    )
    fire(snapshot, rule, moment, cause, out)

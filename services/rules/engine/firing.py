"""Does it fire, and what does the trigger say? The last questions of every rule, whatever woke it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.events import HOPS_MAX, RuleTriggered, SegmentMoved
from services.rules.engine.compiled import segment_figures
from services.rules.engine.snapshot import CompiledRule, Moment, Snapshot
from services.rules.engine.state import State, Wait, digest
from services.rules.explaining import grounds

_object = msgspec.json.Decoder(dict[str, Any])


class Due(NamedTuple):
    """A timer that the engine wants."""

    key: str
    due_ms: int
    payload: bytes


class Expiry(msgspec.Struct, array_like=True, frozen=True):
    """What a timer's payload says: which wait of whom. Of an appointment `same` is the due instant in milliseconds."""

    rule_id: str
    customer_id: str
    event_id: str
    same: int


@dataclass
class Effects:
    """What a batch comes to. A timer that is set and then cancelled within it is never written.

    `grounds` say of each trigger, in the same order, what it rested on. `moves` are those into segments and out.
    """

    triggers: list[RuleTriggered] = field(default_factory=list)
    grounds: list[grounds.Grounds] = field(default_factory=list)
    timers: dict[str, Due] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: list[SegmentMoved] = field(default_factory=list)

    def begin(self, due: Due) -> None:
        self.cancelled.discard(due.key)
        self.timers[due.key] = due

    def end(self, key: str) -> None:
        self.timers.pop(key, None)
        self.cancelled.add(key)


class Cause(NamedTuple):
    """What a trigger says of where it came from."""

    occasion: str
    event_id: str
    customer_id: str
    person_id: str
    linked: list[str]
    profile: msgspec.Raw
    hops: int
    received_ms: int


def fire(snapshot: Snapshot, rule: CompiledRule, moment: Moment, cause: Cause, out: Effects) -> None:
    """The last questions: is the rule in force, does the customer qualify, do the limits allow it?"""
    moment.zone = snapshot.zone(rule.zone_name, moment.profile)
    outcome = _outcome(rule, moment, cause)
    out.outcomes[rule.id, outcome] += 1
    if outcome != "fired":
        return
    own = moment.views[0]
    rule.limiter.note(own, moment.time_ms)
    out.grounds.append(grounds.of(rule, moment, cause.event_id))
    sets = rule.sets if cause.hops < HOPS_MAX else {}
    if rule.sets and not sets:
        out.outcomes[rule.id, "hops"] += 1
    out.triggers.append(
        RuleTriggered(
            trigger_id=str(clock.derived_id("trigger", rule.id, cause.customer_id, cause.occasion)),
            trigger=rule.emit.trigger,
            rule_id=rule.id,
            rule_version=rule.version,
            customer_id=cause.customer_id,
            person_id=cause.person_id,
            occurred_at=clock.from_ms(moment.time_ms),
            event_id=cause.event_id,
            reason=rule.emit.reason,
            priority=rule.emit.priority,
            include={name: getter(moment) for name, getter in rule.include.items()},
            sets=sets,
            profile=cause.profile,
            linked=cause.linked,
            hops=cause.hops + 1 if sets else cause.hops,
            received_ms=cause.received_ms,
        )
    )


def _outcome(rule: CompiledRule, moment: Moment, cause: Cause) -> str:
    if not rule.active:
        return "paused"
    if not is_valid(rule, moment.time_ms):
        return "outside_validity"
    if not within_ramp(rule, cause.person_id):
        return "outside_ramp"
    if rule.who is not None and not rule.who(moment):
        return "who"
    if not rule.limiter.allows(moment.views, moment.time_ms, moment.zone):
        return "limits"
    return "fired"


def within_ramp(rule: CompiledRule, person_id: str) -> bool:
    """The same people at each step: whoever is among 5 % is among 20 %."""
    return rule.ramp_percent >= 100 or digest("ramp", rule.id, person_id) % 100 < rule.ramp_percent


def is_valid(rule: CompiledRule, time_ms: int) -> bool:
    valid = rule.valid
    if valid is None:
        return True
    begun = valid.from_ is None or clock.to_ms(valid.from_) <= time_ms
    return begun and (valid.until is None or time_ms < clock.to_ms(valid.until))


def due(rule: CompiledRule, customer_id: str, wait: Wait) -> Due:
    expiry = Expiry(rule.id, customer_id, wait.event_id, wait.same)
    return Due(_timer_key(rule.id, customer_id, wait.event_id), wait.due_ms, msgspec.msgpack.encode(expiry))


def appointed(rule: CompiledRule, customer_id: str, due_ms: int) -> Due:
    """The timer of an appointment: there is one for each rule and customer record."""
    expiry = Expiry(rule.id, customer_id, "", due_ms)
    return Due(_timer_key(rule.id, customer_id, ""), due_ms, msgspec.msgpack.encode(expiry))


def withdrawn(rule: CompiledRule, customer_id: str) -> str:
    """The key of an appointment's timer that is to be cancelled."""
    return _timer_key(rule.id, customer_id, "")


def looked_at_again(segment_id: str, customer_id: str, due_ms: int) -> Due:
    """The timer by which somebody is looked at for a segment, without an event."""
    name = segment_figures(segment_id)
    expiry = Expiry(name, customer_id, "", due_ms)
    return Due(_timer_key(name, customer_id, ""), due_ms, msgspec.msgpack.encode(expiry))


def timer_keys(state: State) -> list[str]:
    """The keys of all timers that are set for a customer."""
    waits = [
        _timer_key(rule_id, state.customer_id, wait.event_id)
        for rule_id, absence in state.absences.items()
        for wait in absence.waits
    ]
    looks = [segment_figures(id) for id in state.memberships]
    return waits + [_timer_key(name, state.customer_id, "") for name in (*state.appointments, *looks)]


def _timer_key(rule_id: str, customer_id: str, event_id: str) -> str:
    return f"{rule_id}/{customer_id}/{event_id}"


def profile_of(raw: msgspec.Raw) -> Mapping[str, Any]:
    try:
        return _object.decode(raw)
    except msgspec.DecodeError:
        return {}

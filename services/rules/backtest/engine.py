"""What would these rules have done with this log? The live engine's own heart, with states and timers in memory. Pure.

What the handlers do with a batch and a transaction is done here event by event: match, load, step, set timers; and
when a unit's clock has moved, what is due, five hundred at a time, each time before the next event is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import cast

import msgspec

from libs.common import logs
from libs.common.events import EMPTY, ERASED, EventResolved, RuleTriggered
from services.rules.backtest.memory import States
from services.rules.backtest.waking import Timers
from services.rules.document.everyone import audience_id
from services.rules.engine import audience, firing, matching
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Snapshot
from services.rules.engine.state import State
from services.rules.explaining.grounds import Grounds

TIMERS_AT_ONCE = 500
_TIMER_BYTES = 400
_ALIVE_EVERY = 100
"""Members."""
_expiry = msgspec.msgpack.Decoder(Expiry)


class Glimpse(msgspec.Struct, gc=False):
    """As much of an event as is remembered of a customer for whom a timer is set."""

    customer_id: str
    person_id: str
    time: datetime
    profile: msgspec.Raw = EMPTY
    linked: list[str] = []


Fired = Callable[[RuleTriggered, Grounds], None]
"""A trigger, and what it rested on."""


class Engine:
    """`snapshot` may be exchanged between events, as it is when a rule is edited or switched.

    `alive` is called now and then while many customers have their turn at a single event.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        units: int,
        grace_ms: int,
        bytes_max: int,
        fired: Fired,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.snapshot = snapshot
        self.out = Effects()
        self.waiting: set[str] = set()
        self._states = States(bytes_max)
        self._timers = [Timers() for _ in range(units)]
        self._members: list[set[str]] = [set() for _ in range(units)]
        self._grace_ms = grace_ms
        self._fired = fired
        self._alive = alive

    def on_event(self, unit: int, event: EventResolved) -> None:
        customer_id = event.customer_id
        if event.type == ERASED:
            self._forget(unit, customer_id)
            return
        if event.everyone:
            self._spread(unit, event)
            return
        hit = matching.match(self.snapshot, event)
        waits = customer_id in self.waiting
        if hit is None:
            if waits:
                matching.remember_profile(self._states.own(customer_id), event)
            return
        if not hit.needs_state and not waits:
            matching.step(self.snapshot, event, hit, State(customer_id), (), self.out)
            self._tell()
            return
        own = self._states.own(customer_id)
        matching.step(self.snapshot, event, hit, own, self._others(event.linked, customer_id), self.out)
        self._take(unit, own)

    def on_glimpse(self, seen: Glimpse) -> None:
        """Of an event that meets no rule, for a customer who waits."""
        matching.remember_profile(self._states.own(seen.customer_id), cast(EventResolved, seen))

    def on_clock(self, unit: int, clock_ms: int) -> None:
        """All that was handed in until `clock_ms` has been read in this unit."""
        timers, ready_ms = self._timers[unit], clock_ms - self._grace_ms
        while timers.is_due(ready_ms):
            batch = timers.pop(ready_ms, TIMERS_AT_ONCE)
            for due in batch:
                self._expire(unit, due.payload)

    def settle(self, now_ms: int) -> None:
        """Called now and then; MemoryFull when more is to be remembered than was allowed."""
        self._states.settle(now_ms, _TIMER_BYTES * sum(map(len, self._timers)))

    def remembered(self) -> Iterator[tuple[str, bytes]]:
        """The packed states of all customers; the engine is done with then."""
        return self._states.packed()

    @property
    def customers(self) -> int:
        """Of how many customers something is remembered."""
        return len(self._states)

    def _expire(self, unit: int, payload: bytes) -> None:
        try:
            expiry = _expiry.decode(payload)
        except msgspec.DecodeError as error:
            logs.get(__name__).error("timer_dropped", error=str(error))
            return
        own = self._states.own(expiry.customer_id)
        matching.expire(self.snapshot, expiry, own, self._others(own.linked, own.customer_id), self.out)
        self._take(unit, own)
        self._note_waiting(own)

    def _spread(self, unit: int, event: EventResolved) -> None:
        """An event without a person: at this instant, all of the unit's customers whom it may concern have their turn.

        Live they have it page by page, and are judged as they are then.
        """
        concerns = {audience_id(each.rule.id): each for each in audience.concerned(self.snapshot, event, self.out)}
        if not concerns:
            return
        for number, customer_id in enumerate(sorted(self._members[unit])):
            if number % _ALIVE_EVERY == 0:
                self._alive()
            own = self._states.own(customer_id)
            inside = [concern for listed, concern in concerns.items() if _is_inside(own, listed)]
            if inside:
                others = self._others(own.linked, customer_id)
                known = audience.known_of((own, *others))
                for concern in inside:
                    audience.reach(self.snapshot, concern, own, others, self.out, known)
                self._tell()

    def _others(self, linked: Sequence[str], own: str) -> list[State]:
        return [self._states.look(each) for each in linked if each != own]

    def _take(self, unit: int, own: State) -> None:
        out = self.out
        if out.cancelled or out.timers:
            timers = self._timers[unit]
            timers.cancel(out.cancelled)
            timers.put(out.timers.values())
            out.cancelled.clear()
            out.timers.clear()
            self._note_waiting(own)
        if own.memberships:
            self._note_member(unit, own)
        if len(own.seen) > 64:
            own.sweep()
        self._tell()

    def _note_waiting(self, own: State) -> None:
        (self.waiting.add if own.waiting else self.waiting.discard)(own.customer_id)

    def _note_member(self, unit: int, own: State) -> None:
        self._note_waiting(own)
        is_member = any(each.hidden and each.inside for each in own.memberships.values())
        (self._members[unit].add if is_member else self._members[unit].discard)(own.customer_id)

    def _tell(self) -> None:
        out = self.out
        out.moves.clear()
        if out.triggers:
            for trigger, grounds in zip(out.triggers, out.grounds, strict=True):
                self._fired(trigger, grounds)
            out.triggers.clear()
            out.grounds.clear()

    def _forget(self, unit: int, customer_id: str) -> None:
        self._timers[unit].cancel(firing.timer_keys(self._states.own(customer_id)))
        self._states.forget(customer_id)
        self._members[unit].discard(customer_id)
        self.waiting.discard(customer_id)


def _is_inside(own: State, listed: str) -> bool:
    held = own.memberships.get(listed)
    return held is not None and held.inside

"""Do the tests that are stored with a rule hold? Runs them with the engine itself; no I/O, no clock of the machine.

The clock goes on with the events as they come in, and after the last one until the end of the test: what is due
before an event comes in happens before it.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.errors import Fault
from libs.common.events import Change, EventResolved, RuleTriggered
from services.rules.document.language import Rule
from services.rules.document.trial import Expected, GivenEvent, RuleTest
from services.rules.engine import audience, matching
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State

LASTS = timedelta(days=400)
TIMERS_MAX = 2_000
YEARS = range(1990, 2101)
SHOWN_MAX = 5
TURNS_MAX = 30_000
SECONDS_MAX = 3.0
"""What all tests of one document may cost, in turns and in time of the processor; they share it with the worker."""


class Result(NamedTuple):
    """What one test came to: the triggers that fired, and the fault, if it does not hold."""

    name: str
    fired: Sequence[RuleTriggered]
    fault: Fault | None


def faults(rule: Rule, body: bytes, company_zone: str, segments: Sequence[Source] = ()) -> list[Fault]:
    """What the tests of a valid rule find, each beside what fired instead. `body` is its document as it is kept, and
    `segments` those that it rests on.
    """
    return [each.fault for each in results(rule, body, company_zone, segments=segments) if each.fault is not None]


def results(
    rule: Rule,
    body: bytes,
    company_zone: str,
    turns_max: int = TURNS_MAX,
    seconds_max: float = SECONDS_MAX,
    segments: Sequence[Source] = (),
) -> list[Result]:
    """One per test, in their order; a single one where none of them can be run, and none behind one that was stopped
    because they cost too much.
    """
    if not rule.tests:
        return []
    try:
        snapshot = compile_snapshot([Source(body, 1)], company_zone, segments)
    except ValueError as error:
        return [Result("", (), Fault("/tests", f"cannot be run: {error}"))]
    budget, found = _Budget(turns_max, seconds_max), []
    for at, test in enumerate(rule.tests):
        try:
            found.append(_result(snapshot, test, f"/tests/{at}", budget))
        except _Spent:
            told = (
                f"was stopped, and what is behind it was not run: all tests of a rule have {turns_max} events and due"
                f" instants and {seconds_max:g} s of the processor; give fewer or smaller ones"
            )
            return [*found, Result(test.name, (), Fault(f"/tests/{at}", told))]
    return found


def _result(snapshot: Snapshot, test: RuleTest, at: str, budget: _Budget) -> Result:
    if found := _nonsense(test):
        return Result(test.name, (), Fault(f"{at}/{found[0]}", found[1]))
    run = _Run(snapshot, budget)
    try:
        fired = run.play(test)
    except _Endless:
        told = f"has more than {TIMERS_MAX} instants at which something is due; give it an earlier until"
        return Result(test.name, (), Fault(at, told))
    except (ValueError, OverflowError) as error:
        return Result(test.name, (), Fault(at, f"cannot be run: {error}"))
    missing, unexpected = _unmatched(test.expect, fired, budget)
    if not missing and not unexpected:
        return Result(test.name, fired, None)
    told = f"{test.name}: {_told(missing, unexpected, bool(fired))}{run.held_back()}"
    return Result(test.name, fired, Fault(f"{at}/expect", told))


def _nonsense(test: RuleTest) -> tuple[str, str] | None:
    """Where in a test, and what, no run of it could make good."""
    for at, given in enumerate(test.given):
        for name, instant in (("time", given.time), ("received", given.received)):
            if instant is not None and instant.year not in YEARS:
                return f"given/{at}/{name}", f"lies outside of the years {YEARS[0]} to {YEARS[-1]}"
    if test.until is not None and test.until.year not in range(YEARS[0], YEARS[-1] + 100):
        return "until", f"lies outside of the years {YEARS[0]} to {YEARS[-1] + 99}"
    if test.until is not None and any(_received(each) > test.until for each in test.given):
        return "until", "lies before an event that is given"
    ids = [_id(each, at) for at, each in enumerate(test.given)]
    for at, each in enumerate(test.expect):
        if each.event is not None and each.event not in ids:
            return f"expect/{at}/event", f"{each.event} is none of the events that are given: {', '.join(ids[:20])}"
    return None


class _Endless(Exception):
    pass


class _Spent(Exception):
    pass


class _Budget:
    """Time is that of the thread, so that a busy machine stops no test."""

    def __init__(self, turns_max: int, seconds_max: float) -> None:
        self._turns_left = turns_max
        self._until = time.thread_time() + seconds_max

    def take(self, turns: int = 1) -> None:
        self._turns_left -= turns
        if self._turns_left < 0 or time.thread_time() > self._until:
            raise _Spent


class _Run:
    """One test on one rule: events in, triggers out. States and timers are in memory, for as long as it lasts."""

    def __init__(self, snapshot: Snapshot, budget: _Budget) -> None:
        self._snapshot = snapshot
        self._budget = budget
        self._states: dict[str, State] = {}
        self._profiles: dict[str, dict[str, Any]] = {}
        self._queue: list[tuple[int, str]] = []
        self._due: dict[str, tuple[int, bytes]] = {}
        self._timers = 0
        self._found: list[RuleTriggered] = []
        self._became: dict[str, int] = {}

    def play(self, test: RuleTest) -> list[RuleTriggered]:
        end = max(_received(each) for each in test.given)
        for at, given in enumerate(test.given):
            self._budget.take()
            self._expire(clock.to_ms(_received(given)) - 1)
            event = self._event(given, at)
            if event.everyone:
                self._spread(event)
            else:
                self._take(event)
        self._expire(clock.to_ms(test.until or end + LASTS))
        return self._found

    def held_back(self) -> str:
        """What stopped the rule where it did not fire."""
        told = [f"{name} {count}" for name, count in sorted(self._became.items()) if name != "fired"]
        return f"; held back by: {', '.join(told)}" if told else ""

    def _event(self, given: GivenEvent, at: int) -> EventResolved:
        known = self._profiles.get(given.customer)
        changed = {name: Change(each.was, each.now) for name, each in (given.changed or {}).items()}
        if given.profile is not None:
            profile = given.profile
        else:
            profile = (known or {}) | {name: each.now for name, each in changed.items()}
        if given.changed is None and known is not None:
            changed = _changes(known, profile)
        if not given.everyone:
            self._profiles[given.customer] = profile
        linked = sorted({given.customer, *given.linked}) if given.linked else []
        return EventResolved(
            event_id=_id(given, at),
            customer_id=given.customer,
            person_id=linked[0] if linked else given.customer,
            type=given.type,
            source=given.source,
            time=given.time,
            received_ms=clock.to_ms(_received(given)),
            channel=given.channel,
            branch=given.branch,
            region=given.region,
            data=msgspec.Raw(msgspec.json.encode(given.data)),
            profile=msgspec.Raw(msgspec.json.encode(profile)),
            changed=changed,
            linked=linked,
            history=given.history,
            everyone=given.everyone,
        )

    def _spread(self, event: EventResolved) -> None:
        """An event without a person: all customers of whom the test has told have their turn at once."""
        out = Effects()
        for concern in audience.concerned(self._snapshot, event, out):
            for customer, profile in sorted(self._profiles.items()):
                self._budget.take()
                own = self._state(customer)
                own.profile = msgspec.json.encode(profile)
                audience.reach(self._snapshot, concern, own, self._others(own.linked, customer), out)
        self._keep(State(), out)

    def _take(self, event: EventResolved) -> None:
        own = self._state(event.customer_id)
        hit = matching.match(self._snapshot, event)
        if hit is None:
            matching.remember_profile(own, event)
            return
        out = Effects()
        matching.step(self._snapshot, event, hit, own, self._others(event.linked, event.customer_id), out)
        self._keep(own, out)

    def _expire(self, until_ms: int) -> None:
        """All that is due until then, in its order."""
        while self._queue and self._queue[0][0] <= until_ms:
            due_ms, key = heapq.heappop(self._queue)
            if self._due.get(key, (0, b""))[0] != due_ms:
                continue
            self._timers += 1
            if self._timers > TIMERS_MAX:
                raise _Endless
            self._budget.take()
            expiry = msgspec.msgpack.decode(self._due.pop(key)[1], type=Expiry)
            own, out = self._state(expiry.customer_id), Effects()
            matching.expire(self._snapshot, expiry, own, self._others(own.linked, own.customer_id), out)
            self._keep(own, out)

    def _keep(self, own: State, out: Effects) -> None:
        own.sweep()
        for key in out.cancelled:
            self._due.pop(key, None)
        for due in out.timers.values():
            self._due[due.key] = due.due_ms, due.payload
            heapq.heappush(self._queue, (due.due_ms, due.key))
        self._found += out.triggers
        for (_, outcome), count in out.outcomes.items():
            self._became[outcome] = self._became.get(outcome, 0) + count

    def _state(self, customer: str) -> State:
        return self._states.setdefault(customer, State(customer))

    def _others(self, linked: Sequence[str], own: str) -> list[State]:
        return [self._state(each) for each in linked if each != own]


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Change]:
    names = sorted(was.keys() | now.keys())
    return {name: Change(was.get(name), now.get(name)) for name in names if was.get(name) != now.get(name)}


def _id(given: GivenEvent, at: int) -> str:
    return given.id if given.id is not None else str(at + 1)


def _received(given: GivenEvent) -> datetime:
    return given.received or given.time


def _unmatched(
    expected: Sequence[Expected], fired: Sequence[RuleTriggered], budget: _Budget
) -> tuple[list[Expected], list[RuleTriggered]]:
    """What was expected and did not come, and what came and was not expected: each trigger answers one expectation.

    An expectation that says less may be met by more triggers, so those that are taken make room where they can.
    """
    held: dict[int, int] = {}
    meeting: list[list[int]] = []
    for each in expected:
        budget.take(0)
        meeting.append([number for number, trigger in enumerate(fired) if _meets(each, trigger)])

    def placed(wanted: int, tried: set[int]) -> bool:
        budget.take(0)
        free = next((number for number in meeting[wanted] if number not in held), None)
        if free is not None:
            held[free] = wanted
            return True
        for number in meeting[wanted]:
            if number not in tried:
                tried.add(number)
                if placed(held[number], tried):
                    held[number] = wanted
                    return True
        return False

    missing = [each for number, each in enumerate(expected) if not placed(number, set())]
    return missing, [trigger for number, trigger in enumerate(fired) if number not in held]


def _meets(expected: Expected, trigger: RuleTriggered) -> bool:
    return (
        expected.customer == trigger.customer_id
        and (expected.at is None or expected.at == trigger.occurred_at)
        and (expected.event is None or expected.event == trigger.event_id)
        and all(name in trigger.include and trigger.include[name] == each for name, each in _included(expected))
    )


def _included(expected: Expected) -> Iterator[tuple[str, Any]]:
    yield from (expected.include or {}).items()


def _told(missing: Sequence[Expected], unexpected: Sequence[RuleTriggered], fired: bool) -> str:
    parts = []
    if missing:
        parts.append(f"nothing fired for {_listed([_wanted(each) for each in missing])}")
    if unexpected:
        parts.append(
            f"{'instead it' if missing else 'it also'} fired for {_listed([_came(each) for each in unexpected])}"
        )
    elif not fired:
        parts.append("it did not fire at all")
    return "; ".join(parts)


def _listed(told: Sequence[str]) -> str:
    more = f" and {len(told) - SHOWN_MAX} more" if len(told) > SHOWN_MAX else ""
    return ", ".join(told[:SHOWN_MAX]) + more


def _wanted(expected: Expected) -> str:
    at = "" if expected.at is None else f" at {_instant(expected.at)}"
    by = "" if expected.event is None else f" by event {expected.event}"
    include = "" if expected.include is None else f" with {_json(expected.include)}"
    return f"{expected.customer}{at}{by}{include}"


def _came(trigger: RuleTriggered) -> str:
    include = f" with {_json(trigger.include)}" if trigger.include else ""
    return f"{trigger.customer_id} at {_instant(trigger.occurred_at)} by event {trigger.event_id}{include}"


def _json(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 100 else f"{text[:97]}..."


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")

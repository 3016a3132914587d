"""What would a rule have done between two instants, had it been in force? The log in, a report out. Pure.

    warm-up   the rule is watched as a paused one is: it counts and waits and is silent
    period    it is in force, from the first message that was appended at `from` or later
    clock     a unit's clock is the least of the marks that its partition has brought, as it is live

Messages are taken in the order in which they were appended, whichever partition they lie in. Within a partition that
is the live order. What a record sees of linked records in other partitions is as of the same instant; live it is as of
what the other unit had committed, a moment before or after. Timers fire at the mark that lets them, before what
follows it; live at the next tick but one, within two seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from libs.common import clock
from libs.common.events import ERASED, EventResolved, RuleTriggered
from services.rules.backtest.crowd import Crowd
from services.rules.backtest.engine import Engine, Glimpse
from services.rules.backtest.firings import Firings
from services.rules.backtest.interest import Interest, opening, person_of
from services.rules.backtest.partition import Headers, Partition
from services.rules.backtest.reach import WHOLE_LOG, reach_ms
from services.rules.backtest.shapes import Example, Question, Report, Step, Warmth
from services.rules.backtest.tally import Tally
from services.rules.document import segments
from services.rules.document.language import Rule
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import DAY_MS
from services.rules.explaining.grounds import Grounds


class Logged(Protocol):
    """A message of the log, as far as it is looked at."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


Run = tuple[int, int, Iterable[Logged]]
"""When messages were appended in milliseconds, their partition, and the messages."""


class Simulation:
    """Fed by `take`, asked by `report`. `bytes_max` bounds what is remembered of customers; MemoryFull beyond.

    `alive` is called from within `take` again and again, for that may last: an event can concern everybody.
    """

    def __init__(
        self, question: Question, units: int, bytes_max: int, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._question = question
        self._since_ms = clock.to_ms(question.since)
        self._until_ms = clock.to_ms(question.until)
        self._rule = _rule(question)
        live = [Source(bytes(each.body), each.version, True, each.ramp_percent) for each in question.live]
        self._in_force = _compiled([_source(self._rule, question, active=True)], question)
        watched = _compiled([_source(self._rule, question, active=question.in_force_before)], question)
        others = _compiled(live, question)
        self._live_rules = [msgspec.json.decode(each.body, type=Rule) for each in question.live]
        self._tally = Tally(self._in_force.company_zone, question.examples)
        self.firings = Firings() if question.asks_gates else None
        grace_ms = round(question.grace_seconds * 1000)
        half = bytes_max // 2 if live else bytes_max
        self._tested = Engine(watched, units, grace_ms, half, self._on_tested, alive)
        self._beside = Engine(others, units, grace_ms, half, self._on_live, alive)
        self._engines = [self._tested, self._beside] if live else [self._tested]
        self._interest = Interest([engine.snapshot for engine in self._engines], [self._rule, *self._live_rules])
        self._event = msgspec.json.Decoder(EventResolved).decode
        self._glimpse = msgspec.json.Decoder(Glimpse).decode
        self._waiting = False
        self._partitions = [Partition(units) for _ in range(units)]
        self._reporting = False
        self._crowd = Crowd()
        self.messages = self.events = self.decoded = self.undecodable = 0
        self.reached_ms = 0

    @property
    def reads_from_ms(self) -> int:
        """From when the log has to be read; 0 for all of it."""
        rules = [(self._rule, self._question.in_force_before), *((each, True) for each in self._live_rules)]
        reaches = [reach_ms(rule, in_force_before=before) for rule, before in rules]
        known = [each for each in reaches if each is not WHOLE_LOG]
        return max(0, self._since_ms - max(known)) if len(known) == len(reaches) else 0

    def take(self, runs: Sequence[Run]) -> None:
        """The next messages in the order of appending. MemoryFull."""
        for append_ms, unit, messages in runs:
            if not self._reporting and append_ms >= self._since_ms:
                self._begin()
            self._take_run(unit, messages)
            self.reached_ms = append_ms
        for engine in self._engines:
            engine.settle(self.reached_ms)

    def _take_run(self, unit: int, messages: Iterable[Logged]) -> None:
        partition, on_event, count, events = self._partitions[unit], self._on_event, 0, 0
        for message in messages:
            count += 1
            value = message.value
            if value is None:
                partition.note_mark(message.headers)
                # Even where it has not moved: what began meanwhile may have been due before it began.
                for engine in self._engines:
                    engine.on_clock(unit, partition.clock_ms)
            elif not partition.is_repeat(message.headers):
                events += 1
                on_event(unit, message.key, value)
        self.messages += count
        self.events += events

    def step(self, total: int) -> Step:
        reached = clock.from_ms(self.reached_ms) if self.reached_ms else None
        return Step(self.messages, max(total, self.messages), self.events, reached)

    def _begin(self) -> None:
        """The instant `from`: the rule is switched on, and what it did until now is not reported."""
        self._reporting = True
        self._tested.snapshot = self._in_force
        self._tested.out.outcomes.clear()

    def _on_event(self, unit: int, key: bytes | None, value: bytes) -> None:
        found = opening(value)
        if self._reporting and (found is None or not self._crowd.knows(found[1])):
            person = person_of(found, value)
            if person is not None:
                self._crowd.note(person)
        if self._interest.takes(found, value):
            self._take_up(unit, value)
        elif self._waiting and key is not None:
            self._remember(key, value)

    def _take_up(self, unit: int, value: bytes) -> None:
        try:
            event = self._event(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.undecodable += 1
            return
        self.decoded += 1
        for engine in self._engines:
            engine.on_event(unit, event)
        self._waiting = any(engine.waiting for engine in self._engines)
        if event.type == ERASED:
            self._tally.forget(event.customer_id)
            if self.firings is not None:
                self.firings.forget(event.customer_id)

    def _remember(self, key: bytes, value: bytes) -> None:
        """A timer may be set for the customer, of whom each event may say something new then."""
        customer_id = key.decode("utf-8", "replace")
        for engine in self._engines:
            if customer_id in engine.waiting:
                try:
                    engine.on_glimpse(self._glimpse(value))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    self.undecodable += 1

    def _on_tested(self, trigger: RuleTriggered, grounds: Grounds) -> None:
        if self._reporting:
            self._tally.on_tested(trigger, grounds)
            if self.firings is not None:
                self.firings.note(trigger)

    def _on_live(self, trigger: RuleTriggered, grounds: Grounds) -> None:
        del grounds
        if clock.to_ms(trigger.occurred_at) >= self._since_ms - DAY_MS:
            self._tally.on_live(trigger)

    @property
    def trigger(self) -> str:
        return self._rule.emit.trigger

    def examples(self) -> list[Example]:
        return self._tally.examples()

    def report(self, seconds: float, log_begins_ms: int | None) -> Report:
        tally, question = self._tally, self._question
        people = tally.people()
        warmth = self._warmth(log_begins_ms)
        return Report(
            rule_id=self._rule.id,
            version=question.version,
            fires=tally.fires,
            customers=len(people),
            customers_seen=self._crowd.count(),
            per_day=tally.per_day(max(self._since_ms, log_begins_ms or 0), self._until_ms),
            repeats=tally.repeats(people),
            outcomes={name: count for (_, name), count in sorted(self._tested.out.outcomes.items())}
            if self._reporting
            else {},
            overlap=tally.overlap(),
            warm_up=warmth,
            messages_read=self.messages,
            events_read=self.events,
            events_decoded=self.decoded,
            undecodable=self.undecodable,
            customers_remembered=sum(engine.customers for engine in self._engines),
            seconds=round(seconds, 3),
            events_per_second=round(self.events / seconds, 1) if seconds > 0 else 0.0,
            reached=self.step(0).reached,
            warnings=self._warnings(warmth),
        )

    def _warmth(self, log_begins_ms: int | None) -> Warmth:
        from_ms = self.reads_from_ms
        begins = None if log_begins_ms is None else clock.from_ms(log_begins_ms)
        wanted = clock.from_ms(from_ms) if from_ms else None
        return Warmth(wanted, begins, log_begins_ms is not None and bool(from_ms) and log_begins_ms <= from_ms)

    def _warnings(self, warmth: Warmth) -> list[str]:
        found = []
        if warmth.log_begins is None:
            found.append("the log holds nothing")
        elif warmth.log_begins > self._question.since:
            found.append(f"the log begins at {warmth.log_begins.isoformat()}, after the period has begun")
        elif not warmth.complete:
            found.append(
                f"the log begins at {warmth.log_begins.isoformat()}, later than the rule looks back: "
                "in the first days it may count too little"
            )
        if self._rule.emit.set:
            found.append("the rule sets profile fields; what follows from them was not tried")
        if self._tally.overlap_is_cut:
            found.append("live rules fire so often that the overlap was only taken from the first part of the period")
        return found


def _rule(question: Question) -> Rule:
    rule = msgspec.json.decode(question.rule, type=Rule)
    return msgspec.structs.replace(rule, valid=None) if question.ignore_valid else rule


def _source(rule: Rule, question: Question, *, active: bool) -> Source:
    return Source(msgspec.json.encode(rule), question.version, active)


def _compiled(sources: Sequence[Source], question: Question) -> Snapshot:
    """With the segments that these rules rest on, and no others: to follow their members costs something."""
    known = {id: segments.decode(bytes(body)) for id, body in question.segments.items()}
    rules = [msgspec.json.decode(each.body, type=Rule) for each in sources]
    needed = set[str]().union(*(segments.needed_by(rule, known) for rule in rules))
    rests_on = [Source(bytes(question.segments[id]), 1) for id in sorted(needed & known.keys())]
    return compile_snapshot(sources, question.company_zone, rests_on)

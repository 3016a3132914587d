"""Is a rule that learns of the past what it would be had it always been watched? Random rules, streams and instants."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from services.rules.engine import absorbing, state
from services.rules.engine.absorbing import Heard, Voice
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from tests import soaking
from tests.unit.test_rules_oracle import KINDS, ZONE, Chance, Engine, resolved

SEEDS_PER_CASE = 2_000 if soaking.soaks() else 20
EVENTS = 40
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
Document = dict[str, Any]


def compiled(rules: list[Document], *, active: bool) -> Snapshot:
    return compile_snapshot([Source(msgspec.json.encode(rule), 1, active) for rule in rules], ZONE)


class Watched(Engine):
    """From the beginning, but silently until `activate` is called."""

    def __init__(self, rules: list[Document]) -> None:
        super().__init__(rules)
        self.rules, self.clock_ms = rules, 0
        self.snapshot = compiled(rules, active=False)

    def activate(self) -> None:
        self.snapshot = compiled(self.rules, active=True)

    def on_clock(self, clock_ms: int) -> None:
        self.clock_ms = max(self.clock_ms, clock_ms)
        super().on_clock(clock_ms)


class Activated(Watched):
    """Knows nothing of the rules until they are activated, and learns of what was before some time later."""

    def __init__(self, rules: list[Document]) -> None:
        super().__init__(rules)
        self.past = Watched(rules)
        self.snapshot = compiled([], active=True)
        self.heard: list[Heard] | None = None
        self.since_ms = 0

    def on_event(self, given: Document) -> None:
        if self.heard is None:
            self.past.on_event(given)
        else:
            self.heard.append(Heard(self.clock_ms, resolved(given)))
        super().on_event(given)

    def on_clock(self, clock_ms: int) -> None:
        if self.heard is None:
            self.past.on_clock(clock_ms)
        super().on_clock(clock_ms)

    def activate(self) -> None:
        super().activate()
        self.heard, self.since_ms = [], self.clock_ms

    def learn(self) -> None:
        assert self.heard is not None
        silent, told = compiled(self.rules, active=False), set(self.ids)
        earlier = {name: state.decode(body) for name, body in self.past.bodies.items()}
        spoken = {name: self._carry_on(silent, earlier, name, told) for name in earlier}
        for name, each in earlier.items():
            own, out = self._load(name), spoken[name]
            wanted = {rule["id"]: True for rule in self.rules}
            gauges = absorbing.gauges_of(silent, self.snapshot, wanted, wanted)
            absorbing.absorb(own, each, self.snapshot, wanted, gauges, out)
            own.memories = each.memories
            self._take(own, out)

    def _carry_on(self, silent: Snapshot, earlier: dict[str, State], name: str, told: set[str]) -> Effects:
        assert self.heard is not None
        each, out = earlier[name], Effects()
        each.memories = self._load(name).memories
        own = [heard for heard in self.heard if heard.event.customer_id == name]
        linked = own[-1].event.linked if own else each.linked
        others = [earlier.get(other) or State(other) for other in linked if other != name]
        voice = Voice(self.snapshot, {rule["id"]: self.since_ms for rule in self.rules}, told, out)
        absorbing.carry_on(silent, each, own, others, self.clock_ms, 0, voice)
        return out


def people(steps: list[Any]) -> dict[str, str]:
    """Of each record by whom its person is known; records that are linked are one."""
    return {each["customer"]: min([each["customer"], *each["linked"]]) for each in steps if isinstance(each, dict)}


def lived(rules: list[Document], steps: list[Any], cut: int, learns: int) -> tuple[Watched, Activated, set[Any]]:
    """Both engines after the stream, and which rule and person met otherwise before the second one had learned."""
    always, late = Watched(rules), Activated(rules)
    who, differs = people(steps), set[Any]()
    for number, step in enumerate([*steps, None]):
        if number in (cut, learns):
            # What is due by then has fired by then.
            always.on_clock(always.clock_ms)
            late.on_clock(late.clock_ms)
        if number == cut:
            always.activate()
            late.activate()
        if number == learns:
            differs = {(rule, who[customer]) for rule, customer, _ in always.triggers ^ late.triggers}
            late.learn()
        if step is not None:
            for engine in (always, late):
                engine.on_clock(step) if isinstance(step, int) else engine.on_event(step)
    return always, late, differs


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_that_learns_of_the_past_at_once_fires_as_if_it_had_always_been_watched(kind: str) -> None:
    fired = needed = 0
    for seed in range(SEEDS_PER_CASE):
        chance = Chance(seed)
        rules = [chance.rule(kind, number) for number in range(6)]
        steps = chance.stream(EVENTS)
        cut = random.Random(seed).randrange(len(steps))
        always, late, _ = lived(rules, steps, cut, cut)
        assert late.triggers == always.triggers, f"seed {seed}, cut {cut}"
        fired += len(always.triggers)
        _, cold, _ = lived(rules, steps, cut, len(steps))
        needed += cold.triggers != always.triggers
    assert fired > SEEDS_PER_CASE, "the streams and the rules hardly met"
    assert needed > SEEDS_PER_CASE // 20 or kind in ("event", "change"), "what was before hardly mattered"


@pytest.mark.parametrize("kind", KINDS)
def test_it_may_learn_later_while_events_go_on(kind: str) -> None:
    compared = 0
    for seed in range(SEEDS_PER_CASE):
        chance = Chance(seed + 5_000_000)
        rules = [chance.rule(kind, number) for number in range(6)]
        steps = chance.stream(EVENTS)
        if any(isinstance(each, dict) and each["linked"] for each in steps):
            continue
        cut, learns = sorted(random.Random(seed).choices(range(len(steps)), k=2))
        always, late, differs = lived(rules, steps, cut, learns)
        who = people(steps)
        for each in always.triggers ^ late.triggers:
            assert (each[0], who[each[1]]) in differs, f"seed {seed}, cut {cut}, learns {learns}: {each}"
        compared += len(always.triggers & late.triggers)
    assert compared > SEEDS_PER_CASE // 2


@pytest.mark.parametrize("kind", ["absence", "dormancy", "date"])
def test_what_comes_due_while_it_learns_is_made_up_for_and_once(kind: str) -> None:
    """Unless the limits know of another firing, of which a rule would not have been guilty that knew more."""
    fired = made_up = 0
    for seed in range(SEEDS_PER_CASE):
        chance = Chance(seed + 9_000_000)
        rules = [chance.rule(kind, number) for number in range(6)]
        steps = chance.stream(EVENTS)
        if any(isinstance(each, dict) and each["linked"] for each in steps):
            continue
        cut, learns = sorted(random.Random(seed).choices(range(len(steps)), k=2))
        always, late, differs = lived(rules, steps, cut, learns)
        guilty = {(rule, customer) for rule, customer, _ in late.triggers - always.triggers}
        missing = {each for each in always.triggers - late.triggers if each[:2] not in guilty}
        assert not missing, f"seed {seed}, cut {cut}, learns {learns}: {missing}"
        assert max(late.ids.values(), default=1) == 1, f"seed {seed}"
        fired += len(always.triggers)
        made_up += bool(differs) and late.triggers == always.triggers
    assert fired > SEEDS_PER_CASE // 2
    assert made_up, "nothing came due meanwhile"


ENDS: Document = {
    "id": "ends",
    "name": "x",
    "when": {"type": "date", "field": "profile.ends"},
    "emit": {"trigger": "a.b"},
}


def test_a_date_that_was_put_off_before_the_clock_moved_was_not_told() -> None:
    """Both changes came in one batch: live, timers fire between batches, and the first date had no turn."""
    first, second = (day_is(number, day) for number, day in enumerate(("1970-01-19", "1970-01-21"), 1))
    third, now_ms = day_is(3, "1970-01-19"), 19 * DAY_MS + HOUR_MS
    late = Activated([ENDS])
    late.on_clock(now_ms)
    late.on_event(happened("other", 0, now_ms))
    late.past.bodies["c"] = state.encode(State("c"))
    late.activate()
    for each in (first, second):
        late.on_event(each)
    late.on_clock(now_ms + 1)
    late.learn()
    late.on_event(third)
    late.on_clock(now_ms + 2)
    assert {event for _, _, event in late.triggers} == {"e3"}


def day_is(number: int, day: str) -> Document:
    return {**happened("signed", number, 19 * DAY_MS), "changed": {"ends": {"was": None, "now": day}}}


QUOTE: Document = {"type": "sequence", "steps": [{"event": "quote"}, {"event": "visit"}], "within": "3d"}
BASKET: Document = {"type": "absence", "after": {"event": "cart"}, "no": {"event": "buy"}, "for": "3d"}


def happened(kind: str, number: int, at_ms: int) -> Document:
    empty: Document = {"data": {}, "profile": {}, "changed": {}, "linked": [], "history": False, "region": ""}
    return {"id": f"e{number}", "customer": "c", "type": kind, "time": at_ms, "received": at_ms, **empty}


@pytest.mark.parametrize("on_edit", ["finish_running", "drop_running"])
@pytest.mark.parametrize(("before", "kind"), [(QUOTE, "visit"), (BASKET, "")])
def test_what_an_earlier_version_began_goes_on_unless_it_is_dropped(before: Document, kind: str, on_edit: str) -> None:
    """The second version waits for something else as well; what it would have begun itself is learned."""
    more = {"id": "edited", "name": "x", "emit": {"trigger": "a.b"}, "on_edit": on_edit}
    first, begins = ("steps", "quote") if kind else ("after", "cart")
    other = {"event": "other"}
    edited = {**before, first: [other, before["steps"][1]] if kind else other}
    engine, past = Engine([{**more, "when": before}]), Watched([{**more, "when": edited}])
    past.snapshot = compile_snapshot([Source(msgspec.json.encode({**more, "when": edited}), 2, False)], ZONE)
    for each in (happened(begins, 1, HOUR_MS), happened("other", 2, 2 * HOUR_MS)):
        engine.on_event(each)
        past.on_event(each)
    engine.snapshot = compile_snapshot([Source(msgspec.json.encode({**more, "when": edited}), 2)], ZONE)
    own, out = engine._load("c"), Effects()
    absorbing.absorb(own, state.decode(past.bodies["c"]), engine.snapshot, {"edited": False}, {}, out)
    engine._take(own, out)
    if kind:
        engine.on_event(happened(kind, 3, 3 * HOUR_MS))
        assert {event for _, _, event in engine.triggers} == {"e3"}
    else:
        engine.on_clock(100 * HOUR_MS)
        assert {event for _, _, event in engine.triggers} == {"e1", "e2"} - (
            {"e1"} if on_edit == "drop_running" else set()
        )


def of_purchases(id: str, last: str, reaches: int) -> Document:
    measure = {"of": "count", "event": "buy", "over": {"last": last}}
    when = {"type": "measure", "measure": measure, "reaches": reaches}
    return {"id": id, "name": "x", "when": when, "emit": {"trigger": "a.b"}}


def learned(engine: Engine, past: Watched, rules: list[Document], others: list[Document]) -> None:
    """Takes over what the past left for `rules`, while `others` have been in force all along."""
    engine.snapshot = compiled([*rules, *others], active=True)
    own, wanted, out = engine._load("c"), {rule["id"]: True for rule in rules}, Effects()
    gauges = absorbing.gauges_of(compiled(rules, active=False), engine.snapshot, wanted, wanted)
    absorbing.absorb(own, state.decode(past.bodies["c"]), engine.snapshot, wanted, gauges, out)
    engine._take(own, out)


READY = of_purchases("ready", "30d", 5)
NEW: Document = {**BASKET, "no": {"event": "visit"}}


def test_a_day_in_which_the_reading_begins_does_not_replace_what_a_rule_that_is_ready_knows_of_it() -> None:
    who = [{"measure": {"of": "count", "event": "buy", "over": {"last": "7d"}}, "op": "at_least", "value": 1}]
    new = {"id": "new", "name": "x", "when": NEW, "who": who, "emit": {"trigger": "a.b"}}
    engine, past = Engine([READY]), Watched([new])
    for number in range(4):
        engine.on_event(happened("buy", number, 100 * DAY_MS + number * HOUR_MS))
    past.on_event(happened("buy", 3, 100 * DAY_MS + 3 * HOUR_MS))
    learned(engine, past, [new], [READY])
    engine.on_event(happened("buy", 4, 115 * DAY_MS))
    assert {(rule, event) for rule, _, event in engine.triggers} == {("ready", "e4")}


def test_the_past_of_a_rule_that_is_retired_meanwhile_replaces_nothing() -> None:
    retired, new = (
        of_purchases("retired", "60d", 50),
        {"id": "new", "name": "x", "when": NEW, "emit": {"trigger": "a.b"}},
    )
    engine, past = Engine([READY]), Watched([retired, new])
    for each in (engine, past):
        each.on_event(happened("buy", 0, 100 * DAY_MS))
    for number in (1, 2, 3):
        engine.on_event(happened("buy", number, 100 * DAY_MS + number * HOUR_MS))
    learned(engine, past, [new], [READY])
    engine.on_event(happened("buy", 4, 100 * DAY_MS + 5 * HOUR_MS))
    assert {(rule, event) for rule, _, event in engine.triggers} == {("ready", "e4")}


def test_a_rule_that_looks_further_back_than_another_learns_what_lies_further_back() -> None:
    new = of_purchases("new", "60d", 5)
    engine, past = Engine([READY]), Watched([new])
    for number in range(3):
        for each in (engine, past):
            each.on_event(happened("buy", number, (100 + number * 20) * DAY_MS))
    learned(engine, past, [new], [READY])
    for number in (3, 4):
        engine.on_event(happened("buy", number, 150 * DAY_MS + number))
    assert {(rule, event) for rule, _, event in engine.triggers} == {("new", "e4")}

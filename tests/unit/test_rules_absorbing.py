"""Is a rule that learns of the past what it would be had it always been watched? Random rules, streams and instants."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from services.rules.engine import absorbing, state
from services.rules.engine.absorbing import Heard
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from tests import soaking
from tests.unit.test_rules_oracle import KINDS, ZONE, Chance, Engine, resolved

SEEDS_PER_CASE = 2_000 if soaking.soaks() else 20
EVENTS = 40
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
        self.heard = []

    def learn(self) -> None:
        assert self.heard is not None
        silent = compiled(self.rules, active=False)
        earlier = {name: state.decode(body) for name, body in self.past.bodies.items()}
        self._carry_on(silent, earlier)
        for name, each in earlier.items():
            own, out = self._load(name), Effects()
            absorbing.absorb(own, each, self.snapshot, {rule["id"]: True for rule in self.rules}, out)
            self._take(own, out)

    def _carry_on(self, silent: Snapshot, earlier: dict[str, State]) -> None:
        assert self.heard is not None
        for name, each in earlier.items():
            own = [heard for heard in self.heard if heard.event.customer_id == name]
            linked = own[-1].event.linked if own else each.linked
            others = [earlier.get(other) or State(other) for other in linked if other != name]
            absorbing.carry_on(silent, each, own, others, self.clock_ms, 0)


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


QUOTE: Document = {"type": "sequence", "steps": [{"event": "quote"}, {"event": "visit"}], "within": "3d"}
BASKET: Document = {"type": "absence", "after": {"event": "cart"}, "no": {"event": "buy"}, "for": "3d"}
HOUR_MS = 3_600_000


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
    absorbing.absorb(own, state.decode(past.bodies["c"]), engine.snapshot, {"edited": False}, out)
    engine._take(own, out)
    if kind:
        engine.on_event(happened(kind, 3, 3 * HOUR_MS))
        assert {event for _, _, event in engine.triggers} == {"e3"}
    else:
        engine.on_clock(100 * HOUR_MS)
        assert {event for _, _, event in engine.triggers} == {"e1", "e2"} - (
            {"e1"} if on_edit == "drop_running" else set()
        )

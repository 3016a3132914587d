"""Does the engine fire exactly what a brute-force count says, whatever order the events come in?"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import Change, EventResolved
from services.rules.document import validation
from services.rules.engine import matching, state
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Source, compile_snapshot
from services.rules.engine.state import State
from tests import soaking
from tests.oracles.rules import Firing, Oracle

START_MS = 1_772_000_000_000
HOUR_MS = 3_600_000
ZONE = "Asia/Seoul"
TYPES = ("purchase", "visit", "cart_add")
SPANS = ("6h", "24h", "3d", "1w", "30min")
KINDS = ("event", "measure", "sequence", "absence", "change", "date", "dormancy", "deviation")
DATES = ("2026-02-28", "2026-03-01", "2026-03-05", "2024-02-29", "2025-12-31", "1990-03-03", "soon", 7, None)
SEEDS_PER_CASE = 3_000 if soaking.soaks() else 300
Document = dict[str, Any]


class Engine:
    """The engine without its edges: states survive as bytes only, timers fire when the clock is told."""

    def __init__(self, rules: list[Document], segments: list[Document] | None = None) -> None:
        for rule in rules:
            validation.read(rule)
        written, named = ([Source(msgspec.json.encode(each), 1) for each in given] for given in (rules, segments or []))
        self.snapshot = compile_snapshot(written, ZONE, named)
        self.bodies: dict[str, bytes] = {}
        self.timers: dict[str, tuple[int, bytes]] = {}
        self.triggers: set[Firing] = set()
        self.ids: Counter[str] = Counter()

    def on_event(self, given: Document) -> None:
        event = resolved(given)
        own = self._load(event.customer_id)
        hit = matching.match(self.snapshot, event)
        out = Effects()
        if hit is not None:
            matching.step(self.snapshot, event, hit, own, self._others(event.linked, event.customer_id), out)
        elif own.waiting:
            matching.remember_profile(own, event)
        self._take(own, out)

    def on_clock(self, clock_ms: int) -> None:
        while True:
            _, key = min(((due, key) for key, (due, _) in self.timers.items() if due <= clock_ms), default=(0, ""))
            if not key:
                return
            expiry = msgspec.msgpack.decode(self.timers.pop(key)[1], type=Expiry)
            own = self._load(expiry.customer_id)
            out = Effects()
            matching.expire(self.snapshot, expiry, own, self._others(own.linked, own.customer_id), out)
            self._take(own, out)

    def _load(self, customer_id: str) -> State:
        body = self.bodies.get(customer_id)
        return State(customer_id) if body is None else state.decode(body)

    def _others(self, linked: list[str], own: str) -> list[State]:
        return [self._load(each) for each in linked if each != own]

    def _take(self, own: State, out: Effects) -> None:
        own.sweep()
        self.bodies[own.customer_id] = state.encode(own)
        for key in out.cancelled:
            self.timers.pop(key, None)
        self.timers.update({due.key: (due.due_ms, due.payload) for due in out.timers.values()})
        for trigger in out.triggers:
            self.triggers.add((trigger.rule_id, trigger.customer_id, trigger.event_id))
            self.ids[trigger.trigger_id] += 1


def resolved(given: Document) -> EventResolved:
    return EventResolved(
        event_id=given["id"],
        customer_id=given["customer"],
        person_id=given["customer"],
        type=given["type"],
        source="test",
        time=clock.from_ms(given["time"]),
        received_ms=given["received"],
        data=msgspec.Raw(msgspec.json.encode(given["data"])),
        profile=msgspec.Raw(msgspec.json.encode(given["profile"])),
        changed={name: Change(**each) for name, each in given["changed"].items()},
        linked=given["linked"],
        history=given["history"],
        region=given["region"],
    )


class Chance:
    """Random rules and random streams, small enough that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seen: set[str] = set()

    def rule(self, kind: str, number: int) -> Document:
        rule: Document = {"id": f"rule-{number}", "name": "x", "emit": {"trigger": "a.b"}}
        rule["when"] = {"type": kind, **getattr(self, f"_{kind}")()}
        if self.random.random() < 0.5:
            rule["who"] = [self._who() for _ in range(self.random.randint(1, 2))]
        if self.random.random() < 0.6:
            rule["limits"] = self._limits()
        if self.random.random() < 0.5:
            rule["time"] = self._time()
        return rule

    def stream(self, count: int) -> list[Document | int]:
        """Events, late and shuffled, some of them twice, and between them what the clock says."""
        now, linked = START_MS, self.random.random() < 0.3
        steps: list[Document | int] = []
        for number in range(count):
            now += self.random.choice((0, 60_000, HOUR_MS, 5 * HOUR_MS, 11 * HOUR_MS))
            event = self._happening(number, now, linked)
            steps.append(event)
            if self.random.random() < 0.1:
                steps.append(event)
            if self.random.random() < 0.4:
                steps.append(now - self.random.choice((0, 0, HOUR_MS)))
        return [*steps, now + 60 * 24 * HOUR_MS]

    def _happening(self, number: int, now: int, linked: bool) -> Document:
        customer = self.random.choice(("c1", "c2") if linked else ("c1", "c1", "c3"))
        late = self.random.choice((0, 0, 0, 60_000, 3 * HOUR_MS, 30 * HOUR_MS, 20 * 24 * HOUR_MS))
        # Whole hours often coincide, which is where the boundaries are.
        time = (now - late) // HOUR_MS * HOUR_MS if self.random.random() < 0.5 else now - late
        data = self._data()
        was, now_tier = self.random.choices(("basic", "silver", "gold"), k=2)
        changed: Document = {"tier": {"was": was, "now": now_tier}} if self.random.random() < 0.3 else {}
        if self.random.random() < 0.2:
            changed["ends_on"] = {"was": None, "now": self.random.choice(DATES)}
        if customer not in self.seen:
            self.seen.add(customer)
            changed["first_seen_at"] = {"was": None, "now": "x"}
        return {
            "id": f"e{number}",
            "customer": customer,
            "type": self.random.choice(TYPES),
            "time": time,
            "received": now,
            "data": data,
            "profile": {"tier": now_tier, "zone": self.random.choice((None, "America/New_York")), "n": number % 4},
            "changed": changed,
            "linked": ["c1", "c2"] if linked else [],
            "history": self.random.random() < 0.05,
            "region": "" if "basket" in data else str(data["category"]),
        }

    def _data(self) -> Document:
        data = {
            "amount": self.random.choice((10, 20.5, "30.10", 50, "x", None)),
            "category": self.random.choice(("tv", "audio", "food")),
            "basket": self.random.choice(("b1", "b2", None)),
            "points": self.random.choice((1, 2, True, "1")),
        }
        return {name: value for name, value in data.items() if value is not None}

    def _where(self) -> list[Document]:
        return self.random.sample(
            (
                {"field": "event.category", "op": "is", "value": "tv"},
                {"field": "event.category", "op": "in", "value": ["tv", "audio"]},
                {"field": "event.category", "op": "is_not", "value": "food"},
                {"field": "event.category", "op": "starts_with", "value": "a"},
                {"field": "event.amount", "op": "at_least", "value": 20.5},
                {"field": "event.amount", "op": "between", "value": [10, 30.1]},
                {"field": "event.basket", "op": "exists"},
                {"field": "event.region", "op": "is", "value": "tv"},
                {"field": "event.region", "op": "missing"},
                {"field": "event.points", "op": "is", "value": 1},
                {"field": "event.points", "op": "in", "value": [1, 2]},
                {"field": "event.points", "op": "is", "value": True},
            ),
            self.random.choice((0, 0, 1, 2)),
        )

    def _pick(self) -> Document:
        return {"event": self.random.choice(TYPES), "where": self._where()}

    def _event(self) -> Document:
        return self._pick()

    def _measure(self) -> Document:
        return {"measure": self._measured(), "reaches": self.random.choice((1, 2, 3, 20.5, 40))}

    def _measured(self) -> Document:
        of = self.random.choice(("count", "count", "sum", "average", "min", "max", "distinct", "last"))
        over: Document = self.random.choice(
            (
                {"last": "3d"},
                {"last": "1w"},
                {"last": "2d", "skip": "1d"},
                {"last": "12h"},
                {"last": "90min"},
                {"calendar": "week"},
                {"calendar": "month"},
                {"calendar": "day"},
                {"calendar": "quarter"},
            )
        )
        made = {"of": of, "over": over, **self._pick()}
        if of != "count":
            made["field"] = "event.category" if of == "distinct" else "event.amount"
        return made

    def _absence(self) -> Document:
        when: Document = {"after": self._pick(), "no": self._pick(), "for": self.random.choice(SPANS)}
        if self.random.random() < 0.5:
            when["same"] = ["basket"]
        if self.random.random() < 0.5:
            when["restart"] = self.random.choice(("on_each_first", "only_when_idle"))
        return when

    def _sequence(self) -> Document:
        number = self.random.choice((2, 2, 3))
        when: Document = {"steps": [self._pick() for _ in range(number)], "within": self.random.choice(SPANS)}
        if self.random.random() < 0.3:
            when["same"] = ["basket"]
        if self.random.random() < 0.5:
            when["restart"] = self.random.choice(("on_each_first", "only_when_idle"))
        return when

    def _dormancy(self) -> Document:
        when: Document = {"no": self._pick(), "for": self.random.choice(SPANS)}
        return when | ({"never_counts": True} if self.random.random() < 0.4 else {})

    def _date(self) -> Document:
        when: Document = {"field": "profile.ends_on", "every": self.random.choice(("never", "year", "month"))}
        if self.random.random() < 0.6:
            when["shift"] = self.random.choice(("-7d", "+1d", "-2w", "-1mo", "+1mo"))
        if self.random.random() < 0.5:
            when["at"] = self.random.choice(("09:00", "23:30"))
        return when | ({"feb29": "mar1"} if self.random.random() < 0.5 else {})

    def _deviation(self) -> Document:
        measure = self._measured()
        measure["over"] = {"last": self.random.choice(("1d", "2d", "1w"))}
        against: Document = {"periods": self.random.choice((1, 2, 4))}
        if self.random.random() < 0.5:
            against["statistic"] = "median"
        if self.random.random() < 0.3:
            against["min_history"] = self.random.choice(("3d", "1w"))
        chosen = {"direction": self.random.choice(("drop", "rise")), "check": self.random.choice(("daily", "on_event"))}
        return {"measure": measure, "against": against, "by_percent": self.random.choice((10, 50, 33.3))} | chosen

    def _change(self) -> Document:
        when: Document = {"field": "profile.tier"}
        if self.random.random() < 0.5:
            when["from"] = self.random.sample(("basic", "silver", "gold"), 2)
        if self.random.random() < 0.5:
            when["to"] = self.random.sample(("basic", "silver", "gold"), 2)
        if self.random.random() < 0.5:
            when |= {"direction": self.random.choice(("up", "down")), "order": ["basic", "silver", "gold"]}
        return when

    def _who(self) -> Document:
        plain: list[Document] = [
            {"field": "profile.tier", "op": "in", "value": ["gold", "silver"]},
            {"field": "profile.n", "op": "at_least", "value": 1},
            {"field": "profile.zone", "op": "missing"},
            {"measure": self._measured(), "op": self.random.choice(("is", "at_least", "less_than")), "value": 1},
        ]
        chosen = self.random.choice(plain)
        return self.random.choice(({"any": [chosen, self.random.choice(plain)]}, {"not": chosen}, chosen, chosen))

    def _limits(self) -> Document:
        limits: Document = {"repeat": self.random.choice(("once", "once_per_occasion", "always", "always"))}
        if self.random.random() < 0.5:
            limits["cooldown"] = self.random.choice(SPANS)
        if self.random.random() < 0.4:
            limits["max"] = {"times": self.random.randint(1, 2), "per": self.random.choice(SPANS)}
        return limits

    def _time(self) -> Document:
        return {
            "zone": self.random.choice(("customer", "company", "UTC")),
            "accept_late": self.random.choice(("1h", "2d", "30d")),
            "too_late": self.random.choice(("count_only", "ignore")),
        }


def both(rules: list[Document], steps: list[Document | int]) -> tuple[Engine, Oracle]:
    engine, oracle = Engine(rules), Oracle(rules, ZONE)
    for step in steps:
        for each in (engine, oracle):
            if isinstance(step, int):
                each.on_clock(step)
            else:
                each.on_event(step)
    return engine, oracle


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_fires_what_a_brute_force_count_fires(kind: str) -> None:
    fired = 0
    for seed in range(SEEDS_PER_CASE):
        chance = Chance(seed)
        rules = [chance.rule(kind, number) for number in range(6)]
        engine, oracle = both(rules, chance.stream(40))
        assert engine.triggers == oracle.triggers, f"seed {seed}"
        fired += len(engine.triggers)
    assert fired > SEEDS_PER_CASE, "the streams and the rules hardly met"


def test_mixed_rules_do_not_disturb_one_another() -> None:
    for seed in range(SEEDS_PER_CASE):
        chance = Chance(seed + 1_000_000)
        rules = [chance.rule(KINDS[number % len(KINDS)], number) for number in range(16)]
        engine, oracle = both(rules, chance.stream(40))
        assert engine.triggers == oracle.triggers, f"seed {seed}"

"""Are those in a segment whom a brute-force count finds in it, and does exactly that fire which it says?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from libs.common import clock
from libs.common.events import SegmentMoved
from services.rules.document import segments as documents
from services.rules.engine import segments
from services.rules.engine.firing import Effects
from services.rules.engine.state import State
from tests.oracles.rules import Oracle
from tests.oracles.rules_segments import Move
from tests.unit.test_rules_oracle import DATES, HOUR_MS, KINDS, SEEDS_PER_CASE, START_MS, TYPES, ZONE, Chance, Engine

Document = dict[str, Any]
EVENTS = 24


class Members(Engine):
    """The engine with segments, and the list of members that it has written."""

    def __init__(self, rules: list[Document], written: list[Document]) -> None:
        read = {each["id"]: documents.read(each)[0] for each in written}
        for each in read.values():
            documents.require_references(each, read)
        super().__init__(rules, written[::-1])
        self.moves: list[Move] = []
        self.listed: dict[tuple[str, str], segments.Entry] = {}

    def _take(self, own: State, out: Effects) -> None:
        for each in segments.listing(self.snapshot, own, out):
            self.listed.pop((each.segment_id, each.customer_id), None)
            if each.inside is not None:
                self.listed[each.segment_id, each.customer_id] = each
        self.moves += map(told, out.moves)
        super()._take(own, out)


def told(move: SegmentMoved) -> Move:
    return move.segment_id, move.customer_id, move.moved, clock.to_ms(move.at), move.told


class Lives(Chance):
    """Streams in which what differs in a profile is said to have changed, and records are linked and taken apart."""

    def __init__(self, seed: int, regroups: bool = True) -> None:
        super().__init__(seed)
        self.regroups = regroups
        self.profiles: dict[str, Document] = {}
        self.names: list[str] = []

    def segments(self) -> list[Document]:
        made: list[Document] = []
        for number in range(3):
            who = [self._who() for _ in range(self.random.randint(1, 2))]
            made.append({"id": f"segment-{number}", "name": "x", "who": who})
            if self.random.random() < 0.5:
                made[-1]["time"] = {"zone": self.random.choice(("customer", "company", "UTC"))}
            self.names.append(made[-1]["id"])
        return made

    def _segment(self) -> Document:
        return {"segment": self.random.choice(self.names), "moves": self.random.choice(("in", "out"))}

    def _who(self) -> Document:
        span = self.random.choice(("6h", "2d", "1w"))
        more: list[Document] = [{"field": "profile.tier", "op": "changed_within", "value": span}]
        more += [{"in_segment": name} for name in self.names]
        if self.random.random() < 0.5:
            return super()._who()
        chosen = self.random.choice(more)
        return self.random.choice(({"not": chosen}, {"any": [chosen, super()._who()]}, chosen))

    def stream(self, count: int) -> list[Document | int]:
        linked, now = [list[str](), ["c1", "c2"], []], START_MS
        steps: list[Document | int] = []
        until = [count, count, count]
        if self.regroups and self.random.random() < 0.5:
            until = [count // 3, 2 * count // 3, count]
        elif self.random.random() < 0.3:
            until = [0, count, count]
        for number in range(count):
            now += self.random.choice((0, 60_000, HOUR_MS, 5 * HOUR_MS, 30 * HOUR_MS))
            phase = sum(number >= each for each in until)
            if number in until:
                kind = "profile.linked" if linked[phase] else "profile.unlinked"
                for each in ("c1", "c2"):
                    steps.append(self._event_of(f"l{number}{each}", each, kind, now, now, linked[phase]))
            customer = self.random.choice(("c1", "c2"))
            late = self.random.choice((0, 0, 0, 60_000, 3 * HOUR_MS, 30 * HOUR_MS, 20 * 24 * HOUR_MS))
            time = (now - late) // HOUR_MS * HOUR_MS if self.random.random() < 0.5 else now - late
            kind = self.random.choice(TYPES)
            steps.append(self._event_of(f"e{number}", customer, kind, time, now, linked[phase]))
            if self.random.random() < 0.1:
                steps.append(steps[-1])
            if self.random.random() < 0.4:
                steps.append(now - self.random.choice((0, 0, HOUR_MS)))
        return [*steps, now + 60 * 24 * HOUR_MS]

    def _event_of(self, id: str, customer: str, kind: str, time: int, received: int, linked: list[str]) -> Document:
        profile: Document = {"tier": None, "zone": None, "n": None} | self.profiles.get(customer, {})
        was = dict(profile)
        changes: list[Document] = [
            {"tier": self.random.choice(("basic", "silver", "gold"))},
            {"n": self.random.randint(0, 3)},
            {"zone": self.random.choice((None, "America/New_York"))},
            {},
            {},
        ]
        profile |= self.random.choice(changes)
        if linked and kind == "profile.linked":
            profile |= self.profiles.get("c1", {})
        for each in linked or [customer]:
            self.profiles[each] = profile
        changed: Document = {n: {"was": was[n], "now": profile[n]} for n in profile if was[n] != profile[n]}
        if self.random.random() < 0.1:
            changed["ends_on"] = {"was": None, "now": self.random.choice(DATES)}
        if customer not in self.seen:
            self.seen.add(customer)
            changed["first_seen_at"] = {"was": None, "now": "x"}
        given = {"id": id, "customer": customer, "type": kind, "time": time, "received": received}
        more = {"linked": linked, "history": self.random.random() < 0.05, "region": ""}
        return given | more | {"data": self._data(), "profile": dict(profile), "changed": changed}


def both(lives: Lives, rules: list[Document], written: list[Document]) -> tuple[Members, Oracle]:
    engine, oracle = Members(rules, written), Oracle(rules, ZONE, written)
    for step in lives.stream(EVENTS):
        for each in (engine, oracle):
            if isinstance(step, int):
                each.on_clock(step)
            else:
                each.on_event(step)
    return engine, oracle


def people_in(engine: Members, id: str, people: Iterable[list[str]]) -> list[list[str]]:
    """By the newest entry of each person in the list."""
    found = []
    for person in people:
        entries = [each for name in person if (each := engine.listed.get((id, name))) is not None]
        if entries and max(entries, key=lambda each: each.judged_ms).inside:
            found.append(person)
    return found


@pytest.mark.parametrize("kind", ["segment", *KINDS])
def test_whoever_moves_is_told_of_as_a_brute_force_count_says(kind: str) -> None:
    fired = moved = 0
    for seed in range(SEEDS_PER_CASE if kind == "segment" else SEEDS_PER_CASE // 20):
        lives = Lives(seed, regroups=kind == "segment")
        written = lives.segments()
        rules = [lives.rule(kind, number) for number in range(4)]
        engine, oracle = both(lives, rules, written)
        assert sorted(engine.moves) == sorted(oracle.segments.moves), f"seed {seed}"
        assert engine.triggers == oracle.triggers, f"seed {seed}"
        fired += len(engine.triggers)
        moved += sum(each[-1] for each in engine.moves)
    assert fired > SEEDS_PER_CASE // 30 and moved > SEEDS_PER_CASE // 30, "the streams and the rules hardly met"


def test_the_list_names_those_whom_a_brute_force_count_finds_in_the_segment() -> None:
    inside = 0
    for seed in range(SEEDS_PER_CASE // 5):
        lives = Lives(seed + 2_000_000)
        written = lives.segments()
        engine, oracle = both(lives, [], written)
        people = [["c1", "c2"]] if oracle.linked.get("c1") else [["c1"], ["c2"]]
        people = [[each for each in person if each in oracle.linked] for person in people]
        for segment in written:
            wanted = [each for each in people if each and (oracle.segments.newest(segment["id"], each[0]) or (0, 0))[1]]
            assert people_in(engine, segment["id"], people) == wanted, f"seed {seed}, {segment['id']}"
            inside += len(wanted)
    assert inside > SEEDS_PER_CASE // 10

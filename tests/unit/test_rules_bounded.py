"""Does what is remembered of a customer have an end, and can one see how much it is?"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, get_args

import msgspec

from libs.common.events import Change
from services.rules.document.language import When
from services.rules.engine import matching, segments, state
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import Aggregate, State
from services.rules.sizing import OTHER, names_of, sizes
from tests.load.rules_ground import event

DAY_MS = 86_400_000
START_MS = 1_772_000_000_000
YEAR = 365
PER_DAY = 3
VISITS = {"of": "count", "event": "visit", "over": {"last": "3d"}}
SPENT = {"of": "sum", "event": "purchase", "field": "event.amount", "over": {"last": "7d"}}
KINDS: dict[str, dict[str, Any]] = {
    "measure": {"measure": VISITS, "reaches": 5},
    "sequence": {"steps": [{"event": "visit"}, {"event": "purchase"}], "within": "3d"},
    "absence": {"after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "2d", "same": ["basket"]},
    "change": {"field": "profile.tier"},
    "date": {"field": "profile.ends_on", "every": "year"},
    "dormancy": {"no": {"event": "purchase"}, "for": "2d"},
    "deviation": {"measure": SPENT, "against": {"periods": 3}, "by_percent": 50},
    "event": {"event": "visit"},
    "segment": {"segment": "regulars", "moves": "in"},
}
REGULARS: dict[str, Any] = {
    "id": "regulars",
    "name": "x",
    "who": [
        {"measure": {"of": "count", "event": "purchase", "over": {"last": "3d"}}, "op": "at_least", "value": 4},
        {"not": {"field": "profile.ends_on", "op": "changed_within", "value": "12h"}},
    ],
}
"""Somebody comes in and falls out every few days, by events and at night."""


def everything() -> Snapshot:
    limits = {"cooldown": "2d", "max": {"times": 5, "per": "30d"}}
    made = [
        {
            "id": f"some-{kind}",
            "name": "x",
            "when": {"type": kind, **when},
            "limits": limits,
            "emit": {"trigger": "x.y"},
        }
        for kind, when in KINDS.items()
    ]
    sources = [Source(msgspec.json.encode(each), 1) for each in made]
    return compile_snapshot(sources, "Asia/Seoul", [Source(msgspec.json.encode(REGULARS), 1)])


class Life:
    """A customer who does something several times a day, as the service keeps them: packed after each event."""

    def __init__(self, snapshot: Snapshot, seed: int) -> None:
        self.snapshot, self.chance = snapshot, random.Random(seed)
        self.body = state.encode(State("c"))
        self.timers: dict[str, tuple[int, bytes]] = {}
        self.fired: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def day(self, number: int) -> None:
        for at in range(PER_DAY):
            now_ms = START_MS + number * DAY_MS + at * DAY_MS // PER_DAY
            self.expire(now_ms)
            kind = self.chance.choice(("visit", "purchase", "cart_add"))
            data = {"amount": self.chance.randrange(100), "basket": self.chance.randrange(1_000)}
            late_ms = self.chance.choice((0, 0, 0, 2 * DAY_MS, 20 * DAY_MS))
            given = event("c", kind, f"e{number}-{at}", now_ms - late_ms, data)
            changed = {"tier": Change("a", str(number)), "ends_on": Change(None, "2026-05-05")} if at == 0 else {}
            given = msgspec.structs.replace(given, received_ms=now_ms, changed=changed)
            hit = matching.match(self.snapshot, given)
            assert hit is not None
            own, out = state.decode(self.body), Effects()
            matching.step(self.snapshot, given, hit, own, (), out)
            self._took(own, out)

    def expire(self, now_ms: int) -> None:
        while due := min(((due, key) for key, (due, _) in self.timers.items() if due <= now_ms), default=None):
            expiry = msgspec.msgpack.decode(self.timers.pop(due[1])[1], type=Expiry)
            own, out = state.decode(self.body), Effects()
            matching.expire(self.snapshot, expiry, own, (), out)
            self._took(own, out)

    def _took(self, own: State, out: Effects) -> None:
        # As the service does: what is written to the list of members is no more due.
        segments.listing(self.snapshot, own, out)
        own.sweep()
        self.body = state.encode(own)
        for key in out.cancelled:
            self.timers.pop(key, None)
        self.timers |= {due.key: (due.due_ms, due.payload) for due in out.timers.values()}
        self.fired.update(each.rule_id for each in out.triggers)
        self.moved.update(each.moved for each in out.moves)


def test_no_kind_is_left_out() -> None:
    assert KINDS.keys() == {each.__struct_config__.tag for each in get_args(When)}


def test_a_busy_year_leaves_no_more_behind_than_its_first_months() -> None:
    life, sizes_kept, timers_kept = Life(everything(), 7), [], []
    for number in range(YEAR):
        life.day(number)
        sizes_kept.append(len(life.body))
        timers_kept.append(len(life.timers))
    assert life.fired.keys() == {f"some-{kind}" for kind in KINDS}, "a kind that never fires proves nothing"
    assert min(life.moved["in"], life.moved["out"]) > YEAR / 20, "hardly anybody moved"
    assert max(sizes_kept[-90:]) <= 1.1 * max(sizes_kept[60:180])
    # Three standing rules, a look at the segment in the night, and carts of the last two days.
    assert max(timers_kept) <= 3 + 1 + 3 * PER_DAY


def test_of_somebody_who_went_silent_nothing_is_left_in_the_end() -> None:
    life = Life(everything(), 7)
    for number in range(30):
        life.day(number)
    own = state.decode(life.body)
    assert own.aggregates and own.sequences and own.memories and own.seen
    assert own.memberships["regulars"].due_ms, "somebody is looked at in the night"
    for number in range(30, 60):
        life.expire(START_MS + number * DAY_MS)
    own = state.decode(life.body)
    assert not own.memberships and not any(key.startswith("segment:") for key in life.timers)
    # The date comes every year, so its appointment is what remains.
    own.appointments = {}
    own.absences = {}
    assert own.until_ms < START_MS + 120 * DAY_MS
    own.latest_ms = own.until_ms
    own.sweep()
    assert state.encode(own) == state.encode(State("c", own.person_id, own.latest_ms, linked=own.linked))


def test_what_is_remembered_is_counted_by_aggregate_under_the_name_of_a_rule() -> None:
    snapshot = everything()
    names = names_of(snapshot)
    assert sorted(names.values()) == ["some-deviation", "some-measure"]
    [visits] = [key for key, name in names.items() if name == "some-measure"]
    one = State("a", aggregates={visits: Aggregate(0, {1: [1], 2: [1]}), 5: Aggregate(0, {1: [1]})})
    two = State("b", aggregates={visits: Aggregate(0, {3: [1]})})
    assert sizes([one, two, State("c")], names) == {"some-measure": (2, 3), OTHER: (1, 1)}

"""Does a backtest fire what a plain run of the live heart fires, and report it rightly?"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import date
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import ERASED, EventResolved
from services.rules.backtest import memory
from services.rules.backtest.reach import reach_ms
from services.rules.backtest.waking import Timers
from services.rules.document.language import Rule
from services.rules.engine import matching
from services.rules.engine.firing import Due, Effects, Expiry
from services.rules.engine.snapshot import Source, compile_snapshot
from services.rules.engine.state import State
from tests.backtest_log import (
    BASKET,
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    VISIT,
    ZONE,
    Document,
    Entry,
    Log,
    Message,
    customers,
    fired,
    question,
    simulated,
)

THRICE = {"of": "count", "event": "visit", "over": {"last": "3d"}}
RULES: list[Document] = [
    {"type": "event", "event": "visit", "where": [{"field": "event.amount", "op": "at_least", "value": 20}]},
    {"type": "measure", "measure": THRICE, "reaches": 3},
    {"type": "measure", "measure": {**THRICE, "of": "sum", "field": "event.amount"}, "reaches": 50},
    {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "6h"},
    {
        "type": "absence",
        "after": {"event": "visit"},
        "no": {"event": "visit"},
        "for": "24h",
        "restart": "only_when_idle",
    },
    {"type": "change", "field": "profile.tier", "to": ["gold"]},
    {"type": "sequence", "steps": [{"event": "visit"}, {"event": "purchase"}], "within": "1d"},
    {"type": "dormancy", "no": {"event": "purchase"}, "for": "2d"},
    {"type": "date", "field": "profile.card_ends", "shift": "-1d", "at": "09:00"},
]
LIMITS: list[Document] = [{}, {"repeat": "once"}, {"cooldown": "2d"}, {"max": {"times": 2, "per": "3d"}}]


class Plain:
    """The live heart in the plainest frame: everything decoded, every state kept as it is, timers sorted anew."""

    def __init__(self, rule: Document) -> None:
        self.snapshot = compile_snapshot([Source(msgspec.json.encode(rule), 0)], ZONE)
        self.states: dict[str, State] = {}
        self.timers: dict[str, Due] = {}
        self.clock_ms = 0
        self.fired: list[tuple[str, str]] = []

    def on_event(self, event: EventResolved) -> None:
        own = self._state(event.customer_id)
        hit, out = matching.match(self.snapshot, event), Effects()
        if hit is not None:
            matching.step(self.snapshot, event, hit, own, self._others(event.linked, own), out)
        else:
            matching.remember_profile(own, event)
        self._take(out)

    def on_clock(self, said_ms: int) -> None:
        self.clock_ms = max(self.clock_ms, said_ms)
        while due := sorted((each.due_ms, key) for key, each in self.timers.items() if each.due_ms <= self.clock_ms):
            for _, key in due:
                expiry = msgspec.msgpack.decode(self.timers.pop(key).payload, type=Expiry)
                own, out = self._state(expiry.customer_id), Effects()
                matching.expire(self.snapshot, expiry, own, self._others(own.linked, own), out)
                self._take(out)

    def _state(self, customer: str) -> State:
        return self.states.setdefault(customer, State(customer))

    def _others(self, linked: list[str], own: State) -> list[State]:
        return [self._state(each) for each in linked if each != own.customer_id]

    def _take(self, out: Effects) -> None:
        for key in out.cancelled:
            self.timers.pop(key, None)
        self.timers |= out.timers
        self.fired += [(each.customer_id, each.event_id) for each in out.triggers]


def random_log(seed: int, count: int) -> tuple[Log, list[EventResolved | int]]:
    """The same happenings twice: as a log of one partition, and as plain steps (a number is what the clock says)."""
    chance, log = random.Random(seed), Log(units=1)
    steps: list[EventResolved | int] = []
    now, linked = START_MS, ["c1", "c2"] if chance.random() < 0.3 else []
    for _ in range(count):
        now += chance.choice((0, MINUTE_MS, HOUR_MS, 5 * HOUR_MS))
        late = chance.choice((0, 0, 0, MINUTE_MS, 3 * HOUR_MS, 30 * HOUR_MS))
        customer = chance.choice(("c1", "c2") if linked else ("c1", "c2", "c3"))
        steps.append(random_event(chance, log, now, late, customer, linked))
        if chance.random() < 0.1:
            log.put(now, log.events[-1])
            steps.append(log.events[-1])
        if chance.random() < 0.5:
            said = now - chance.choice((0, 0, HOUR_MS))
            log.marks(now, said)
            steps.append(said)
    log.marks(now + 30 * DAY_MS)
    return log, [*steps, now + 30 * DAY_MS]


def random_event(
    chance: random.Random, log: Log, now: int, late: int, customer: str, linked: list[str]
) -> EventResolved:
    tier, ends = chance.choice(("basic", "gold")), clock.from_ms(now + 2 * DAY_MS).date().isoformat()
    changed: dict[str, Document] = {"tier": {"was": "basic", "now": tier}} if chance.random() < 0.3 else {}
    if chance.random() < 0.2:
        changed["card_ends"] = {"was": None, "now": ends}
    return log.event(
        now,
        customer,
        chance.choice(("visit", "purchase", "cart_add", "search")),
        time_ms=now - late,
        data={"amount": chance.choice((10, 20, "30.5", None))},
        profile={"tier": tier, "card_ends": ends},
        changed=changed,
        linked=linked,
        history=chance.random() < 0.05,
        traffic="bot" if chance.random() < 0.05 else "",
    )


@pytest.mark.parametrize("number", range(len(RULES)), ids=[f"{n}-{rule['type']}" for n, rule in enumerate(RULES)])
def test_a_backtest_fires_what_the_plain_heart_fires(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # None is kept unpacked when another is looked at, so that states are packed and unpacked all the time.
    monkeypatch.setattr(memory, "UNPACKED_SHARE", 0)
    found = 0
    for seed in range(30):
        rule: Document = {**VISIT, "when": RULES[number], "limits": LIMITS[seed % len(LIMITS)]}
        if seed % 3 == 0:
            rule["who"] = [{"field": "profile.tier", "op": "is", "value": "gold"}]
        log, steps = random_log(seed, 60)
        plain = Plain(rule)
        for step in steps:
            plain.on_clock(step) if isinstance(step, int) else plain.on_event(step)
        made = simulated(question(rule), log.entries, units=1, chunk=7)
        assert fired(made) == sorted(plain.fired), f"seed {seed}"
        found += len(plain.fired)
    assert found > 30, "rule and streams hardly met"


def test_what_cannot_hit_is_not_decoded() -> None:
    log = Log()
    for number in range(100):
        log.event(START_MS + number, f"c{number}", "search")
    log.event(START_MS + 1000, "c1", "visit")
    made = simulated(question(VISIT), log.entries)
    assert (made.events, made.decoded, customers(fired(made))) == (101, 1, ["c1"])


def test_what_another_hand_has_written_is_looked_at_closer() -> None:
    log = Log()
    log.event(START_MS, "c1", "visit")
    [(at, unit, message)] = log.entries
    spaced = json.dumps(json.loads(message.value or b"")).encode()
    moved = json.dumps(dict(reversed(json.loads(message.value or b"").items())), separators=(",", ":")).encode()
    entries: list[Entry] = [(at, unit, Message(body, [], b"c1")) for body in (spaced, moved)]
    assert len(fired(simulated(question(VISIT), entries))) == 2


def test_a_type_is_not_mistaken_for_what_stands_in_a_text() -> None:
    log = Log()
    log.event(START_MS, "c1", "visit", id='x","type":"search')
    log.event(START_MS, "c2", "search", data={"type": "visit"})
    made = simulated(question(VISIT), log.entries)
    assert (made.decoded, customers(fired(made))) == (1, ["c1"])


def test_who_waits_is_seen_in_every_event() -> None:
    """The profile as last seen judges when the wait runs out, whatever event it came with."""
    log = Log()
    rule = {**BASKET, "who": [{"field": "profile.tier", "op": "is", "value": "gold"}]}
    for customer in ("was-gold", "is-gold"):
        log.event(START_MS, customer, "cart_add", profile={"tier": "gold" if customer == "was-gold" else "basic"})
        log.event(START_MS + 1, customer, "search", profile={"tier": "gold" if customer == "is-gold" else "basic"})
    log.marks(START_MS + 2 * HOUR_MS)
    assert customers(fired(simulated(question(rule), log.entries))) == ["is-gold"]


def test_an_absence_is_judged_by_the_marks_and_not_by_the_time_of_what_was_read() -> None:
    log = Log()
    log.event(START_MS, "left", "cart_add", data={"basket": 7})
    log.event(START_MS, "bought", "cart_add")
    log.marks(START_MS + 3 * HOUR_MS, START_MS + HOUR_MS - 1)
    log.event(START_MS + 3 * HOUR_MS, "bought", "purchase", time_ms=START_MS + HOUR_MS)
    assert fired(simulated(question(BASKET), log.entries)) == []
    log.marks(START_MS + 3 * HOUR_MS, START_MS + HOUR_MS + 999)
    assert fired(simulated(question(BASKET, grace_seconds=1), log.entries)) == [], "the grace is not over"
    made = simulated(question(BASKET), log.entries)
    assert [(each.customer_id, each.include) for each in made.examples()] == [("left", {"basket": 7})]


def test_the_clock_stands_still_until_every_unit_upstream_has_spoken() -> None:
    log = Log()
    log.event(START_MS, "left", "cart_add")
    log.marks(START_MS + 2 * HOUR_MS)
    silent = [each for each in log.entries if not any(b"apply/1" in stamp for _, stamp in each[2].headers)]
    assert fired(simulated(question(BASKET), silent)) == []
    assert customers(fired(simulated(question(BASKET), log.entries))) == ["left"]


def test_the_clock_is_the_least_mark_and_never_goes_back() -> None:
    log = Log()
    log.event(START_MS, "left", "cart_add")
    log.marks(START_MS + 1, START_MS + 1)
    due, slow = START_MS + HOUR_MS, b"apply/1:"
    log.marks(START_MS + 2 * HOUR_MS, due)
    behind = [each for each in log.entries if not (slow in each[2].headers[0][1] and each[0] > START_MS + 1)]
    assert fired(simulated(question(BASKET), behind)) == []
    log.marks(START_MS + 3 * HOUR_MS, START_MS + 5)
    log.event(START_MS + 3 * HOUR_MS, "late", "cart_add", time_ms=START_MS)
    log.marks(START_MS + 3 * HOUR_MS, START_MS + 6)
    assert customers(fired(simulated(question(BASKET), log.entries))) == ["late", "left"]


def test_a_message_that_was_published_twice_counts_once() -> None:
    log = Log()
    made = log.event(START_MS, "c1", "visit")
    log.put(START_MS + 5, made, seq=1)
    found = simulated(question(VISIT), log.entries)
    assert (found.events, len(fired(found))) == (1, 1)


def test_linked_records_of_another_partition_are_at_hand() -> None:
    log = Log()
    one = next(each for each in map(str, range(99)) if log.unit_of(each) == 0)
    other = next(each for each in map(str, range(99)) if log.unit_of(each) == 1)
    rule = {**VISIT, "when": {"type": "measure", "measure": THRICE, "reaches": 3}}
    for number, customer in enumerate((one, other, one)):
        log.event(START_MS + number, customer, "visit", linked=sorted((one, other)), person=one)
    assert customers(fired(simulated(question(rule), log.entries))) == [one]


def test_the_warm_up_counts_and_waits_and_fires_nothing() -> None:
    log = Log()
    begins = START_MS + DAY_MS
    for number in range(2):
        log.event(START_MS + number, "c1", "visit")
    log.event(begins - HOUR_MS // 2, "c2", "cart_add")
    log.event(begins + 1, "c1", "visit")
    log.marks(begins + HOUR_MS)
    thrice = {**VISIT, "when": {"type": "measure", "measure": THRICE, "reaches": 3}}
    assert fired(simulated(question(thrice, begins), log.entries)) == [("c1", "e3")]
    assert customers(fired(simulated(question(BASKET, begins), log.entries))) == ["c2"]
    assert fired(simulated(question(VISIT, begins), log.entries)) == [("c1", "e3")]


@pytest.mark.parametrize(("before", "expected"), [(False, 1), (True, 0)])
def test_firings_before_the_period_hold_back_only_where_the_rule_was_in_force(before: bool, expected: int) -> None:
    log = Log()
    log.event(START_MS, "c1", "visit")
    log.event(START_MS + DAY_MS, "c1", "visit")
    rule = {**VISIT, "limits": {"cooldown": "7d"}}
    made = simulated(question(rule, START_MS + HOUR_MS, in_force_before=before), log.entries)
    outcome = "limits" if before else "fired"
    report = made.report(1.0, 0)
    assert (report.fires, report.outcomes) == (expected, {outcome: 1})


def test_the_report_counts_days_people_and_repeats() -> None:
    log = Log()
    late_evening = START_MS // DAY_MS * DAY_MS + 15 * HOUR_MS - 1
    log.event(late_evening, "c1", "visit", person="p")
    log.event(late_evening + 1, "c2", "visit", person="p")
    log.event(late_evening + 2, "c3", "visit")
    begin = late_evening - HOUR_MS
    report = simulated(question(VISIT, begin, begin + 2 * DAY_MS), log.entries).report(0.5, START_MS)
    day = clock.from_ms(late_evening).date()
    days = [(each.day, each.fires) for each in report.per_day]
    assert days == [(day, 1), (date.fromordinal(day.toordinal() + 1), 2), (date.fromordinal(day.toordinal() + 2), 0)]
    assert (report.fires, report.customers) == (3, 2)
    assert [(each.times, each.customers) for each in report.repeats] == [(1, 1), (2, 1)]
    assert (report.events_read, report.events_per_second) == (3, 6.0)


def test_an_example_says_on_what_it_rested_and_the_newest_come_first() -> None:
    log = Log()
    where = [{"field": "event.amount", "op": "at_least", "value": 5}]
    who = [{"any": [{"field": "profile.tier", "op": "is", "value": "gold"}, {"field": "profile.n", "op": "exists"}]}]
    rule = {**VISIT, "when": {"type": "event", "event": "visit", "where": where}, "who": who}
    rule["emit"] = {"trigger": "a.b", "include": {"sum": "event.amount"}}
    for number in range(5):
        data = {"amount": number + 5, "other": 1}
        log.event(START_MS + number, f"c{number}", "visit", data=data, profile={"tier": "gold", "secret": 1})
    newest, *rest = simulated(question(rule, examples=2), log.entries).examples()
    assert [each.customer_id for each in rest] == ["c3"]
    assert (newest.customer_id, newest.event_id, newest.include) == ("c4", "e4", {"sum": 9})
    assert [(each.event_id, clock.to_ms(each.time)) for each in newest.events] == [("e4", START_MS + 4)]
    assert newest.values == {"event.amount": 9, "profile.tier": "gold", "profile.n": None}


def test_overlap_is_who_was_hit_by_both_within_a_day_in_either_order() -> None:
    log = Log()
    other = {**VISIT, "id": "any-purchase", "when": {"type": "event", "event": "purchase"}}
    for customer, apart_ms in (("before", -DAY_MS), ("after", DAY_MS), ("far", DAY_MS + 1), ("never", None)):
        log.event(START_MS + 5 * DAY_MS, customer, "visit")
        if apart_ms is not None:
            log.event(START_MS + 5 * DAY_MS + apart_ms, customer, "purchase")
    log.entries.sort(key=lambda entry: entry[0])
    # The numbers of the log's messages follow their order.
    entries: list[Entry] = [(at, unit, Message(message.value, [], message.key)) for at, unit, message in log.entries]
    made = simulated(question(VISIT, START_MS + 5 * DAY_MS, live=[other]), entries)
    [overlap] = made.report(1.0, 0).overlap
    assert (overlap.rule_id, overlap.customers, overlap.share, overlap.fires) == ("any-purchase", 2, 0.5, 2)


def test_what_one_live_rule_can_decide_from_the_event_alone_is_seen_by_another_that_waits() -> None:
    log = Log()
    waits = {**BASKET, "who": [{"field": "profile.tier", "op": "is", "value": "gold"}]}
    log.event(START_MS, "c1", "cart_add", profile={"tier": "basic"})
    log.event(START_MS + 1, "c1", "visit", profile={"tier": "gold"})
    log.marks(START_MS + 2 * HOUR_MS)
    made = simulated(question({**VISIT, "id": "tested"}, live=[VISIT, waits]), log.entries)
    found = {each.rule_id: each.customers for each in made.report(1.0, 0).overlap}
    assert found == {"any-visit": 1, "basket-left": 1}


def test_the_live_version_of_the_rule_itself_may_stand_beside_it() -> None:
    log = Log()
    log.event(START_MS, "c1", "visit")
    log.event(START_MS, "c2", "search")
    draft = {**VISIT, "when": {"type": "event", "event": "search"}}
    made = simulated(question(draft, START_MS, live=[VISIT]), log.entries)
    assert fired(made) == [("c2", "e1")]
    assert [(each.rule_id, each.customers) for each in made.report(1.0, 0).overlap] == [("any-visit", 0)]


def test_whoever_is_erased_leaves_no_state_no_timer_and_no_example() -> None:
    log = Log()
    log.event(START_MS, "gone", "cart_add")
    log.event(START_MS, "gone", "visit")
    log.event(START_MS + 1, "gone", ERASED)
    log.marks(START_MS + 2 * HOUR_MS)
    made = simulated(question(BASKET), log.entries)
    assert (fired(made), made.report(1.0, 0).customers_remembered) == ([], 0)
    made = simulated(question(VISIT), log.entries)
    assert (made.examples(), made.report(1.0, 0).fires) == ([], 1)


def test_what_is_not_an_event_is_counted_and_passed_over() -> None:
    log = Log()
    log.event(START_MS, "c1", "visit")
    [(at, unit, _)] = log.entries
    bodies = (b"{", b"[]", b'{"type":"visit"}', b"\xff")
    broken: list[Entry] = [(at, unit, Message(body, [])) for body in bodies]
    made = simulated(question(VISIT), [*broken, *log.entries])
    assert (made.undecodable, len(fired(made))) == (4, 1)


def test_timers_fire_in_the_order_of_due_and_key_and_a_moved_one_once() -> None:
    timers = Timers()
    timers.put([Due("b", 5, b""), Due("a", 5, b""), Due("c", 1, b""), Due("d", 9, b"")])
    timers.put([Due("c", 7, b"")])
    timers.cancel(["nobody", "d"])
    assert [each.key for each in timers.pop(6, 500)] == ["a", "b"]
    assert [each.key for each in timers.pop(9, 500)] == ["c"]
    assert (len(timers), timers.pop(99, 500)) == (0, [])


@pytest.mark.parametrize(
    ("when", "more", "days"),
    [
        (VISIT["when"], {}, 8),
        (VISIT["when"], {"time": {"accept_late": "1d"}}, 2),
        ({"type": "measure", "measure": THRICE, "reaches": 3}, {}, 11),
        ({"type": "measure", "measure": {**THRICE, "over": {"last": "30d", "skip": "10d"}}, "reaches": 3}, {}, 48),
        ({"type": "measure", "measure": {**THRICE, "over": {"calendar": "quarter"}}, "reaches": 3}, {}, 100),
        ({"type": "absence", "after": {"event": "a"}, "no": {"event": "b"}, "for": "2w"}, {}, 22),
        (VISIT["when"], {"who": [{"not": {"measure": THRICE, "op": "is", "value": 1}}]}, 11),
        (VISIT["when"], {"limits": {"cooldown": "1y"}}, 8),
        ({"type": "date", "field": "profile.birthday"}, {}, None),
        ({"type": "deviation", "measure": THRICE, "against": {"periods": 4}, "by_percent": 5}, {}, None),
        (VISIT["when"], {"who": [{"any": [{"in_segment": "vip"}]}]}, None),
    ],
)
def test_reading_begins_as_far_back_as_the_rule_looks(when: Any, more: Document, days: int | None) -> None:
    rule = msgspec.convert({**VISIT, "when": when, **more}, Rule)
    assert reach_ms(rule, in_force_before=False) == (None if days is None else days * DAY_MS)


def test_reading_begins_as_far_back_as_limits_look_where_the_rule_was_in_force() -> None:
    lengths = Counter({"1y": 366, "20d": 20})
    for cooldown, days in lengths.items():
        rule = msgspec.convert({**VISIT, "limits": {"cooldown": cooldown}}, Rule)
        assert reach_ms(rule, in_force_before=True) == (days + 8) * DAY_MS
    once = msgspec.convert({**VISIT, "limits": {"repeat": "once"}}, Rule)
    assert reach_ms(once, in_force_before=True) is None


def test_the_report_says_how_far_back_the_log_reached() -> None:
    log = Log()
    log.event(START_MS, "c1", "visit")
    made = simulated(question(VISIT, START_MS), log.entries)
    wanted = clock.from_ms(START_MS - 8 * DAY_MS)
    whole = made.report(1.0, START_MS - 9 * DAY_MS)
    assert (whole.warm_up.wanted, whole.warm_up.complete, whole.warnings) == (wanted, True, [])
    short = made.report(1.0, START_MS - DAY_MS)
    assert not short.warm_up.complete and "later than the rule looks back" in short.warnings[0]
    assert "after the period has begun" in made.report(1.0, START_MS + 1).warnings[0]

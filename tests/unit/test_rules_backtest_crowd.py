"""Are customers counted once each: people, exactly where they are few and nearly where they are many?"""

from __future__ import annotations

import json

from services.rules.backtest.crowd import KEPT_MAX, Crowd
from services.rules.backtest.interest import opening, person_of
from tests.backtest_log import START_MS, VISIT, Log, question, simulated


def counted(count: int, times: int = 1) -> int:
    crowd = Crowd()
    for _ in range(times):
        for number in range(count):
            crowd.add(f"customer-{number}")
    return crowd.count()


def test_few_are_counted_exactly_however_often_they_come() -> None:
    assert counted(0) == 0
    assert counted(1_000, times=3) == 1_000


def test_many_are_counted_within_two_percent() -> None:
    many = 4 * KEPT_MAX
    assert abs(counted(many) - many) < 0.02 * many


def test_those_seen_are_people_as_those_hit_are() -> None:
    log = Log()
    for record in ("c1", "c2"):
        log.event(START_MS, record, "visit", person="c1", linked=["c1", "c2"])
    log.event(START_MS, "c3", "search")
    report = simulated(question(VISIT, START_MS), log.entries).report(1.0, 0)
    assert (report.customers, report.customers_seen) == (1, 2)


def test_flagged_traffic_is_nobody_who_was_seen() -> None:
    log = Log()
    log.event(START_MS, "c1", "visit", traffic="bot")
    log.event(START_MS, "c2", "visit", data={"traffic": "much"})
    report = simulated(question(VISIT, START_MS), log.entries).report(1.0, 0)
    assert (report.customers, report.customers_seen) == (1, 1)


def test_who_is_behind_an_event_is_told_whatever_its_bytes_look_like() -> None:
    log = Log()
    log.event(START_MS, "record", "visit", person="p", id='x","person_id":"other')
    [(_, _, message)] = log.entries
    plain = message.value or b""
    moved = json.dumps(dict(reversed(json.loads(plain).items()))).encode()
    assert [person_of(opening(each), each) for each in (plain, moved)] == [b"p", b"p"]
    for each in (b"{", b"[]", b"\xff", b'{"person_id":"p","traffic":"bot"}', b'{"person_id":"p","everyone":true}'):
        assert person_of(opening(each), each) is None

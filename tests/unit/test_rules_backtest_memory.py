"""Is what a backtest remembers bounded, whatever its states are made of?"""

from __future__ import annotations

import tracemalloc

import pytest

from services.rules.backtest import memory
from services.rules.backtest.memory import MemoryFull, States
from services.rules.backtest.simulation import Simulation
from services.rules.engine.state import Aggregate
from tests.backtest_log import DAY_MS, START_MS, VISIT, Log, question

BOUND = 4 << 20


def remember_a_year(held: States, customer: str) -> None:
    """A count on each of 365 days, which is what takes most room for its packed bytes."""
    held.own(customer).aggregates = {1: Aggregate(1 << 60, {20_000 + day: [1] for day in range(365)}, 20_000)}


def test_memory_is_bounded_and_says_so() -> None:
    log = Log()
    for number in range(400):
        log.event(START_MS + number, f"c{number}", "visit")
    rule = {**VISIT, "limits": {"repeat": "once"}}
    made = Simulation(question(rule), 2, 100_000)
    with pytest.raises(MemoryFull, match="customers than 0 MB hold"):
        for at, unit, message in log.entries:
            made.take([(at, unit, (message,))])
    assert made.report(1.0, 0).fires > 10, "what was counted until then can be told"


def test_states_with_a_year_of_days_stay_within_the_bound() -> None:
    held = States(BOUND)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            remember_a_year(held, f"c{number}")
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    held.settle(START_MS)
    assert (len(held), len(held.look("c0").aggregates[1].panes)) == (500, 365)
    assert peak < BOUND, "and that between two calls of settle"


def test_a_state_that_grows_is_weighed_again() -> None:
    held = States(BOUND)
    held.own("c1")
    held.settle(START_MS)
    empty = held.bytes
    remember_a_year(held, "c1")
    held.settle(START_MS)
    assert held.bytes - empty > 40_000, "a year of days takes more than this"
    held.forget("c1")
    assert held.bytes == 0


def test_what_has_ended_is_dropped_before_memory_is_called_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "UNPACKED_SHARE", 0)
    held, kept = States(30_000), []
    for number in range(1_000):
        own = held.own(f"c{number}")
        own.was_seen(number, START_MS + number * DAY_MS)
        held.settle(START_MS + number * DAY_MS)
        kept.append(len(held))
    assert max(kept) < 150

"""Does a backtest tell whom an event without a person would have reached, at its instant?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from libs.common.topics import everyone_of, partition_of
from services.rules.backtest.simulation import Simulation
from services.rules.engine import audience, firing
from tests.backtest_log import DAY_MS, HOUR_MS, START_MS, UNITS, Log, fired, question, simulated

CLOSING: dict[str, Any] = {
    "id": "branch-closing",
    "name": "Their branch closes",
    "when": {"type": "event", "event": "branch_closing"},
    "who": [
        {"field": "profile.favourite_branch", "op": "is", "field_value": "event.branch"},
        {"field": "profile.grade", "op": "is", "value": "gold"},
    ],
    "limits": {"cooldown": "7d"},
    "emit": {"trigger": "branch.closing", "reason": "service"},
}
NEW = {"first_seen_at": {"was": None, "now": "2026-01-01"}}


def seen(log: Log, at_ms: int, customer: str, branch: str, grade: str = "gold", **more: Any) -> None:
    profile = {"favourite_branch": branch, "grade": grade}
    log.event(at_ms, customer, "visit", profile=profile, changed=more.pop("changed", NEW), **more)


def closes(log: Log, at_ms: int, branch: str, id: str = "", **more: Any) -> None:
    for unit in range(UNITS):
        key = everyone_of(unit, UNITS)
        log.event(at_ms, key, "branch_closing", id=id or f"closing-{branch}-{at_ms}", data={"branch": branch},
                  everyone=True, **more)  # fmt: skip


def hits(log: Log, **asked: Any) -> list[tuple[str, str]]:
    return fired(simulated(question(CLOSING, **asked), log.entries))


def customers(count: int) -> list[str]:
    names = [f"c{number}" for number in range(count)]
    assert {partition_of(each.encode(), UNITS) for each in names} == set(range(UNITS))
    return names


def test_everybody_of_every_partition_whom_it_concerns_then_is_hit() -> None:
    log = Log()
    for at, name in enumerate(customers(8)):
        seen(log, START_MS + at, name, "gangnam" if at % 2 else "jongno", "gold" if at != 3 else "basic")
    closes(log, START_MS + DAY_MS, "gangnam", id="e")
    # Who comes only afterwards, and who goes elsewhere afterwards.
    seen(log, START_MS + 2 * DAY_MS, "late", "gangnam")
    seen(log, START_MS + 2 * DAY_MS, "c1", "jongno", changed={"favourite_branch": {"was": "gangnam", "now": "jongno"}})
    assert hits(log) == [("c1", "e"), ("c5", "e"), ("c7", "e")]


def test_the_profile_as_last_seen_decides_though_nothing_in_that_event_met_the_rule() -> None:
    log = Log()
    seen(log, START_MS, "c1", "gangnam")
    seen(log, START_MS + HOUR_MS, "c1", "jongno", changed={})
    closes(log, START_MS + DAY_MS, "gangnam")
    closes(log, START_MS + DAY_MS + 1, "jongno", id="e")
    assert hits(log) == [("c1", "e")]


def test_limits_hold_over_events_and_history_and_who_is_gone_are_left_alone() -> None:
    log = Log()
    seen(log, START_MS, "c1", "gangnam")
    seen(log, START_MS, "c2", "gangnam")
    log.event(START_MS + 1, "c2", "profile.erased")
    closes(log, START_MS + HOUR_MS, "gangnam", id="old", history=True)
    closes(log, START_MS + DAY_MS, "gangnam", id="first")
    closes(log, START_MS + 3 * DAY_MS, "gangnam", id="too-soon")
    closes(log, START_MS + 9 * DAY_MS, "gangnam", id="second")
    assert hits(log) == [("c1", "first"), ("c1", "second")]


def test_before_the_period_customers_are_known_and_nothing_fires() -> None:
    log = Log()
    seen(log, START_MS, "c1", "gangnam")
    closes(log, START_MS + DAY_MS, "gangnam", id="before")
    closes(log, START_MS + 3 * DAY_MS, "gangnam", id="within")
    assert hits(log, since_ms=START_MS + 2 * DAY_MS) == [("c1", "within")]


def test_of_a_person_with_two_records_one_is_hit() -> None:
    log = Log()
    linked: dict[str, Any] = {"linked": ["c1", "c2"], "person": "c1"}
    for name in ("c1", "c2"):
        seen(log, START_MS, name, "gangnam", **linked)
    closes(log, START_MS + DAY_MS, "gangnam")
    assert len(hits(log)) == 1


def test_at_an_event_of_everybody_it_says_again_and_again_that_it_is_alive() -> None:
    log = Log()
    for name in (f"c{number}" for number in range(1_000)):
        seen(log, START_MS, name, "gangnam")
    closes(log, START_MS + DAY_MS, "gangnam")
    heard: list[None] = []
    made = Simulation(question(CLOSING), UNITS, 1 << 30, lambda: heard.append(None))
    made.take([(at, unit, (message,)) for at, unit, message in log.entries])
    assert len(heard) >= 10 and len(fired(made)) == 1_000


def test_a_profile_is_decoded_once_for_all_rules_that_an_event_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    log, decoded = Log(), list[bytes]()
    seen(log, START_MS, "c1", "gangnam")
    made = simulated(question(CLOSING, live=[CLOSING | {"id": f"rule-{number}"} for number in range(5)]), log.entries)

    def counted(raw: msgspec.Raw) -> Mapping[str, Any]:
        decoded.append(bytes(raw))
        return firing.profile_of(raw)

    monkeypatch.setattr(audience, "profile_of", counted)
    before = len(log.entries)
    closes(log, START_MS + DAY_MS, "gangnam")
    made.take([(at, unit, (message,)) for at, unit, message in log.entries[before:]])
    assert len(decoded) == 2, "once for the rule in question, and once for the five beside it"
    assert len(fired(made)) == 1

"""Does a backtest tell whom an event without a person would have reached, at its instant?"""

from __future__ import annotations

from typing import Any

from libs.common.topics import everyone_of, partition_of
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

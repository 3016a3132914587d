"""Is it known for whom something waits, without asking twice and without knowing everybody?"""

from __future__ import annotations

from typing import Any

from libs.common.db import Tx
from services.rules.waiting import Waiting


class Table(Tx):
    """Answers for the table, and notes about whom it was asked."""

    def __init__(self, waiting: set[str]) -> None:
        super().__init__(None)
        self.rows = waiting
        self.asked: list[str] = []

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        self.asked += values[0]
        return [{"customer_id": each} for each in values[0] if each in self.rows]


async def test_each_customer_is_asked_about_once() -> None:
    table, waiting = Table({"a"}), Waiting()
    for _ in range(3):
        await waiting.learn(table, {"a", "b"})
    assert ("a" in waiting, "b" in waiting) == (True, False)
    assert sorted(table.asked) == ["a", "b"]


async def test_whoever_saves_a_state_says_so() -> None:
    table, waiting = Table({"a"}), Waiting()
    waiting.note("b", True)
    await waiting.learn(table, {"a", "b"})
    waiting.note("a", False)
    assert ("a" in waiting, "b" in waiting) == (False, True)
    assert table.asked == ["a"]


async def test_of_very_many_the_oldest_are_forgotten_and_nobody_who_is_asked_about() -> None:
    table, waiting = Table({"c1", "c99"}), Waiting(known_max=10)
    for number in range(100):
        await waiting.learn(table, {"c1", f"c{number}"})
        assert "c1" in waiting
        assert (f"c{number}" in waiting) is (number in (1, 99))
    assert len(waiting._known) <= 20

"""Are customers counted once each, exactly where they are few and nearly where they are many?"""

from __future__ import annotations

from services.rules.backtest.crowd import KEPT_MAX, Crowd


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

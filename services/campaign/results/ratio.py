"""Did as many fall into each group as were meant to? If not, no comparison of the groups means anything. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from services.campaign.results.distributions import chi_square_tail

ALARM_BELOW = 0.001
"""So small, since the question is asked of every campaign every day (Fabijan et al. 2019 use 0.0005 to 0.001)."""


class RatioCheck(Struct, frozen=True):
    """`p_value` is the probability of shares as far from the plan as these, were the plan followed."""

    p_value: float
    expected: tuple[float, ...]

    @property
    def fails(self) -> bool:
        return self.p_value < ALARM_BELOW


def check(counts: Sequence[int], planned: Sequence[float]) -> RatioCheck:
    """`planned` are weights of any scale. ValueError where they are not one positive weight for each group."""
    if len(counts) != len(planned) or not planned or any(weight <= 0 for weight in planned):
        raise ValueError("each group needs one positive weight")
    total, weights = sum(counts), sum(planned)
    expected = tuple(total * weight / weights for weight in planned)
    if not total or len(counts) < 2:
        return RatioCheck(1.0, expected)
    value = sum((count - meant) ** 2 / meant for count, meant in zip(counts, expected, strict=True))
    return RatioCheck(chi_square_tail(value, len(counts) - 1), expected)

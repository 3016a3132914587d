"""Did it work where it was tried in some branches and not in others? Matched controls and their difference. Pure.

Customers of one branch have its weather, its staff and its neighbours in common, so it is branches that are counted,
not customers: intervals come from drawing whole branches anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from random import Random

from msgspec import Struct

from services.campaign.results.intervals import CONFIDENCE, Interval

DRAWS = 2_000
LEAST_BRANCHES = 4
"""Of each side; with fewer there is nothing to draw from, and no interval is given."""


class Branch(Struct, frozen=True):
    """A branch's figure per customer (or per day) before the campaign and during it."""

    id: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def difference_in_differences(
    treated: Sequence[Branch], control: Sequence[Branch], confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """How much more the treated changed than the others, with the percentile interval of resampled branches.

    What both sides have in common before, and what changes for both, falls out (Card and Krueger 1994).
    """
    if not treated or not control:
        return Interval(0.0, -inf, inf)
    changes, beside = [each.change for each in treated], [each.change for each in control]
    found = _mean(changes) - _mean(beside)
    if min(len(changes), len(beside)) < LEAST_BRANCHES:
        return Interval(found, -inf, inf)
    chance = Random(seed)
    drawn = sorted(
        _mean(chance.choices(changes, k=len(changes))) - _mean(chance.choices(beside, k=len(beside)))
        for _ in range(DRAWS)
    )
    outside = (1 - confidence) / 2
    return Interval(found, drawn[int(outside * DRAWS)], drawn[min(DRAWS - 1, int((1 - outside) * DRAWS))])


def match(
    treated: Mapping[str, Sequence[float]], candidates: Mapping[str, Sequence[float]]
) -> tuple[dict[str, str], dict[str, float]]:
    """For each treated branch the control that was most like it before: both as figures of the same days or weeks.

    Nearest pairs first, each control once; the distance is the root of the mean squared difference. Ties go by id,
    so that the same history always gives the same pairs. Returns the pairs and their distances; a treated branch
    for which no control is left is in neither.
    """
    near = sorted(
        (_distance(series, other), branch, candidate)
        for branch, series in treated.items()
        for candidate, other in candidates.items()
        if candidate not in treated and len(series) == len(other) and series
    )
    pairs: dict[str, str] = {}
    distances: dict[str, float] = {}
    taken: set[str] = set()
    for distance, branch, candidate in near:
        if branch not in pairs and candidate not in taken:
            pairs[branch], distances[branch] = candidate, distance
            taken.add(candidate)
    return pairs, distances


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / len(one))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

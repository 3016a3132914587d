"""How sure is a share, a mean, and the difference of two? Intervals from totals alone. Pure.

Nothing here needs the single customers: a group is told by how many there are and by the sum and the sum of squares
of what they did, which a database adds up.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

from msgspec import Struct

from services.campaign.results.distributions import normal_quantile, student_quantile

CONFIDENCE = 0.95


class Interval(Struct, frozen=True):
    """An estimate and where the truth lies with the stated confidence; open sides are infinite."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


class Sample(Struct, frozen=True):
    """`count` customers, and the sum and the sum of squares of one figure over all of them, zeros included.

    For a share the figure is 1 for whoever did it and 0 for the others, so that both sums are the number who did.
    """

    count: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of the figure among customers, with n - 1."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.total / self.count) / (self.count - 1))


def share(hits: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Of a share: Wilson's score interval (1927). Holds for few and for none; all of [0, 1] where nobody is."""
    if count <= 0:
        return Interval(0.0, 0.0, 1.0)
    z = _z(confidence)
    p = hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Interval(p, max(0.0, middle - reach) if hits else 0.0, min(1.0, middle + reach) if hits < count else 1.0)


def difference_of_shares(
    hits: int, count: int, hits_beside: int, count_beside: int, confidence: float = CONFIDENCE
) -> Interval:
    """Of the first share over the second: Newcombe's hybrid score interval (1998, his method 10)."""
    one, other = share(hits, count, confidence), share(hits_beside, count_beside, confidence)
    found = one.estimate - other.estimate
    low = found - sqrt((one.estimate - one.low) ** 2 + (other.high - other.estimate) ** 2)
    high = found + sqrt((one.high - one.estimate) ** 2 + (other.estimate - other.low) ** 2)
    return Interval(found, max(-1.0, low), min(1.0, high))


def ratio_of_shares(
    hits: int, count: int, hits_beside: int, count_beside: int, confidence: float = CONFIDENCE
) -> Interval:
    """Of the first share by the second, by the logarithm of the ratio (Katz 1978); open where one side has nobody."""
    if not hits_beside or not count or not count_beside:
        return Interval(inf if hits else 0.0, 0.0, inf)
    if not hits:
        return Interval(0.0, 0.0, share(0, count, confidence).high / (hits_beside / count_beside))
    ratio = (hits / count) / (hits_beside / count_beside)
    reach = _z(confidence) * sqrt(1 / hits - 1 / count + 1 / hits_beside - 1 / count_beside)
    return Interval(ratio, exp(log(ratio) - reach), exp(log(ratio) + reach))


def difference_of_means(one: Sample, other: Sample, confidence: float = CONFIDENCE) -> Interval:
    """Of the first mean over the second, for unequal variances (Welch 1947, Satterthwaite's degrees of freedom)."""
    found = one.mean - other.mean
    if one.count < 2 or other.count < 2:
        return Interval(found, -inf, inf)
    first, second = one.variance / one.count, other.variance / other.count
    error = first + second
    if not error:
        # Everybody did the same: nothing varies, so nothing says how much chance could have done.
        return Interval(found, -inf, inf) if found else Interval(0.0, 0.0, 0.0)
    freedom = error**2 / (first**2 / (one.count - 1) + second**2 / (other.count - 1))
    reach = student_quantile((1 + confidence) / 2, freedom) * sqrt(error)
    return Interval(found, found - reach, found + reach)


def _z(confidence: float) -> float:
    return normal_quantile((1 + confidence) / 2)

"""What can be said of a test that is looked at every day? An interval that holds at all times at once. Pure.

An interval for one look is wrong far more often than it says when somebody looks until it suits him. The mixture
sequential ratio (Robbins 1970; for comparisons of running tests Johari, Pekelis and Walsh 2015) gives one that may be
looked at after each customer: the chance that the truth is ever outside is what it says, whenever one stops.
"""

from __future__ import annotations

from math import inf, log, sqrt

from services.campaign.results.intervals import CONFIDENCE, Interval, Sample

LEAST_PER_GROUP = 30
"""Below so many customers in a group the mean is not yet normal, and nothing is claimed."""
_TUNING = 8.2
"""Makes (1 + x) / x * (2 ln(1/a) + ln(1 + x)) least for a = 0.05, x being the tuned variance over the error's."""


def difference(one: Sample, other: Sample, confidence: float = CONFIDENCE, planned_total: int = 10_000) -> Interval:
    """Of the first mean over the second, valid at every look.

    `planned_total` is about how many customers the test will have: the interval is tightest there and holds for any
    number. It must be fixed before the test begins.
    """
    found = one.mean - other.mean
    if min(one.count, other.count) < LEAST_PER_GROUP:
        return Interval(found, -inf, inf)
    error = one.variance / one.count + other.variance / other.count
    if not error:
        return Interval(found, -inf, inf)
    mixing = _mixing_variance(error, one.count + other.count, planned_total)
    alpha = 1 - confidence
    reach = sqrt(error * (error + mixing) / mixing * (2 * log(1 / alpha) + log((error + mixing) / error)))
    return Interval(found, found - reach, found + reach)


def _mixing_variance(error: float, seen: int, planned_total: int) -> float:
    """The spread of effects that the interval is tuned for: about what can be told apart at the planned size.

    It depends on the variance of one customer alone, which does not change while the test runs, and on the plan.
    """
    per_customer = error * seen
    return per_customer / planned_total * _TUNING

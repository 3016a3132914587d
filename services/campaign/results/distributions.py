"""Where do the quantiles and tail areas come from? From scipy, which is loaded when the first report is asked for.

It takes half a second and some fifty megabytes, which a process that only decides never pays.
"""

from __future__ import annotations

from statistics import NormalDist

_NORMAL = NormalDist()


def normal_quantile(probability: float) -> float:
    return _NORMAL.inv_cdf(probability)


def student_quantile(probability: float, degrees_of_freedom: float) -> float:
    from scipy import special

    return float(special.stdtrit(degrees_of_freedom, probability))


def chi_square_tail(value: float, degrees_of_freedom: int) -> float:
    """The probability of a larger value."""
    from scipy import special

    return float(special.chdtrc(degrees_of_freedom, value))

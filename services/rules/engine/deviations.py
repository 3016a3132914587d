"""Is a measure far from what it used to be for this very customer? Pure.

The window is compared with the windows of the same length before it. Those from before the customer's first event that
counts say nothing of their habits and are left out; for a count and a sum, one in which nothing happened stands for 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from services.rules.document.language import DeviationWhen
from services.rules.engine import spans
from services.rules.engine.aggregates import Gauge
from services.rules.engine.conditions import MICROS
from services.rules.engine.snapshot import CompiledRule
from services.rules.engine.state import State


class Comparison(NamedTuple):
    """`met` says whether the value is as far from the baseline as the rule asks."""

    value: float
    baseline: float
    met: bool


def compare(rule: CompiledRule, gauge: Gauge, views: Sequence[State], pane: int) -> Comparison | None:
    """As of a pane; None where there is no value or too little to compare it with."""
    when = rule.when
    since = gauge.since(views)
    if since is None or rule.bounds is None or not isinstance(when, DeviationWhen):
        return None
    newest = gauge.newest(views, pane)
    if when.against.min_history is not None and newest - since < spans.panes_max(
        spans.parse(when.against.min_history), None
    ):
        return None
    windows = [rule.bounds(newest)]
    for _ in range(when.against.periods):
        windows.append(rule.bounds(windows[-1][0] - 1))
    value, *before = gauge.values(views, windows)
    known = [each for each, (first, _) in zip(before, windows[1:], strict=True) if each is not None and first >= since]
    if value is None or not known:
        return None
    middle = statistics.median if when.against.statistic == "median" else statistics.mean
    baseline = middle([_exact(each) for each in known])
    return Comparison(value, float(baseline), _is_far(when, _exact(value), baseline))


def _exact(value: float) -> Fraction:
    """Measures are kept in millionths, so "to half" is met by exactly half."""
    return Fraction(round(value * MICROS), MICROS)


def _is_far(when: DeviationWhen, value: Fraction, baseline: Fraction) -> bool:
    if baseline <= 0:
        return False
    percent = Fraction(str(when.by_percent))
    return (
        value * 100 <= baseline * (100 - percent)
        if when.direction == "drop"
        else (value * 100 >= baseline * (100 + percent))
    )

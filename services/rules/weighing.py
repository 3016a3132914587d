"""What is in a measure's window now, until when, and what is missing? Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.rules import spans, wording
from services.rules.aggregates import Gauge
from services.rules.language import Measure
from services.rules.state import State

AHEAD_MAX = 800
"""No window is longer, in panes."""
PANES_SHOWN_MAX = 100
_ADDING = ("count", "sum", "distinct")


@dataclass(frozen=True)
class Pane:
    """A day, or an hour, minute or second by its beginning; `leaves` is the first one in which it counts no more."""

    pane: str
    worth: float | None
    leaves: str | None


@dataclass(frozen=True)
class Weighed:
    """`reach_by` is the last pane in which what is `missing` now would still be enough; None for no such end.

    `falls_below` is the first pane in which a value that is high enough now will not be, if nothing happens.
    """

    value: float | None
    wanted: float
    missing: float | None
    begins: str
    ends: str
    panes: list[Pane] = field(default_factory=list)
    reach_by: str | None = None
    falls_below: str | None = None
    detail: str = ""


def weigh(
    gauge: Gauge,
    measure: Measure,
    bounds: spans.Bounds,
    views: Sequence[State],
    now_pane: int,
    wanted: float,
    effect: str = "would fire it",
) -> Weighed:
    """As of a pane, by the very panes that the engine adds up; `effect` is what happens when it is reached."""
    known = sorted({pane for view in views if (each := view.aggregates.get(gauge.key)) for pane in each.panes})
    newest = max([now_pane, *known[-1:]])
    value = gauge.value(views, bounds, newest)
    first, last = bounds(newest)
    ahead = _Ahead(gauge, bounds, views, newest, known)
    reached = value is not None and value >= wanted
    by = None if reached or gauge.function not in _ADDING else ahead.last_with(value or 0)
    falls = ahead.first_below(wanted) if reached else None
    missing = None if reached else wanted - (value or 0)
    within = [pane for pane in known if first <= pane <= last][-PANES_SHOWN_MAX:]
    found = Weighed(
        value,
        wanted,
        missing,
        _said(first, gauge),
        _said(last, gauge),
        [Pane(_said(at, gauge), _worth(gauge, views, at), _maybe(ahead.leaves(at), gauge)) for at in within],
        _maybe(by, gauge),
        _maybe(falls, gauge),
    )
    return Weighed(**{**vars(found), "detail": _detail(found, measure, effect)})


class _Ahead:
    """What the window will hold in later panes, if nothing more happens."""

    def __init__(
        self, gauge: Gauge, bounds: spans.Bounds, views: Sequence[State], newest: int, known: Sequence[int]
    ) -> None:
        # A measure that holds nothing will hold nothing.
        ahead = range(newest, newest + AHEAD_MAX + 1) if known else ()
        self._windows = [(pane, *bounds(pane)) for pane in ahead]
        self._values: list[tuple[int, float | None]] = []
        held = (-1, -1)
        for pane, first, last in self._windows:
            within = bisect_left(known, first), bisect_right(known, last)
            if within != held:
                held = within
                value = gauge.value(views, lambda _, of=(first, last): of, pane)  # type: ignore[misc]
                self._values.append((pane, value))

    def last_with(self, value: float) -> int | None:
        fallen = next((pane for pane, each in self._values if (each or 0) < value), None)
        return None if fallen is None else fallen - 1

    def first_below(self, wanted: float) -> int | None:
        return next((pane for pane, each in self._values if each is None or each < wanted), None)

    def leaves(self, at: int) -> int | None:
        return next((pane for pane, first, last in self._windows if not first <= at <= last), None)


def _worth(gauge: Gauge, views: Sequence[State], at: int) -> float | None:
    return gauge.value(views, lambda _: (at, at), at)


def _said(pane: int, gauge: Gauge) -> str:
    return wording.pane(pane, gauge.pane_size)


def _maybe(pane: int | None, gauge: Gauge) -> str | None:
    return None if pane is None else _said(pane, gauge)


def _detail(found: Weighed, measure: Measure, effect: str) -> str:
    where = wording.window(measure.over)
    if measure.of == "count":
        text = f"{wording.number(found.value)} of {wording.number(found.wanted)} {measure.event} events in {where}"
    else:
        value = wording.number(found.value)
        text = f"{wording.measure(measure)} is {value} in {where}, of {wording.number(found.wanted)}"
    if found.missing is None:
        return text if found.falls_below is None else f"{text}; less than that from {found.falls_below} on"
    if measure.of not in _ADDING:
        return text
    more = "one" if found.missing == 1 else wording.number(found.missing)
    by = "" if found.reach_by is None else f" by {found.reach_by}"
    return f"{text}; {more} more{by} {effect}"

"""What is in a measure's window now, until when, and what is missing? Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.rules.document.language import Measure
from services.rules.engine import spans
from services.rules.engine.aggregates import Gauge, value_of
from services.rules.engine.state import State
from services.rules.explaining import wording

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
    looks_ahead: bool = True,
) -> Weighed:
    """As of a pane, by the very panes that the engine adds up; `effect` is what happens when it is reached."""
    panes = _panes(gauge, views)
    newest = max([now_pane, *list(panes)[-1:]])
    first, last = bounds(newest)
    ahead = _Ahead(gauge.function, bounds, panes, newest, AHEAD_MAX if looks_ahead else 0)
    value = ahead.values[0][1]
    reached = value is not None and value >= wanted
    by = None if reached or gauge.function not in _ADDING else ahead.last_with(value or 0)
    falls = ahead.first_below(wanted) if reached else None
    missing = None if reached else wanted - (value or 0)
    within = [pane for pane in panes if first <= pane <= last][-PANES_SHOWN_MAX:]
    found = Weighed(
        value,
        wanted,
        missing,
        _said(first, gauge),
        _said(last, gauge),
        [Pane(_said(at, gauge), value_of(gauge.function, panes[at]), _maybe(ahead.leaves(at), gauge)) for at in within],
        _maybe(by, gauge),
        _maybe(falls, gauge),
    )
    return Weighed(**{**vars(found), "detail": _detail(found, measure, effect)})


_Parts = list[list[int]]


def _panes(gauge: Gauge, views: Sequence[State]) -> dict[int, _Parts]:
    """What each pane holds in all views, the oldest first."""
    held = [each.panes for view in views if (each := view.aggregates.get(gauge.key))]
    found: dict[int, _Parts] = {}
    for pane in sorted({pane for each in held for pane in each}):
        found[pane] = [part for panes in held if (part := panes.get(pane)) is not None]
    return found


class _Ahead:
    """What the window holds, and will hold in later panes if nothing more happens."""

    def __init__(
        self, function: str, bounds: spans.Bounds, panes: Mapping[int, _Parts], newest: int, ahead: int
    ) -> None:
        known = list(panes)
        # A measure that holds nothing will hold nothing.
        later = range(newest, newest + (ahead if known else 0) + 1)
        self._windows = [(pane, *bounds(pane)) for pane in later]
        self.values: list[tuple[int, float | None]] = []
        parts, held = list(panes.values()), (-1, -1)
        window = _Different(parts) if function == "distinct" else _Listed(function, parts)
        for pane, first, last in self._windows:
            within = bisect_left(known, first), bisect_right(known, last)
            if within != held:
                held = within
                self.values.append((pane, window.moved(*within)))

    def last_with(self, value: float) -> int | None:
        fallen = next((pane for pane, each in self.values if (each or 0) < value), None)
        return None if fallen is None else fallen - 1

    def first_below(self, wanted: float) -> int | None:
        return next((pane for pane, each in self.values if each is None or each < wanted), None)

    def leaves(self, at: int) -> int | None:
        return next((pane for pane, first, last in self._windows if not first <= at <= last), None)


class _Listed:
    """Each window is added up, or looked through, anew: of each pane there is but one part."""

    def __init__(self, function: str, panes: Sequence[_Parts]) -> None:
        self._function = function
        self._panes = [_joined(function, parts) for parts in panes]

    def moved(self, begin: int, end: int) -> float | None:
        return value_of(self._function, self._panes[begin:end])


def _joined(function: str, parts: _Parts) -> list[int]:
    if function in ("min", "max", "last"):
        return min(parts) if function == "min" else max(parts)
    return [sum(column) for column in zip(*parts, strict=True)]


class _Different:
    """Both ends of the window only move on: what comes in is counted, and what leaves is counted off."""

    def __init__(self, panes: Sequence[_Parts]) -> None:
        self._panes = panes
        self._begin = self._end = 0
        self._times: Counter[int] = Counter()

    def moved(self, begin: int, end: int) -> float | None:
        for parts in self._panes[self._end : end]:
            for part in parts:
                self._times.update(part)
        for parts in self._panes[self._begin : begin]:
            for value in (each for part in parts for each in part):
                self._times[value] -= 1
                if not self._times[value]:
                    del self._times[value]
        self._begin, self._end = begin, end
        return len(self._times)


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

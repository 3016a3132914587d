"""What is a measure worth now? Panes that accept late events, shared by all rules that ask the same. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.rules.document.language import Measure, Rule
from services.rules.document.segments import Segment
from services.rules.engine import spans
from services.rules.engine.conditions import MICROS, MICROS_MAX, Getter, Odd, micros, nobody_asks, path_getter
from services.rules.engine.state import DAY_MS, Aggregate, State, digest

DISTINCT_PER_PANE_MAX = 1_000
# An event may come this much later than a newer one and still find what is known of its window.
LATE_MS = 35 * DAY_MS


class Gauge:
    """One shared aggregate: what is added up, in panes of which size. `panes_kept` grows with its users'
    windows.
    """

    __slots__ = ("function", "getter", "ignore_late_ms", "key", "odd", "pane_size", "panes_kept", "zone_name")

    def __init__(self, measure: Measure, rule: Rule | Segment, ignore_late_ms: int | None) -> None:
        over = measure.over
        last = None if over.last is None else spans.parse(over.last)
        self.function = measure.of
        self.pane_size = "d" if last is None else spans.pane_size(last.unit)
        self.zone_name = rule.time.zone if self.pane_size == "d" else "UTC"
        self.ignore_late_ms = ignore_late_ms
        self.odd: Odd = nobody_asks
        self.getter: Getter | None = None
        if measure.field is not None:
            self.getter = path_getter(measure.field.split(".")[1:])
        self.panes_kept = 0
        where = msgspec.json.encode(measure.where, order="deterministic").decode()
        self.key = digest(
            "aggregate",
            measure.event,
            where,
            measure.field,
            measure.of,
            self.pane_size,
            self.zone_name,
            ignore_late_ms,
        )

    def widen(self, measure: Measure, periods: int = 1) -> None:
        """Keep what a window of the measure reaches back to, or as many of them in a row."""
        over = measure.over
        last = None if over.last is None else spans.parse(over.last)
        skip = None if over.skip is None else spans.parse(over.skip)
        self.panes_kept = max(self.panes_kept, periods * spans.panes_max(last, skip))

    def pane_at(self, instant: datetime, zone: ZoneInfo) -> int:
        return spans.pane_of(instant, self.pane_size, zone)

    def add(self, state: State, pane: int, time_ms: int, subject: dict[str, Any]) -> None:
        """Put an event into its pane; one that lacks the field, or has it in another type, counts for
        nothing.
        """
        parts = self._parts(time_ms, subject)
        if not parts:
            if self.getter is not None and self.getter(subject) not in (None, []):
                self.odd()
            return
        held = state.aggregates.get(self.key)
        if held is None:
            held = state.aggregates[self.key] = Aggregate()
        held.since = pane if held.since is None else min(held.since, pane)
        newest = max(pane, max(held.panes, default=pane))
        # A window never ends before the newest pane, so nothing that lies further back can be asked for again.
        oldest = newest - self.panes_kept + 1
        if pane < oldest:
            return
        merge = _MERGE[self.function]
        for part in parts:
            now = held.panes.get(pane)
            held.panes[pane] = part if now is None else merge(now, part)
        for old in [each for each in held.panes if each < oldest]:
            del held.panes[old]
        held.until_ms = spans.pane_end_ms(newest + self.panes_kept, self.pane_size) + LATE_MS

    def _parts(self, time_ms: int, subject: dict[str, Any]) -> list[list[int]]:
        if self.getter is None:
            return [[1]]
        value = self.getter(subject)
        values = value if value.__class__ is list else [value]
        if self.function == "distinct":
            return [[digest(each)] for each in values if each is not None and each.__class__ is not dict]
        amounts = [amount for each in values if (amount := micros(each)) is not None]
        if self.function == "average":
            return [[amount, 1] for amount in amounts]
        if self.function == "last":
            return [[time_ms, amount] for amount in amounts]
        return [[amount] for amount in amounts]

    def value(self, views: Iterable[State], bounds: spans.Bounds, pane: int) -> float | None:
        """The measure over the window that ends in `pane`, or in a newer one that is known already.

        None where there is nothing to average or to compare.
        """
        held = [each for view in views if (each := view.aggregates.get(self.key)) is not None]
        newest = max([pane, *(max(each.panes, default=pane) for each in held)])
        first, last = bounds(newest)
        parts = [part for each in held for at, part in each.panes.items() if first <= at <= last]
        return value_of(self.function, parts)

    def values(self, views: Iterable[State], windows: Sequence[tuple[int, int]]) -> list[float | None]:
        """The measure over each of some windows of panes."""
        held = [each for view in views if (each := view.aggregates.get(self.key)) is not None]
        found: list[list[list[int]]] = [[] for _ in windows]
        for each in held:
            for at, part in each.panes.items():
                for parts, (first, last) in zip(found, windows, strict=True):
                    if first <= at <= last:
                        parts.append(part)
        return [value_of(self.function, parts) for parts in found]

    def newest(self, views: Iterable[State], pane: int) -> int:
        """The newest pane that is known, at least `pane`."""
        held = [each for view in views if (each := view.aggregates.get(self.key)) is not None]
        return max([pane, *(max(each.panes, default=pane) for each in held)])

    def since(self, views: Iterable[State]) -> int | None:
        """The oldest pane that ever counted."""
        held = [each for view in views if (each := view.aggregates.get(self.key)) is not None]
        return min((each.since for each in held if each.since is not None), default=None)


def value_of(function: str, parts: Sequence[list[int]]) -> float | None:
    """What the parts of panes come to together."""
    if function == "count":
        return sum(part[0] for part in parts)
    if function == "sum":
        return sum(part[0] for part in parts) / MICROS
    if function == "distinct":
        return len({each for part in parts for each in part})
    if not parts:
        return None
    if function == "average":
        return sum(part[0] for part in parts) / sum(part[1] for part in parts) / MICROS
    if function == "last":
        return max(parts)[1] / MICROS
    return (min(parts) if function == "min" else max(parts))[0] / MICROS


def _sum(now: list[int], part: list[int]) -> list[int]:
    added = [max(-MICROS_MAX, min(MICROS_MAX, one + other)) for one, other in zip(now, part, strict=True)]
    return added


def _distinct(now: list[int], part: list[int]) -> list[int]:
    if part[0] in now or len(now) >= DISTINCT_PER_PANE_MAX:
        return now
    return [*now, part[0]]


_MERGE: dict[str, Callable[[list[int], list[int]], list[int]]] = {
    "count": _sum,
    "sum": _sum,
    "average": _sum,
    "min": min,
    "max": max,
    "last": max,
    "distinct": _distinct,
}


def bounds_of(measure: Measure) -> spans.Bounds:
    over = measure.over
    if over.calendar is not None:
        return spans.window_of_calendar(over.calendar)
    assert over.last is not None
    return spans.window_of_last(spans.parse(over.last), None if over.skip is None else spans.parse(over.skip))

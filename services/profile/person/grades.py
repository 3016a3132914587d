"""Which grade has a customer earned? By what they spent within so many days, kept for a while after it falls short.

It follows from the panes of two years alone. What would need older ones, such as since when a grade is held that was
reached before, is left open instead of guessed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, Final, NamedTuple

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.keeping import written
from services.profile.person.measure_terms import Grade, Grades
from services.profile.person.panes import KEPT_DAYS, Amount, Series, exact, plus
from services.profile.person.purchases import newest_day, runs_of, series_of

_HISTORY_MAX: Final = 20


class Step(NamedTuple):
    """The grade from a day (ordinal) on, as its place on the ladder; 0 is none, 1 the lowest."""

    day: int
    place: int


def _levels(series: Series, window_days: int) -> list[tuple[int, Amount]]:
    """What was spent within the window, from each day on which that changed."""
    days = series.days
    totals: list[Amount] = [0, *accumulate(series.sums)]
    found: list[tuple[int, Amount]] = []
    entered = left = 0
    while left < len(days):
        gone = days[left] + window_days
        day = min(days[entered], gone) if entered < len(days) else gone
        if entered < len(days) and days[entered] == day:
            entered += 1
        if day == gone:
            left += 1
        found.append((day, totals[entered] - totals[left]))
    return found


def _spans(levels: list[tuple[int, Amount]], least: float, keeps_days: int) -> Iterator[tuple[int, int]]:
    """First and last days on which a grade is held; they may overlap. At the end of the levels nothing is left."""
    began = 0
    for day, amount in levels:
        if amount >= least:
            began = began or day
        elif began:
            yield began, day - 1 + keeps_days
            began = 0


def _held(books: Mapping[str, Series], terms: Grades) -> Iterator[tuple[int, int, int]]:
    """First and last days on which each grade is held, with its place."""
    for currency, series in books.items():
        days, sums = series.days, series.sums
        if not days:
            continue
        steady = min(sums) >= 0
        gross = sum(sums) if steady else sum(each for each in sums if each > 0)
        levels: dict[int, list[tuple[int, Amount]]] = {}
        for place, grade in enumerate(terms.ladder, 1):
            least, window_days = grade.spend_min.get(currency), grade.window_days
            if least is None or gross < least:
                continue
            if steady and days[-1] - days[0] < window_days:
                yield (*_span(series, least, grade), place)
                continue
            if window_days not in levels:
                levels[window_days] = _levels(series, window_days)
            for first, last in _spans(levels[window_days], least, grade.keeps_days):
                yield first, last, place


def _span(series: Series, least: float, grade: Grade) -> tuple[int, int]:
    """Where all was spent within one window and nothing given back: it is reached once and falls short once."""
    totals = list(accumulate(series.sums))
    reached = bisect_left(totals, exact(least))
    short = bisect_right(totals, plus(totals[-1], -exact(least)))
    return series.days[reached], series.days[short] + grade.window_days - 1 + grade.keeps_days


def steps(books: Mapping[str, Series], terms: Grades) -> list[Step]:
    """When the grade changed and will change if nothing happens; before the first of them there is none."""
    spans = list(_held(books, terms))
    found: list[Step] = []
    place = 0
    for day in sorted({day for first, last, _ in spans for day in (first, last + 1)}):
        before, place = place, max((high for first, last, high in spans if first <= day <= last), default=0)
        if place != before:
            found.append(Step(day, place))
    return found


def _split(records: Records, at: Moment) -> tuple[list[Step], list[Step], int]:
    """The steps until the day and those after it, and the first day of which is known what held before."""
    terms, books = at.definitions.grades, series_of(records)
    found = steps(books, terms)
    if not found:
        return [], [], 0
    newest = newest_day(books)
    now = bisect_right(found, (max(at.day, newest), len(terms.ladder)))
    reach = max(grade.window_days + grade.keeps_days for grade in terms.ladder)
    kept_since = newest - KEPT_DAYS
    runs = runs_of(records)
    return found[:now], found[now:], 0 if not runs or runs[0] > kept_since else kept_since + reach


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    past, _, known_since = _split(records, at)
    if not past or not past[-1].place:
        return {}
    now = past[-1]
    seen: dict[str, Any] = {"grade": at.definitions.grades.ladder[now.place - 1].name}
    if now.day >= known_since:
        seen["grade_since"] = written(now.day)
    return seen


def _due(records: Records, at: Moment) -> int | None:
    _, coming, _ = _split(records, at)
    return coming[0].day if coming else None


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    past, coming, known_since = _split(records, at)
    names = [None, *(grade.name for grade in at.definitions.grades.ladder)]
    known = [each for each in past if each.day >= known_since]
    return {
        "grade": names[past[-1].place] if past else None,
        "since": written(past[-1].day) if past and past[-1].day >= known_since else None,
        "next": {"grade": names[coming[0].place], "on": written(coming[0].day)} if coming else None,
        "history": [{"grade": names[each.place], "since": written(each.day)} for each in known[-_HISTORY_MAX:]],
    }


GRADES = Chapter(
    "grade",
    reads=("purchases",),
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=lambda name: name in ("grade", "grade_since"),
)

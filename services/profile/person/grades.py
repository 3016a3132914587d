"""Which grade has a customer earned? By what they spent within so many days, kept for a while after it falls short.

It follows from the panes of two years alone. What would need older ones, such as since when a grade is held that was
reached before, is left open instead of guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.keeping import written
from services.profile.person.measure_terms import Grade
from services.profile.person.purchases import newest_day, runs_of, series_of
from services.profile.person.reaching import Window, first_day, last_day, turns
from services.profile.person.series import KEPT_DAYS, least_units, read

_HISTORY_MAX: Final = 20
_LEAP_DAYS_MIN: Final = 20
"""Shorter leaps lead no faster to where a grade was reached than halving does."""


class Step(NamedTuple):
    """The grade from a day (ordinal) on, as its place on the ladder; 0 is none, 1 the lowest."""

    day: int
    place: int


class _Rung:
    """A grade that somebody may have reached: on which days, and from when to when it is held then."""

    __slots__ = ("_asked", "_end", "_keeps_days", "place")

    def __init__(self, place: int, grade: Grade, asked: list[tuple[Window, int]]) -> None:
        self.place, self._keeps_days, self._asked = place, grade.keeps_days, asked
        self._end = max([window.end for window, _ in asked])

    def _is_reached(self, first: int, last: int) -> bool | None:
        found: bool | None = False
        for window, asked in self._asked:
            least, most = window.spent(first, last)
            if least >= asked:
                return True
            if most >= asked:
                found = None
        return found

    def _is_missed(self, first: int, last: int) -> bool | None:
        found = self._is_reached(first, last)
        return None if found is None else not found

    def held_by(self, day: int) -> int:
        """The last day on which it was reached, when it is held on a day; else 0."""
        return day if self._is_reached(day, day) else last_day(self._is_reached, day - self._keeps_days, day - 1)

    def free_since(self, day: int, begin: int) -> int:
        """From which day on it is not held until one on which it is not; `begin` where that is earlier."""
        return max(begin, last_day(self._is_reached, begin - self._keeps_days, day) + self._keeps_days + 1)

    def held_since(self, day: int, begin: int) -> int:
        """From which day on it is held until one on which it is reached; `begin` where that is earlier."""
        while missed := self._missed_before(day, begin):
            day = last_day(self._is_reached, missed - self._keeps_days, missed - 1)
            if not day:
                return missed + 1
        return begin

    def _missed_before(self, day: int, begin: int) -> int:
        """The last day on which it was not reached, before one on which it is; 0 for none since `begin`."""
        leap = _LEAP_DAYS_MIN
        while leap >= _LEAP_DAYS_MIN:
            since = min([window.enough_since(day, asked) for window, asked in self._asked])
            leap, day = day - since, min(day, since)
        if day <= begin:
            return 0
        return last_day(self._is_missed, day - 1, day - 1) or last_day(self._is_missed, begin, day - 2)

    def reached_next(self, day: int) -> int:
        """The first day after one on which it is reached, if nothing happens; 0 for none."""
        return first_day(self._is_reached, day + 1, self._end)

    def held_until(self, day: int) -> int:
        """The last day on which it is held after one on which it is reached, if nothing happens."""
        while True:
            missed = self._missed_after(day)
            day = self._reached_after(missed, missed + self._keeps_days)
            if not day:
                return missed - 1 + self._keeps_days

    def _missed_after(self, day: int) -> int:
        window, asked = self._asked[0]
        if len(self._asked) == 1 and day >= window.newest:
            return turns(window.book, window.length, day, asked, inf)
        return first_day(self._is_missed, day + 1, self._end)

    def _reached_after(self, day: int, until: int) -> int:
        window, asked = self._asked[0]
        if len(self._asked) == 1 and day >= window.newest:
            found = turns(window.book, window.length, day, -inf, asked)
            return found if found <= until else 0
        return first_day(self._is_reached, day + 1, until)


class _Seen(NamedTuple):
    """The grades that somebody can have reached, the highest first, and the last day on which anything happened.

    `known_since` is the first day of which is known what held before.
    """

    rungs: Sequence[_Rung]
    newest: int
    known_since: int


def _seen(records: Records, at: Moment) -> _Seen | None:
    """None for somebody who can have reached no grade."""
    books, ladder = series_of(records), at.definitions.grades.ladder
    asked: dict[int, list[tuple[Window, int]]] = {}
    for currency, book in books.items():
        most = int(book.units) + int(book.back)
        for place, grade in enumerate(ladder, 1):
            amount = grade.spend_min.get(currency)
            if amount is not None and most >= (least := least_units((amount,), book.scale)[0]):
                asked.setdefault(place, []).append((Window(book, grade.window_days), least))
    if not asked:
        return None
    rungs = [_Rung(place, ladder[place - 1], asked[place]) for place in sorted(asked, reverse=True)]
    newest, runs = newest_day(books), runs_of(records)
    known_since = newest - KEPT_DAYS
    if not runs or runs[0] > known_since:
        known_since = min([read(book.days)[0] for book in books.values()])
    else:
        known_since += max([grade.window_days + grade.keeps_days for grade in ladder])
    return _Seen(rungs, newest, known_since)


def _now(seen: _Seen, day: int) -> tuple[_Rung, int] | None:
    """The grade that is held on a day, and the last day on which it was reached."""
    for rung in seen.rungs:
        if reached := rung.held_by(day):
            return rung, reached
    return None


def _since(seen: _Seen, now: _Rung, day: int, reached: int) -> int:
    """From which day on it is held; where that is longer ago than is known, the day before all that is known."""
    begin = seen.known_since - 1
    higher = [rung.free_since(day, begin) for rung in seen.rungs if rung.place > now.place]
    return max(now.held_since(reached, begin), *higher, begin)


def _next_day(seen: _Seen, now: tuple[_Rung, int] | None, day: int) -> int | None:
    """The first day after this one on which another grade is held, or none."""
    place, days = 0, []
    if now is not None:
        rung, reached = now
        place, days = rung.place, [rung.held_until(reached) + 1]
    days += [rung.reached_next(day) for rung in seen.rungs if rung.place > place]
    return min([each for each in days if each], default=None)


def _steps(seen: _Seen) -> Iterator[Step]:
    """When the grade changed and will change if nothing happens, as far back as it is known."""
    day: int | None = seen.known_since - 1
    now = _now(seen, seen.known_since - 1)
    while day is not None and (day := _next_day(seen, now, day)) is not None:
        now = _now(seen, day)
        yield Step(day, now[0].place if now is not None else 0)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    seen = _seen(records, at)
    if seen is None:
        return {}
    day = max(at.day, seen.newest)
    if (now := _now(seen, day)) is None:
        return {}
    rung, reached = now
    name, since = at.definitions.grades.ladder[rung.place - 1].name, _since(seen, rung, day, reached)
    return {"grade": name, "grade_since": written(since)} if since >= seen.known_since else {"grade": name}


def _due(records: Records, at: Moment) -> int | None:
    seen = _seen(records, at)
    if seen is None:
        return None
    day = max(at.day, seen.newest)
    return _next_day(seen, _now(seen, day), day)


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    seen = _seen(records, at)
    if seen is None:
        return {"grade": None, "since": None, "next": None, "history": []}
    names = [None, *(grade.name for grade in at.definitions.grades.ladder)]
    day, steps = max(at.day, seen.newest), list(_steps(seen))
    past, coming = ([each for each in steps if (each.day <= day) is gone] for gone in (True, False))
    now = _now(seen, day)
    return {
        "grade": names[now[0].place] if now is not None else None,
        "since": written(past[-1].day) if past else None,
        "next": {"grade": names[coming[0].place], "on": written(coming[0].day)} if coming else None,
        "history": [{"grade": names[each.place], "since": written(each.day)} for each in past[-_HISTORY_MAX:]],
    }


GRADES = Chapter(
    "grade",
    reads=("purchases",),
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=lambda name: name in ("grade", "grade_since"),
)

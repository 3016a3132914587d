"""On which days was so much spent within a window? Looked for by halves and leaps: a long history costs little."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final

from services.profile.person.series import Series, read

Test = Callable[[int, int], bool | None]
"""Whether something is so on each of these days (first and last), or on none; None where that is not certain.

Of one day it is.
"""


class Window:
    """What was spent in one currency within the last so many days, in units.

    Between two days the sum of all that was ever spent may have been lower or higher than on either of them, by no
    more than what came off meanwhile.
    """

    __slots__ = ("_back", "_backs", "_days", "_size", "_sums", "_units", "book", "end", "length", "newest")

    def __init__(self, book: Series, length: int) -> None:
        self.book, self.length = book, length
        self._days, self._sums, self._backs = read(book.days), read(book.sums, book.width), read(book.backs, book.width)
        self._units, self._back = int(book.units), int(book.back)
        self._size = len(self._days)
        self.newest: Final[int] = self._days[-1]
        self.end: Final[int] = self.newest + length
        """The first day on which nothing is left of it."""

    def spent(self, first: int, last: int) -> tuple[int, int]:
        """No less and no more than this was it on any of these days; of one day it is exact."""
        days, sums, size, units = self._days, self._sums, self._size, self._units
        gone, going = bisect_right(days, first - self.length), bisect_right(days, last - self.length)
        come, coming = bisect_right(days, first, gone), bisect_right(days, last, going)
        least = (sums[come] if come < size else units) - (sums[going] if going < size else units)
        most = (sums[coming] if coming < size else units) - (sums[gone] if gone < size else units)
        if self._back and (gone != going or come != coming):
            off = self._came_off(come, coming) + self._came_off(gone, going)
            return least - off, most + off
        return least, most

    def _came_off(self, first: int, last: int) -> int:
        backs, size, back = self._backs, self._size, self._back
        return (backs[last] if last < size else back) - (backs[first] if first < size else back)

    def enough_since(self, day: int, asked: int) -> int:
        """A day from which on until this one it was so much all the time; a later one where that is not certain."""
        days, sums, backs, size = self._days, self._sums, self._backs, self._size
        gone = bisect_right(days, day - self.length)
        if gone == size:
            return day + 1
        wanted = asked + sums[gone]
        if not self._back:
            place = bisect_left(sums, wanted)
            return days[place - 1] if place < size or self._units >= wanted else day + 1
        wanted += backs[gone] - backs[0] + self._back
        place = bisect_left(range(size), wanted, key=lambda each: sums[each] + backs[each])
        return days[place - 1] if place < size or self._units + self._back >= wanted else day + 1


def turns(book: Series, length: int, day: int, low: float, high: float) -> int:
    """The first day on which less than `low` or no less than `high` of a window is left; 0 for none.

    It is looked for after a day that is not before the newest one, when nothing can come any more.
    """
    days, sums = read(book.days), read(book.sums, book.width)
    size, units, gone = len(days), int(book.units), bisect_right(days, day - length)
    if gone == size:
        return 0
    if not book.back:
        return days[bisect_right(sums, units - low, gone + 1) - 1] + length if low > 0 else 0
    backs, back = read(book.backs, book.width), int(book.back)

    def turn(first: int, last: int) -> int:
        least, off = (units - sums[last], backs[last]) if last < size else (0, back)
        most, off = (units - sums[first], off - backs[first]) if first < size else (0, 0)
        if low <= least - off and most + off < high:
            return 0
        if first == last:
            return first
        middle = (first + last) // 2
        return turn(first, middle) or turn(middle + 1, last)

    place = turn(gone + 1, size)
    return days[place - 1] + length if place else 0


def first_day(test: Test, first: int, last: int) -> int:
    """The first of these days on which it is so; 0 for none."""
    if first > last:
        return 0
    found = test(first, last)
    if found is not None:
        return first if found else 0
    middle = (first + last) // 2
    return first_day(test, first, middle) or first_day(test, middle + 1, last)


def last_day(test: Test, first: int, last: int) -> int:
    """The last of these days on which it is so; 0 for none."""
    if first > last:
        return 0
    found = test(first, last)
    if found is not None:
        return last if found else 0
    middle = (first + last) // 2
    return last_day(test, middle + 1, last) or last_day(test, first, middle)

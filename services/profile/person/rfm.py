"""How recently, how often and for how much does a customer buy? Three cells from 1 to 5, as defined."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from math import inf
from typing import Any, Final

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.measure_terms import Rfm
from services.profile.person.purchases import newest_day, runs_of, series_of
from services.profile.person.reaching import turns
from services.profile.person.series import Series, last, least_units, read

_LOWEST: Final = 1
_HIGHEST: Final = 5


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    runs = runs_of(records)
    if not runs:
        return {}
    terms, books = at.definitions.rfm, series_of(records)
    newest = newest_day(books, at.day)
    bought = worth = 0
    for currency, book in books.items():
        count, units = last(book, newest, terms.window_days)
        bought += count
        if (amounts := terms.monetary.get(currency)) is not None:
            worth = max(worth, bisect_right(least_units(amounts, book.scale), units))
    recency = _HIGHEST - bisect_right(terms.recency_days, newest - runs[-1])
    frequency, monetary = _LOWEST + bisect_right(terms.frequency, bought), _LOWEST + worth
    return {
        "rfm_cell": f"{recency}{frequency}{monetary}",
        "rfm_recency": recency,
        "rfm_frequency": frequency,
        "rfm_monetary": monetary,
    }


def _due(records: Records, at: Moment) -> int | None:
    runs = runs_of(records)
    if not runs:
        return None
    terms, books = at.definitions.rfm, series_of(records)
    newest = newest_day(books, at.day)
    silent = bisect_right(terms.recency_days, newest - runs[-1])
    fades = 0 if silent == len(terms.recency_days) else runs[-1] + terms.recency_days[silent]
    if len(books) == 1:
        [(currency, book)] = books.items()
        falls = _falls(book, terms.monetary.get(currency, ()), newest, terms)
    else:
        falls = [_rarer(books, newest, terms), _otherwise_worth(books, newest, terms)]
    return min([day for day in (fades, *falls) if day], default=None)


def _falls(book: Series, amounts: tuple[float, ...], newest: int, terms: Rfm) -> list[int]:
    """In one currency: when there are too few purchases left for a cell, and when too little money."""
    days, counts, length = read(book.days), read(book.counts), terms.window_days
    gone, found = bisect_right(days, newest - length), []
    if gone == len(days):
        return []
    if cell := bisect_right(terms.frequency, book.count - counts[gone]):
        found.append(days[bisect_right(counts, book.count - terms.frequency[cell - 1], gone + 1) - 1] + length)
    _, until = _worth(book, amounts, newest, length)
    return [*found, until]


def _worth(book: Series, amounts: tuple[float, ...], day: int, length: int) -> tuple[int, int]:
    """The cell of one currency on a day, and the first day on which what leaves makes it another; 0 for none."""
    steps = least_units(amounts, book.scale)
    _, units = last(book, day, length)
    cell = bisect_right(steps, units)
    low, high = steps[cell - 1] if cell else -inf, steps[cell] if cell < len(steps) else inf
    return cell, turns(book, length, day, low, high)


def _rarer(books: Mapping[str, Series], newest: int, terms: Rfm) -> int:
    """The first day after `newest` on which too few purchases in all currencies are left for a cell; 0 for none."""
    length = terms.window_days

    def bought(day: int) -> int:
        return sum([last(book, day, length)[0] for book in books.values()])

    cell = bisect_right(terms.frequency, bought(newest))
    if not cell:
        return 0
    least = terms.frequency[cell - 1]
    return bisect_left(range(newest + length + 1), True, newest + 1, key=lambda day: bought(day) < least)


def _otherwise_worth(books: Mapping[str, Series], newest: int, terms: Rfm) -> int:
    """The first day after `newest` on which what leaves moves the best cell of all currencies; 0 for none."""

    def worth(currency: str, day: int) -> tuple[int, int]:
        return _worth(books[currency], terms.monetary[currency], day, terms.window_days)

    worths = {currency: worth(currency, newest) for currency in books if currency in terms.monetary}
    now = max([cell for cell, _ in worths.values()], default=0)
    while days := [until for _, until in worths.values() if until]:
        day = min(days)
        worths |= {currency: worth(currency, day) for currency, (_, until) in worths.items() if until == day}
        if max([cell for cell, _ in worths.values()]) != now:
            return day
    return 0


_FIELDS: Final = frozenset(("rfm_cell", "rfm_recency", "rfm_frequency", "rfm_monetary"))

RFM = Chapter(
    "rfm",
    reads=("purchases",),
    fields=_fields,
    due=_due,
    reserved=_FIELDS.__contains__,
)

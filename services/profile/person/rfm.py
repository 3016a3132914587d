"""How recently, how often and for how much does a customer buy? Three cells from 1 to 5, as defined."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.measure_terms import Rfm
from services.profile.person.panes import Amount, Series, exact, plus, within
from services.profile.person.purchases import newest_day, runs_of, series_of

_LOWEST: Final = 1
_HIGHEST: Final = 5


class _Window:
    """What was bought within the window, by currency, and the cells that follow from it."""

    def __init__(self, books: Mapping[str, Series], newest: int, terms: Rfm) -> None:
        self._terms = terms
        self._count = 0
        self._amounts: dict[str, Amount] = {}
        for currency, series in books.items():
            [(count, amount)] = within(series, newest, (terms.window_days,))
            self._count += count
            if currency in terms.monetary:
                self._amounts[currency] = amount

    def lose(self, currency: str, count: int, amount: Amount) -> None:
        self._count -= count
        if currency in self._amounts:
            self._amounts[currency] = plus(self._amounts[currency], -amount)

    @property
    def cells(self) -> tuple[int, int]:
        """Frequency, and the best of the currencies."""
        worth = [bisect_right(self._terms.monetary[name], amount) for name, amount in self._amounts.items()]
        return _LOWEST + bisect_right(self._terms.frequency, self._count), _LOWEST + max(worth, default=0)


def _recency(silence_days: int, terms: Rfm) -> int:
    return _HIGHEST - bisect_right(terms.recency_days, silence_days)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    runs = runs_of(records)
    if not runs:
        return {}
    terms, books = at.definitions.rfm, series_of(records)
    newest = max(at.day, newest_day(books))
    recency = _recency(newest - runs[-1], terms)
    frequency, monetary = _Window(books, newest, terms).cells
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
    newest = max(at.day, newest_day(books))
    silent = bisect_right(terms.recency_days, newest - runs[-1])
    fades = None if silent == len(terms.recency_days) else runs[-1] + terms.recency_days[silent]
    falls = _falls(books, newest, terms)
    return min((day for day in (fades, falls) if day is not None), default=None)


def _falls(books: Mapping[str, Series], newest: int, terms: Rfm) -> int | None:
    """The first day after `newest` on which what leaves the window moves a cell."""
    if len(books) == 1:
        [(currency, series)] = books.items()
        start = bisect_right(series.days, newest - terms.window_days)
        if start == len(series.days):
            return None
        if min(series.sums[start:]) >= 0:
            return _falls_steadily(series, start, terms.monetary.get(currency), terms)
    return _falls_somehow(books, newest, terms)


def _falls_steadily(series: Series, start: int, worth: Sequence[float] | None, terms: Rfm) -> int | None:
    """In one currency, and where nothing was given back: what is left only shrinks."""
    gone = len(series.days)
    leaving: tuple[tuple[Sequence[Amount], Sequence[float] | None], ...] = (
        (series.counts[start:], terms.frequency),
        (series.sums[start:], worth),
    )
    for left, steps in leaving:
        if steps is None:
            continue
        total = sum(left)
        cell = bisect_right(steps, total)
        if cell:
            gone = min(gone, start + bisect_right(list(accumulate(left)), plus(total, -exact(steps[cell - 1]))))
    return series.days[gone] + terms.window_days if gone < len(series.days) else None


def _falls_somehow(books: Mapping[str, Series], newest: int, terms: Rfm) -> int | None:
    window = _Window(books, newest, terms)
    now = window.cells
    leaving = sorted(
        (day + terms.window_days, currency, count, amount)
        for currency, series in books.items()
        for day, count, amount in zip(series.days, series.counts, series.sums, strict=True)
        if day > newest - terms.window_days
    )
    for at, (day, currency, count, amount) in enumerate(leaving):
        window.lose(currency, count, amount)
        last_of_day = at + 1 == len(leaving) or leaving[at + 1][0] > day
        if last_of_day and window.cells != now:
            return day
    return None


_FIELDS: Final = frozenset(("rfm_cell", "rfm_recency", "rfm_frequency", "rfm_monetary"))

RFM = Chapter(
    "rfm",
    reads=("purchases",),
    fields=_fields,
    due=_due,
    reserved=_FIELDS.__contains__,
)

"""What has a customer bought? Counts and sums over days and for ever, refunds netted, and where and what they prefer.

A refund counts on its own day, whatever order it names: the day on which money came back is what the books say too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person import panes, series
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.person.series import Amount, Series, amount_of, merged, within
from services.profile.statements import AMOUNT_MAX, money_of

WINDOWS_DAYS: Final = (7, 30, 90, 365)
UNPRICED: Final = ""
"""Stands for the currency of purchases without usable money."""

_CURRENCIES_MAX: Final = 24
_SMALLEST: Final = -9
_NANO: Final = Decimal("1e-9")
_PREFERENCES_SHOWN_MAX: Final = 10
_CURRENCY = re.compile(r"[A-Z]{3}")


class Purchases(Struct, array_like=True, gc=False):
    """`money` by currency (ISO 4217). `runs` are the days of purchases, flat, joined where they lie close together."""

    money: dict[str, Series] = {}
    refunds: int = 0
    first_ms: int = 0
    last_ms: int = 0
    runs: list[int] = []
    branches: dict[str, int] = {}
    channels: dict[str, int] = {}
    categories: dict[str, int] = {}

    @property
    def count(self) -> int:
        return sum(each.count for each in self.money.values())


def _purchased(held: Purchases, event: Occurrence, definitions: Definitions) -> bool:
    """Counts also without usable money: that something was bought is known."""
    if event.traffic:
        return False
    day, at_ms = definitions.day_of(event.at_ms), event.at_ms
    _add(held, event.data, day, 1)
    if not held.runs:
        held.first_ms = held.last_ms = at_ms
    elif at_ms > held.last_ms:
        held.last_ms = at_ms
    elif at_ms < held.first_ms:
        held.first_ms = at_ms
    panes.extend(held.runs, day)
    panes.tally(held.branches, event.branch)
    panes.tally(held.channels, event.channel)
    items = event.data.get("items")
    if isinstance(items, list):
        categories = set()
        for item in items:
            if isinstance(item, dict) and isinstance(category := item.get("category"), str):
                categories.add(category)
        for category in categories:
            panes.tally(held.categories, category)
    return True


def _refunded(held: Purchases, event: Occurrence, definitions: Definitions) -> bool:
    if event.traffic:
        return False
    held.refunds += 1
    _add(held, event.data, definitions.day_of(event.at_ms), 0)
    return True


def _add(held: Purchases, data: Mapping[str, Any], day: int, count: int) -> None:
    money = _money(data)
    if money is None:
        if not count:
            return
        money = UNPRICED, 0
    currency, amount = money
    book = held.money.get(currency)
    if book is None:
        if len(held.money) >= _CURRENCIES_MAX and not panes.make_room(held.money, currency):
            return
        book = held.money[currency] = Series()
    series.add(book, day, count, -amount if not count and amount > 0 else amount)


def _money(data: Mapping[str, Any]) -> tuple[str, Amount] | None:
    """As the statement says, but a whole amount as an integer; a billionth is the smallest part that counts."""
    amount, currency = data.get("amount"), data.get("currency")
    if (
        type(amount) is int
        and type(currency) is str
        and _CURRENCY.fullmatch(currency)
        and -AMOUNT_MAX <= amount <= AMOUNT_MAX
    ):
        return currency, amount
    found = money_of(data)
    if found is None:
        return None
    named, made = found
    if type(amount) is float and made.as_tuple().exponent < _SMALLEST:  # type: ignore[operator]
        made = made.quantize(_NANO)
    whole = int(made)
    return named, (whole if whole == made else made)


def all_purchases(records: Records) -> list[Purchases]:
    if len(records) == 1:
        only = records[0].purchases
        return [only] if only is not None else []
    return [each.purchases for each in records if each.purchases is not None]


def series_of(records: Records) -> dict[str, Series]:
    """Purchases of a person by currency, as one record would hold them; `UNPRICED` among them."""
    if len(records) == 1:
        return records[0].purchases.money if records[0].purchases is not None else {}
    held = all_purchases(records)
    if len(held) == 1:
        return held[0].money
    names = sorted({currency for each in held for currency in each.money})
    return {name: merged([each.money[name] for each in held if name in each.money]) for name in names}


def runs_of(records: Records) -> list[int]:
    """First and last days of runs of purchases, flat and ascending."""
    if len(records) == 1:
        return records[0].purchases.runs if records[0].purchases is not None else []
    held = [each.purchases.runs for each in records if each.purchases is not None and each.purchases.runs]
    return panes.joined(held) if held else []


def newest_day(books: Mapping[str, Series], day: int = 0) -> int:
    """The last day on which anything was bought or given back, or `day` where that is later."""
    for each in books.values():
        day = max(day, each.newest)
    return day


def spent(records: Records) -> dict[str, Decimal]:
    books = series_of(records)
    return {currency: Decimal(books[currency].total) for currency in sorted(books) if currency != UNPRICED}


class _Names(NamedTuple):
    spent: str
    windows: tuple[str, ...]
    basket_average: str


@lru_cache(maxsize=1024)
def _names(currency: str) -> _Names:
    short = currency.lower()
    windows = tuple([f"spent_{short}_{days}d" for days in WINDOWS_DAYS])
    return _Names(f"spent_{short}", windows, f"basket_average_{short}")


_PREFERRED: Final = ("branches", "channels", "categories")
_FAVOURITES: Final = ("favourite_branch", "favourite_channel", "favourite_category")
_COUNTS: Final = tuple([f"purchase_count_{days}d" for days in WINDOWS_DAYS])
_NOTHING: Final[Mapping[str, Any]] = {"purchase_count": 0, **dict.fromkeys(_COUNTS, 0)}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    held = all_purchases(records)
    seen = dict(_NOTHING)
    if not held:
        return seen
    books = series_of(records)
    newest = newest_day(books, at.day)
    for currency, book in books.items():
        found, count = within(book, newest, WINDOWS_DAYS), book.count
        seen["purchase_count"] += count
        for name, (bought, _) in zip(_COUNTS, found, strict=True):
            seen[name] += bought
        if currency != UNPRICED:
            unit, names = 10**book.scale, _names(currency)
            total = seen[names.spent] = int(book.units) / unit
            for name, (_, units) in zip(names.windows, found, strict=True):
                seen[name] = units / unit
            if count:
                seen[names.basket_average] = round(total / count, 2)
    _add_occasions(seen, held)
    return seen


def basket_average(book: Series) -> float:
    """Net of refunds, to the hundredth."""
    spent: float = int(book.units) / 10**book.scale
    return round(spent / book.count, 2)


def _add_occasions(seen: dict[str, Any], held: list[Purchases]) -> None:
    """First and last, and what is preferred."""
    bought = [each for each in held if each.runs]
    if not bought:
        return
    first, *others = bought
    first_ms, last_ms, preferences = first.first_ms, first.last_ms, (first.branches, first.channels, first.categories)
    if others:
        first_ms, last_ms = min([each.first_ms for each in bought]), max([each.last_ms for each in bought])
        preferences = _preferences(bought)
    seen["first_purchase_at"], seen["last_purchase_at"] = from_ms(first_ms), from_ms(last_ms)
    for name, counts in zip(_FAVOURITES, preferences, strict=True):
        if counts:
            seen[name] = panes.favourite(counts)


def _preferences(held: list[Purchases]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Counts by the name of the branch, of the channel, of the category."""
    if len(held) == 1:
        [one] = held
        return one.branches, one.channels, one.categories
    return (
        panes.tallied([each.branches for each in held]),
        panes.tallied([each.channels for each in held]),
        panes.tallied([each.categories for each in held]),
    )


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    held = all_purchases(records)
    books = series_of(records)
    newest = newest_day(books, at.day)
    last = max((each.last_ms for each in held if each.runs), default=None)
    return {
        "spent": {currency: str(total) for currency, total in spent(records).items()},
        "refund_count": sum(each.refunds for each in held),
        "days_since_purchase": None if last is None else max(0, at.day - at.definitions.day_of(last)),
        "currencies": {name: _account(books[name], newest) for name in sorted(books) if name != UNPRICED},
        "preferences": dict(zip(_PREFERRED, map(_ranked, _preferences(held)), strict=True)),
    }


def _account(book: Series, newest: int) -> dict[str, Any]:
    found = within(book, newest, WINDOWS_DAYS)
    windows = {
        f"{days}d": {"count": count, "spent": str(amount_of(units, book.scale))}
        for days, (count, units) in zip(WINDOWS_DAYS, found, strict=True)
    }
    average = basket_average(book) if book.count else None
    return {"count": book.count, "spent": str(book.total), "basket_average": average, "windows": windows}


def _ranked(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": name, "count": count} for name, count in ranked[:_PREFERENCES_SHOWN_MAX]]


_RESERVED = re.compile(
    r"purchase_count(_[0-9]+d)?|spent_[a-z]{3}(_[0-9]+d)?|basket_average_[a-z]{3}|(first|last)_purchase_at"
    r"|days_since_purchase|favourite_(branch|channel|category)"
)


def _reserved(name: str) -> bool:
    return _RESERVED.fullmatch(name) is not None


PURCHASES = Chapter(
    "purchases",
    reads=("purchases",),
    keeps="purchases",
    state=Purchases,
    effects={"purchase": _purchased, "refund": _refunded},
    fields=_fields,
    shown=_shown,
    reserved=_reserved,
    fades=True,
)

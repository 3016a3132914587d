"""What has a customer bought? Counts and sums over days and for ever, refunds netted, and where and what they prefer.

A refund counts on its own day, whatever order it names: the day on which money came back is what the books say too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person import panes
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.person.panes import Amount, Series
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
        for category in _categories(items):
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
    series = held.money.get(currency)
    if series is None:
        if len(held.money) >= _CURRENCIES_MAX and not panes.make_room(held.money, currency):
            return
        series = held.money[currency] = Series()
    panes.add(series, day, count, -amount if not count and amount > 0 else amount)


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


def _categories(items: Iterable[Any]) -> set[str]:
    found = (item.get("category") for item in items if isinstance(item, dict))
    return {each for each in found if isinstance(each, str)}


def all_purchases(records: Records) -> list[Purchases]:
    return [each.purchases for each in records if each.purchases is not None]


def series_of(records: Records) -> dict[str, Series]:
    """Purchases of a person by currency, as one record would hold them; `UNPRICED` among them."""
    held = all_purchases(records)
    if len(held) == 1:
        return held[0].money
    names = sorted({currency for each in held for currency in each.money})
    return {name: panes.merged([each.money[name] for each in held if name in each.money]) for name in names}


def runs_of(records: Records) -> list[int]:
    """First and last days of runs of purchases, flat and ascending."""
    held = [each.purchases.runs for each in records if each.purchases is not None and each.purchases.runs]
    return panes.joined(held) if held else []


def newest_day(books: Mapping[str, Series]) -> int:
    """The last day on which anything was bought or given back, 0 for none."""
    return max([each.days[-1] for each in books.values() if each.days], default=0)


def spent(records: Records) -> dict[str, Decimal]:
    books = series_of(records)
    return {currency: Decimal(books[currency].total) for currency in sorted(books) if currency != UNPRICED}


class _Names(NamedTuple):
    spent: str
    spent_within: tuple[str, ...]
    basket_average: str


@lru_cache(maxsize=1024)
def _names(currency: str) -> _Names:
    short = currency.lower()
    within = tuple(f"spent_{short}_{days}d" for days in WINDOWS_DAYS)
    return _Names(f"spent_{short}", within, f"basket_average_{short}")


_PREFERRED: Final = ("branches", "channels", "categories")
_FAVOURITES: Final = ("favourite_branch", "favourite_channel", "favourite_category")
_COUNTS: Final = tuple(f"purchase_count_{days}d" for days in WINDOWS_DAYS)
_NOTHING: Final[Mapping[str, Any]] = {"purchase_count": 0, **dict.fromkeys(_COUNTS, 0)}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    held = all_purchases(records)
    seen = dict(_NOTHING)
    if not held:
        return seen
    books = series_of(records)
    newest = max(at.day, newest_day(books))
    for currency, series in books.items():
        found = panes.within(series, newest, WINDOWS_DAYS)
        seen["purchase_count"] += series.count
        for name, (count, _) in zip(_COUNTS, found, strict=True):
            seen[name] += count
        if currency != UNPRICED:
            names = _names(currency)
            seen[names.spent] = float(series.total)
            for name, (_, amount) in zip(names.spent_within, found, strict=True):
                seen[name] = float(amount)
            if series.count:
                seen[names.basket_average] = basket_average(series)
    _add_occasions(seen, held)
    return seen


def basket_average(series: Series) -> float:
    """Net of refunds, to the hundredth."""
    return round(float(series.total) / series.count, 2)


def _add_occasions(seen: dict[str, Any], held: list[Purchases]) -> None:
    """First and last, and what is preferred."""
    bought = [each for each in held if each.runs]
    if not bought:
        return
    seen["first_purchase_at"] = from_ms(min([each.first_ms for each in bought]))
    seen["last_purchase_at"] = from_ms(max([each.last_ms for each in bought]))
    for name, counts in zip(_FAVOURITES, _preferences(bought), strict=True):
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
    newest = max(at.day, newest_day(books))
    last = max((each.last_ms for each in held if each.runs), default=None)
    return {
        "spent": {currency: str(total) for currency, total in spent(records).items()},
        "refund_count": sum(each.refunds for each in held),
        "days_since_purchase": None if last is None else max(0, at.day - at.definitions.day_of(last)),
        "currencies": {name: _account(books[name], newest) for name in sorted(books) if name != UNPRICED},
        "preferences": dict(zip(_PREFERRED, map(_ranked, _preferences(held)), strict=True)),
    }


def _account(series: Series, newest: int) -> dict[str, Any]:
    found = panes.within(series, newest, WINDOWS_DAYS)
    windows = {
        f"{days}d": {"count": count, "spent": str(amount)}
        for days, (count, amount) in zip(WINDOWS_DAYS, found, strict=True)
    }
    average = basket_average(series) if series.count else None
    return {"count": series.count, "spent": str(series.total), "basket_average": average, "windows": windows}


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

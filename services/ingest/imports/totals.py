"""Does a file hold what its sender counted? Pure: lines and sums of money, exact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Final

import msgspec
from msgspec import Struct

from services.ingest.imports.order import Order

CURRENCIES_MAX: Final = 50
_EXACT = Context(prec=200)
_AMOUNT = re.compile(r"-?\d{1,40}(\.\d{1,40})?\Z", re.ASCII)
_DIGITS_MAX = 40


class Found(Struct, frozen=True):
    """`amounts` are sums of `data.amount` by currency; `unread` counts amounts that are no numbers."""

    lines: int = 0
    amounts: dict[str, Decimal] = {}
    unread: int = 0


class _Money(Struct):
    amount: Decimal | None = None
    currency: str | None = None


class _Event(Struct):
    data: _Money | None = None


_DECODER = msgspec.json.Decoder(_Event)

Money = tuple[str, Decimal | None]
"""Currency and amount; None stands for an amount that is no number."""


def money_of(event: bytes) -> Money | None:
    """What an event says of money; None when it says nothing."""
    if b'"amount"' not in event:
        return None
    try:
        money = _DECODER.decode(event).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", None
    if money is None or money.amount is None:
        return None
    amount = money.amount
    if (
        not amount.is_finite()
        or abs(amount.adjusted()) > _DIGITS_MAX
        or len(amount.as_tuple().digits) > 2 * _DIGITS_MAX
    ):
        return money.currency or "", None
    return money.currency or "", amount


def money_in(amount: str, currency: str) -> Money:
    """The same of the fields of a sheet."""
    return currency, Decimal(amount) if _AMOUNT.match(amount) else None


class Sum:
    """Adds up in place, for as many currencies as there are in earnest."""

    def __init__(self, found: Found | None = None) -> None:
        found = found or Found()
        self.lines = found.lines
        self.amounts = dict(found.amounts)
        self.unread = found.unread

    def add(self, moneys: Iterable[Money]) -> None:
        for currency, amount in moneys:
            if amount is None or (currency not in self.amounts and len(self.amounts) >= CURRENCIES_MAX):
                self.unread += 1
            else:
                name = currency[:10]
                self.amounts[name] = _EXACT.add(self.amounts.get(name, Decimal(0)), amount)

    def found(self) -> Found:
        return Found(self.lines, dict(self.amounts), self.unread)


def disagreements(order: Order, found: Found) -> list[str]:
    """Sentences that say what was announced and what is there; none when all agrees."""
    return [*_of_lines(order, found), *_of_amounts(order.amounts, found)]


def _of_lines(order: Order, found: Found) -> Iterator[str]:
    if order.lines is not None and order.lines != found.lines:
        yield f"{order.lines} lines were announced and {found.lines} are there."


def _of_amounts(announced: Mapping[str, Decimal], found: Found) -> Iterator[str]:
    if not announced:
        return
    there = {name: amount for name, amount in found.amounts.items() if amount}
    if "" in announced and len(there) > 1:
        yield f"One sum was announced and there are sums in {', '.join(sorted(there))}; announce each."
        return
    if "" in announced:
        there = {"": next(iter(there.values()), Decimal(0))}
    for name in sorted(announced.keys() | there.keys()):
        expected, real = announced.get(name, Decimal(0)), there.get(name, Decimal(0))
        if expected != real:
            yield f"{expected:f} {name}".strip() + f" was announced and {real:f} is there."
    if found.unread:
        yield f"{found.unread} amounts are no numbers and are in no sum."

"""Which events do the lines of a table make? Pure: lines of one basket become one purchase or one refund."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from deploy.local.failure import StackFailure
from deploy.replay.mapping import Mapping as ColumnMapping

OPEN_LINES = 5_000
"""How many lines later a basket is taken to be complete: its lines need not stand side by side."""
NAMES_MAX = 480
"""The door takes events with up to 512 names in them. A longer basket leaves items out, never money."""

Row = Mapping[str, Any]


class UnusableLine(StackFailure):
    """A line that says nothing sensible; the text says which and why."""


@dataclass(slots=True)
class Basket:
    """`first_line` and `last_line` count from 0; `time` is that of the first line, with an offset."""

    name: str
    time: datetime
    first_line: int
    last_line: int
    total: Decimal = Decimal(0)
    lines: int = 0
    identifiers: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    branch: str = ""
    seen: set[tuple[Any, ...]] = field(default_factory=set)


def baskets(rows: Iterable[tuple[int, Row]], mapping: ColumnMapping) -> Iterator[tuple[Basket, int]]:
    """Each basket when it is complete, with the first line of all that are not: everything before it is done."""
    held: dict[str, Basket] = {}
    for number, row in rows:
        name = _text(row.get(mapping.columns.basket))
        if not name:
            raise UnusableLine(f"line {number + 1}: the column {mapping.columns.basket} is empty")
        # The order of `held` is that of the last line, so the oldest are in front.
        basket = held.pop(name, None) or Basket(name, time_of(row, number, mapping), number, number)
        held[name] = basket
        _add(basket, number, row, mapping)
        while (oldest := next(iter(held.values()))).last_line < number - OPEN_LINES:
            del held[oldest.name]
            yield oldest, min((each.first_line for each in held.values()), default=number)
    while held:
        oldest = held.pop(next(iter(held)))
        yield oldest, min((each.first_line for each in held.values()), default=oldest.last_line + 1)


def event(basket: Basket, mapping: ColumnMapping) -> dict[str, Any]:
    """The channel event at its own time. The sum is exact: decimals as text."""
    refund = basket.total < 0 or (not basket.total and is_refund_by_name(basket.name, mapping))
    data = {"amount": format(abs(basket.total), "f"), "currency": mapping.currency, "order": basket.name}
    made: dict[str, Any] = {
        "id": mapping.id.replace("{basket}", basket.name),
        "source": mapping.source,
        "channel": mapping.channel,
        "type": "refund" if refund else "purchase",
        "time": basket.time.isoformat(),
        "identifiers": basket.identifiers,
        "data": {**basket.data, **data, "lines": basket.lines, "items": basket.items},
    }
    return {**made, "branch": basket.branch} if basket.branch else made


def is_refund_by_name(name: str, mapping: ColumnMapping) -> bool:
    return bool(mapping.refund.prefix) and name.startswith(mapping.refund.prefix)


def _add(basket: Basket, number: int, row: Row, mapping: ColumnMapping) -> None:
    columns = mapping.columns
    basket.last_line = number
    for kind, column in columns.identifiers.items():
        if value := _text(row.get(column)):
            basket.identifiers.setdefault(kind, value)
    for name, column in columns.data.items():
        if value := _text(row.get(column)):
            basket.data.setdefault(name, value)
    basket.branch = basket.branch or (_text(row.get(columns.branch)) if columns.branch else "")
    if mapping.duplicates == "drop":
        whole = tuple(_text(row.get(column)) for column in mapping.needed())
        if whole in basket.seen:
            return
        basket.seen.add(whole)
    basket.total += _money(row, number, mapping)
    basket.lines += 1
    if len(basket.items) < items_max(mapping):
        basket.items.append(_item(row, number, mapping))


def items_max(mapping: ColumnMapping) -> int:
    """How many items an event holds; `lines` in its data says how many there were."""
    columns = mapping.columns
    amounts = [each for each in (columns.quantity, columns.price, columns.amount) if each]
    return (NAMES_MAX - len(columns.data) - len(columns.identifiers)) // (len(columns.item) + len(amounts))


def _item(row: Row, number: int, mapping: ColumnMapping) -> dict[str, Any]:
    columns = mapping.columns
    item: dict[str, Any] = {name: _text(row.get(column)) for name, column in columns.item.items()}
    amounts = {"quantity": columns.quantity, "price": columns.price, "amount": columns.amount}
    for name, column in amounts.items():
        if column:
            item[name] = format(_decimal(row.get(column), number, column), "f")
    return {name: value for name, value in item.items() if value != ""}


def _money(row: Row, number: int, mapping: ColumnMapping) -> Decimal:
    columns = mapping.columns
    if columns.amount:
        return _decimal(row.get(columns.amount), number, columns.amount)
    quantity = _decimal(row.get(columns.quantity), number, columns.quantity)
    return quantity * _decimal(row.get(columns.price), number, columns.price)


def _decimal(value: Any, number: int, column: str) -> Decimal:
    """A float as it is printed: 2.55 and not the 2.54999999999999982236431605997495353221893310546875 beneath."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise UnusableLine(f"line {number + 1}: the column {column} holds no number but {str(value)[:40]!r}")
    return found


def time_of(row: Row, number: int, mapping: ColumnMapping) -> datetime:
    value = row.get(mapping.columns.time)
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise UnusableLine(
            f"line {number + 1}: the column {mapping.columns.time} holds no time but {str(value)[:40]!r};"
            " write it as 2010-12-01 08:26:00"
        ) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=mapping.place)).astimezone(UTC)


def _text(value: Any) -> str:
    """What a column says, as text; empty for nothing. A whole number kept as a float loses its point."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()

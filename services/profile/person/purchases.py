"""What has a customer bought? Counts and sums, refunds netted."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.statements import money_of


class Purchases(Struct, array_like=True, gc=False):
    """`spent` is net of refunds, by currency (ISO 4217)."""

    count: int = 0
    refunds: int = 0
    spent: dict[str, Decimal] = {}
    last_ms: int = 0


def _purchased(held: Purchases, event: Occurrence, definitions: Definitions) -> bool:
    """Counts also without usable money: that something was bought is known."""
    del definitions
    held.count += 1
    if (money := money_of(event.data)) is not None:
        currency, amount = money
        held.spent[currency] = held.spent.get(currency, Decimal(0)) + amount
    held.last_ms = max(held.last_ms, event.at_ms)
    return True


def _refunded(held: Purchases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    held.refunds += 1
    if (money := money_of(event.data)) is not None:
        currency, amount = money
        held.spent[currency] = held.spent.get(currency, Decimal(0)) - abs(amount)
    return True


def _all(records: Records) -> list[Purchases]:
    return [each.purchases for each in records if each.purchases is not None]


def spent(records: Records) -> dict[str, Decimal]:
    held = _all(records)
    currencies = sorted({currency for each in held for currency in each.spent})
    return {name: sum((each.spent.get(name, Decimal(0)) for each in held), Decimal(0)) for name in currencies}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    held = _all(records)
    seen: dict[str, Any] = {"purchase_count": sum(each.count for each in held)}
    seen |= {f"spent_{currency.lower()}": float(total) for currency, total in spent(records).items()}
    last = max((each.last_ms for each in held), default=0)
    if last:
        seen["last_purchase_at"] = from_ms(last)
    return seen


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {
        "spent": {currency: str(total) for currency, total in spent(records).items()},
        "refund_count": sum(each.refunds for each in _all(records)),
    }


_SPENT = re.compile(r"spent_[a-z]{3}")


def _reserved(name: str) -> bool:
    return name in ("purchase_count", "last_purchase_at") or _SPENT.fullmatch(name) is not None


PURCHASES = Chapter(
    "purchases",
    reads=("purchases",),
    keeps="purchases",
    state=Purchases,
    effects={"purchase": _purchased, "refund": _refunded},
    fields=_fields,
    shown=_shown,
    reserved=_reserved,
)

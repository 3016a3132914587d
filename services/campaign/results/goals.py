"""What did a customer do that a campaign may be for, and what was it worth? Read off a resolved event. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from msgspec import Struct

from libs.common.events import EventResolved

PURCHASE: Final = "purchase"
REFUND: Final = "refund"
ALWAYS: Final = frozenset({PURCHASE, REFUND, "visit", "call_inbound", "coupon.redeemed"})
"""Gathered whether a campaign asks for them or not, so that one that is written later can look back."""

AMOUNT_MAX: Final = Decimal("1e12")
_NOTHING: Final = Decimal(0)
_data: Final = msgspec.json.Decoder(dict[str, Any])


class Done(Struct, frozen=True):
    """One deed. `amount` is net of refunds: theirs is negative. `margin` is what is left of the part of the amount
    whose margin is known, and `unmargined` the part of which it is not. Money is in `currency` (ISO 4217), which is
    empty where there is none.
    """

    customer_id: str
    event_id: str
    at: datetime
    type: str
    branch: str
    channel: str
    currency: str = ""
    amount: Decimal = _NOTHING
    margin: Decimal = _NOTHING
    unmargined: Decimal = _NOTHING


def done_of(event: EventResolved, wanted: Collection[str]) -> Done | None:
    """None for what no campaign can be for: another type, a bot, an event behind which nobody is."""
    if event.type not in wanted or event.traffic or event.everyone:
        return None
    done = Done(event.customer_id, event.event_id, event.time, event.type, event.branch or "", event.channel)
    if event.type not in (PURCHASE, REFUND):
        return done
    data = _data.decode(event.data)
    amount, currency = _amount(data.get("amount")), data.get("currency")
    if amount is None or not isinstance(currency, str):
        return done
    margin, margined = _margin(data.get("items"), amount)
    sign = -1 if event.type == REFUND else 1
    return msgspec.structs.replace(
        done,
        currency=currency,
        amount=sign * amount,
        margin=sign * margin,
        unmargined=sign * (amount - margined),
    )


def _margin(items: Any, amount: Decimal) -> tuple[Decimal, Decimal]:
    """What is left of the items whose margin is known, and what those items came to, at most the amount in all.

    What was taken off the whole basket is taken off each item alike, so a discount lowers what is left.
    """
    priced = [found for item in items if (found := _priced(item))] if isinstance(items, list) else []
    listed = sum((price for price, _ in priced), _NOTHING)
    if not listed or amount <= 0:
        return _NOTHING, _NOTHING
    taken_off = max(_NOTHING, listed - amount)
    margin = margined = _NOTHING
    for price, share in priced:
        if share is not None:
            paid = price - taken_off * price / listed
            # The margin is a share of the list price: what was taken off comes out of it.
            margin += price * share - (price - paid)
            margined += paid
    return margin, min(margined, amount)


def _priced(item: Any) -> tuple[Decimal, Decimal | None] | None:
    """The list price of the line, and the share of it that is left, if known."""
    if not isinstance(item, dict):
        return None
    price, quantity = _amount(item.get("price")), _amount(item.get("quantity", 1))
    if not price or not quantity or price < 0 or quantity < 0:
        return None
    return price * quantity, _amount(item.get("margin"))


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        made = Decimal(str(value))
    except InvalidOperation:
        return None
    return made if made.is_finite() and abs(made) <= AMOUNT_MAX else None

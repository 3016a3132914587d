"""What is a purchase worth to a campaign?"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from libs.common.events import EventResolved
from services.campaign.results.goals import ALWAYS, Done, done_of

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def did(type_: str = "purchase", data: dict[str, Any] | None = None, **more: Any) -> Done | None:
    event = EventResolved(
        "e1", "c1", "p1", type_, "till", NOON, 0, data=msgspec.Raw(msgspec.json.encode(data or {})), **more
    )
    return done_of(event, ALWAYS)


def bought(**data: Any) -> Done:
    done = did("purchase", {"currency": "KRW"} | data)
    assert done is not None
    return done


def line(price: Any, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {"price": price, "quantity": quantity} | more


def test_what_no_catalogue_knows_is_kept_apart_from_what_is_known_to_be_left() -> None:
    done = bought(amount=100, items=[line(30, 2, margin=0.5), line("40.00")])
    assert (done.amount, done.margin, done.unmargined) == tuple(map(Decimal, (100, 30, 40)))


def test_a_discount_comes_out_of_what_is_left() -> None:
    done = bought(amount=80, items=[line(100, margin=0.5)])
    assert (done.margin, done.unmargined) == tuple(map(Decimal, (30, 0)))


def test_a_discount_on_a_basket_is_borne_by_each_line_alike() -> None:
    done = bought(amount=90, items=[line(50, margin=0.5), line(50)])
    assert (done.margin, done.unmargined) == tuple(map(Decimal, (20, 45)))


def test_a_refund_takes_back_amount_and_margin() -> None:
    done = did("refund", {"amount": 60, "currency": "KRW", "items": [line(60, margin=0.5)]})
    assert done is not None
    assert (done.amount, done.margin, done.unmargined) == tuple(map(Decimal, (-60, -30, 0)))


@pytest.mark.parametrize("amount", [None, True, "dear", "NaN", "1e400", [], 10**13])
def test_a_purchase_without_usable_money_is_still_a_purchase(amount: Any) -> None:
    done = bought(amount=amount)
    assert (done.type, done.currency, done.amount) == ("purchase", "", Decimal(0))


@pytest.mark.parametrize("items", [None, "tea", [None, 1], [{"price": -5}], [{"price": 5, "quantity": 0}], [{}]])
def test_lines_that_say_nothing_leave_the_whole_amount_without_margin(items: Any) -> None:
    done = bought(amount=10, items=items)
    assert (done.margin, done.unmargined) == tuple(map(Decimal, (0, 10)))


def test_bots_and_events_of_everyone_and_other_types_are_no_deeds() -> None:
    assert did(traffic="bot") is None
    assert did(everyone=True) is None
    assert did("product_view") is None
    assert did("visit") is not None

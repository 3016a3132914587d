"""Do the lines of a table become the right events? What is sent sums up to what the lines say."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.failure import StackFailure
from deploy.replay import mapping as mappings
from deploy.replay.baskets import OPEN_LINES, UnusableLine, baskets, event
from deploy.replay.mapping import Columns, Mapping, Refund

PLAIN = Mapping(
    channel="web",
    source="shop",
    zone="Europe/London",
    currency="GBP",
    id="shop-{basket}",
    columns=Columns(
        basket="invoice",
        time="at",
        quantity="quantity",
        price="price",
        identifiers={"account": "customer"},
        item={"product": "article"},
        data={"country": "country"},
    ),
    refund=Refund("C"),
)


def line(invoice: str = "1", quantity: int = 1, price: float = 2.55, **more: Any) -> dict[str, Any]:
    row = {"invoice": invoice, "quantity": quantity, "price": price, "article": "tea", "customer": 17850}
    return {**row, "at": datetime.fromisoformat("2010-07-01T08:26:00"), "country": "France", **more}


def events(*lines: dict[str, Any], mapping: Mapping = PLAIN) -> list[dict[str, Any]]:
    return [event(basket, mapping) for basket, _ in baskets(enumerate(lines), mapping)]


def test_the_lines_of_an_invoice_are_one_purchase_with_their_exact_sum() -> None:
    (made,) = events(line(quantity=6), line(quantity=3, price=3.39))
    assert (made["id"], made["type"], made["data"]["amount"]) == ("shop-1", "purchase", "25.47")
    assert made["identifiers"] == {"account": "17850"}
    assert made["data"]["items"][0] == {"product": "tea", "quantity": "6", "price": "2.55"}
    assert made["data"]["country"] == "France"


def test_a_time_without_an_offset_belongs_to_the_zone_of_the_mapping() -> None:
    (made,) = events(line())
    assert made["time"] == "2010-07-01T07:26:00+00:00"


def test_a_cancelled_invoice_is_a_refund_of_a_positive_amount() -> None:
    (made,) = events(line("C9", quantity=-2))
    assert (made["type"], made["data"]["amount"]) == ("refund", "5.10")


def test_a_line_without_a_customer_has_no_identifier() -> None:
    for nobody in (None, float("nan"), ""):
        (made,) = events(line(customer=nobody))
        assert made["identifiers"] == {}


def test_a_number_that_became_a_float_is_still_the_same_customer() -> None:
    (made,) = events(line(customer=17850.0))
    assert made["identifiers"] == {"account": "17850"}


def test_lines_that_repeat_one_another_count_each_unless_they_are_to_be_dropped() -> None:
    twice = (line(), line())
    dropping = Mapping(**{name: getattr(PLAIN, name) for name in PLAIN.__struct_fields__} | {"duplicates": "drop"})
    assert events(*twice)[0]["data"]["amount"] == "5.10"
    assert events(*twice, mapping=dropping)[0]["data"]["amount"] == "2.55"


def test_a_basket_of_a_thousand_lines_keeps_its_money_and_fits_through_the_door() -> None:
    (made,) = events(*(line(price=0.1) for _ in range(1_000)))
    assert made["data"]["amount"] == "100.0" and made["data"]["lines"] == 1_000
    assert sum(len(item) for item in made["data"]["items"]) <= 500


def test_lines_of_one_invoice_need_not_stand_side_by_side() -> None:
    made = {each["id"]: each["data"]["amount"] for each in events(line("1"), line("2"), line("1"))}
    assert made == {"shop-1": "5.10", "shop-2": "2.55"}


def test_memory_is_bounded_by_closing_baskets_that_had_no_line_for_long() -> None:
    rows = [line("first"), *(line(f"n{number}") for number in range(OPEN_LINES + 10))]
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for number, row in enumerate(rows):
            taken = number
            yield number, row

    found = baskets(counted(), PLAIN)
    assert next(found)[0].name == "first"
    assert taken == OPEN_LINES + 1


@given(st.lists(st.tuples(st.sampled_from("abcdC"), st.integers(-5, 9)), min_size=1, max_size=60))
def test_nothing_is_lost_and_whoever_starts_again_misses_nothing(drawn: list[tuple[str, int]]) -> None:
    rows = [line(invoice, quantity, price=1.5) for invoice, quantity in drawn]
    found = list(baskets(enumerate(rows), PLAIN))
    assert sum(basket.total for basket, _ in found) == sum(Decimal("1.5") * quantity for _, quantity in drawn)
    for at, (_, lines_done) in enumerate(found):
        # Every line before that one belongs to a basket that has been given out.
        given_out = {basket.name for basket, _ in found[: at + 1]}
        assert {invoice for invoice, _ in drawn[:lines_done]} <= given_out
    assert found[-1][1] == len(rows)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"price": "cheap"}, "line 1: the column price holds no number but 'cheap'"),
        ({"at": "yesterday"}, "line 1: the column at holds no time but 'yesterday'"),
        ({"invoice": None}, "line 1: the column invoice is empty"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UnusableLine, match=said):
        events(line(**wrong))


def test_the_mapping_that_ships_can_be_read() -> None:
    shipped = mappings.read(Path(__file__).parents[2] / "deploy" / "replay" / "online_retail.toml")
    assert "InvoiceNo" in shipped.needed() and "CustomerID" in shipped.needed()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('channel = "web"', "missing required field"),
        ("channel = ", "not usable"),
        ('colour = "red"', "unknown field `colour`"),
    ],
)
def test_a_mapping_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(StackFailure, match=said):
        mappings.read(file)

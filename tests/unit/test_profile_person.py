"""Does a profile hold what its events said, whatever order they came in, and does its history stay free of contacts?"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.common import clock
from services.profile.person import (
    Customer,
    Occurrence,
    apply,
    differences,
    for_delivery,
    view,
    without_contact_data,
)


def customer(*events: Occurrence) -> Customer:
    made = Customer("p")
    for event in events:
        apply(made, event)
    return made


def happened(type_: str, at: int = 1, /, **data: Any) -> Occurrence:
    return Occurrence(type_, at, "test", f"{type_}-{at}", data)


def test_purchases_and_refunds_add_up_by_currency_exactly() -> None:
    seen = customer(
        happened("purchase", 1, amount="0.10", currency="GBP"),
        happened("purchase", 2, amount="0.20", currency="GBP"),
        happened("refund", 3, amount="0.05", currency="GBP"),
        happened("purchase", 4, amount=3000, currency="KRW"),
    )
    assert {name: str(total) for name, total in seen.purchases.spent.items()} == {"GBP": "0.25", "KRW": "3000"}
    assert (view([seen])["purchase_count"], seen.purchases.refunds) == (3, 1)


def test_the_newer_statement_wins_whatever_comes_last() -> None:
    newer, older = happened("identify", 9, traits={"tier": "gold"}), happened("identify", 5, traits={"tier": "silver"})
    assert view([customer(newer, older)])["tier"] == view([customer(older, newer)])["tier"] == "gold"


@given(st.permutations([(1, True), (2, False), (2, True), (3, True), (3, False)]))
def test_consent_does_not_depend_on_the_order_of_arrival(statements: list[tuple[int, bool]]) -> None:
    events = [
        happened("consent_given" if granted else "consent_withdrawn", at, channel="sms") for at, granted in statements
    ]
    assert view([customer(*events)])["consent_sms"] is False


def test_a_complaint_suppresses_until_it_is_resolved() -> None:
    open_one = customer(happened("complaint", 1, case="c1"))
    assert for_delivery("r", open_one, clock.from_ms(1)).suppressed == ["open_complaint"]
    apply(open_one, happened("complaint_resolved", 2, case="c1"))
    assert for_delivery("r", open_one, clock.from_ms(2)).suppressed == []


def test_an_unsubscribe_withdraws_the_consent_of_its_channel_alone() -> None:
    held = customer(
        happened("consent_given", 1, channels=["email", "sms"]), happened("message.unsubscribed", 2, channel="email")
    )
    assert (view([held])["consent_email"], view([held])["consent_sms"]) == (False, True)


def test_a_hard_bounce_suppresses_the_channel_and_a_soft_one_does_not() -> None:
    assert customer(happened("message.bounced", 1, kind="soft")).suppressed == {}
    assert list(customer(happened("message.bounced", 1, kind="hard")).suppressed) == ["bounced:email"]


def test_a_person_of_two_records_is_their_sum() -> None:
    one = customer(happened("purchase", 1, amount=10, currency="KRW"), happened("consent_given", 1, channel="email"))
    two = customer(happened("purchase", 2, amount=5, currency="KRW"), happened("consent_withdrawn", 2, channel="email"))
    whole = view([one, two])
    assert (whole["purchase_count"], whole["spent_krw"], whole["consent_email"]) == (2, 15.0, False)


def test_a_view_names_and_locates_nobody() -> None:
    seen = view([customer(happened("identify", 1, traits={"first_name": "A", "email": "a@b.kr", "tier": "gold"}))])
    assert seen["tier"] == "gold"
    assert seen["has_email"] is True
    assert not {"first_name", "email"} & seen.keys()


def test_a_change_says_what_was_and_what_is() -> None:
    changed = differences(
        {"life_stage": "single", "tier": "gold", "version": 1}, {"life_stage": "married", "version": 2}
    )
    assert {name: (change.was, change.now) for name, change in changed.items()} == {
        "life_stage": ("single", "married"),
        "tier": ("gold", None),
    }


def test_history_keeps_articles_and_drops_people() -> None:
    data = {"email": "a@b.kr", "items": [{"name": "latte"}], "shipping": {"address": "1 Street", "method": "post"}}
    assert without_contact_data(data) == {"items": [{"name": "latte"}], "shipping": {"method": "post"}}


def test_an_event_that_changes_nothing_leaves_the_version() -> None:
    seen = customer(happened("product_view", 1))
    before = seen.version
    assert apply(seen, happened("product_view", 2)) is False
    assert seen.version == before

"""Does a profile hold what its events said, whatever order they came in, and does its history stay free of contacts?"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import clock
from libs.common.events import CHANNELS_OF_CONTACT
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence, differences, without_contact_data
from services.profile.person.consents import all_consents
from services.profile.person.folding import CHAPTERS
from services.profile.person.purchases import Purchases, spent

DEFINED = Definitions()
TODAY = Moment(730_000, DEFINED)
EFFECTS = sorted({kind for chapter in CHAPTERS for kind in chapter.effects})


def apply(held: Customer, event: Occurrence) -> bool:
    return bool(person.apply(held, event, DEFINED))


def view(records: list[Customer]) -> dict[str, Any]:
    return person.view(records, TODAY)


def bought(held: Customer) -> Purchases:
    assert held.purchases is not None
    return held.purchases


def consents(held: Customer) -> dict[str, bool]:
    return {channel: said.granted for channel, said in all_consents([held], TODAY).items()}


def suppressed(held: Customer) -> list[str]:
    return person.suppressed([held], TODAY)


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
    assert {name: str(total) for name, total in spent([seen]).items()} == {"GBP": "0.25", "KRW": "3000"}
    assert (view([seen])["purchase_count"], bought(seen).refunds) == (3, 1)


@pytest.mark.parametrize(
    "amount", ["much", "", "NaN", "Infinity", "1e999999", "1_000", "1\n", True, [], {}, 10**16, 1e40]
)
def test_an_amount_that_is_no_money_adds_nothing_and_the_purchase_counts(amount: object) -> None:
    seen = customer(
        happened("purchase", 1, amount=5, currency="KRW"), happened("purchase", 2, amount=amount, currency="KRW")
    )
    assert spent([seen]) == {"KRW": Decimal(5)}
    assert (view([seen])["purchase_count"], view([seen])["spent_krw"]) == (2, 5.0)
    apply(seen, happened("refund", 3, amount=amount, currency="KRW"))
    assert (bought(seen).refunds, spent([seen])) == (1, {"KRW": Decimal(5)})


@pytest.mark.parametrize("currency", ["won", "KRW\n", "KRWX", 410, ["KRW"], {"a": 1}])
def test_money_in_no_currency_adds_nothing(currency: object) -> None:
    seen = customer(happened("purchase", 1, amount=5, currency=currency))
    assert not spent([seen]) and view([seen])["purchase_count"] == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
READ = st.sampled_from("amount currency items traits channel channels case purpose on order product name email".split())


@given(
    st.sampled_from([kind for kind in EFFECTS if kind != "profile.changed"]),
    st.dictionaries(READ, ANYTHING, max_size=4),
)
def test_whatever_data_an_observed_source_sends_can_be_applied_and_shown(kind: str, data: dict[str, Any]) -> None:
    seen = customer(happened(kind, 1, **data), happened(kind, 2, **data))
    json.dumps(view([seen]), default=str)
    assert msgspec.json.encode(person.for_delivery("r", seen, TODAY, clock.from_ms(1)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=Customer) == seen
    without_contact_data(data)


@pytest.mark.parametrize("named", ["pigeon", ["Email"], 5, {"a": 1}, ["email", None]])
def test_a_word_that_is_no_channel_is_never_read_in_favour_of_contact(named: object) -> None:
    seen = customer(happened("consent_given", 1, channels=["email", "sms"]))
    apply(seen, happened("consent_withdrawn", 2, channel=named))
    assert not any(consents(seen).values())
    fresh = customer(happened("consent_given", 1, channels=named))
    assert {channel for channel, granted in consents(fresh).items() if granted} <= {"email"}


@pytest.mark.parametrize("named", [{"channels": []}, {"channels": [], "channel": "email"}])
def test_a_withdrawal_with_an_empty_list_withdraws_everything_and_a_consent_gives_nothing(
    named: dict[str, Any],
) -> None:
    seen = customer(happened("consent_given", 1, channels=["email", "sms"]))
    apply(seen, happened("consent_withdrawn", 2, **named))
    assert not any(consents(seen).values())
    assert not consents(customer(happened("consent_given", 1, **named)))


def test_a_consent_that_names_no_channel_speaks_of_all_of_them() -> None:
    seen = customer(happened("consent_given", 1, channel=None, channels=None))
    assert set(consents(seen)) == set(CHANNELS_OF_CONTACT)


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
    assert suppressed(open_one) == ["open_complaint"]
    apply(open_one, happened("complaint_resolved", 2, case="c1"))
    assert suppressed(open_one) == []


def test_an_unsubscribe_withdraws_the_consent_of_its_channel_alone() -> None:
    held = customer(
        happened("consent_given", 1, channels=["email", "sms"]), happened("message.unsubscribed", 2, channel="email")
    )
    assert (view([held])["consent_email"], view([held])["consent_sms"]) == (False, True)


def test_a_hard_bounce_suppresses_the_channel_and_a_soft_one_does_not() -> None:
    assert suppressed(customer(happened("message.bounced", 1, kind="soft"))) == []
    assert suppressed(customer(happened("message.bounced", 1, kind="hard"))) == ["bounced:email"]


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


def test_no_trait_stands_in_for_what_follows_from_events() -> None:
    customer = Customer("p")
    said = {"consent_email": True, "spent_krw": 9e9, "purchase_count": 99, "last_purchase_at": "x", "tier": "gold"}
    apply(customer, Occurrence("identify", 1, "web", data={"traits": said}))
    seen = view([customer])
    assert "consent_email" not in seen and "spent_krw" not in seen and "last_purchase_at" not in seen
    assert (seen["purchase_count"], seen["tier"]) == (0, "gold")


def test_a_change_says_what_was_and_what_is() -> None:
    changed = differences({"life_stage": "single", "tier": "gold", "age": 4}, {"life_stage": "married", "age": 4})
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

"""What do the mappings that ship make of webhooks? Each purchase once, whatever its provider sends, and nobody lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.ingest.hooks.endpoints import Hook, StoredHook
from services.ingest.hooks.examination import HEADER, context_of, examine, to_keep
from services.ingest.intake import Accepted, Outcome, Rejected, Terms
from services.ingest.mapping import CompiledMapping, compile_mapping
from services.ingest.mapping.shelf import compiled_of, shipped_documents
from services.ingest.schemas.kinds import Kinds
from services.ingest.traffic import TEST
from tests.ingest_webhooks import (
    SHOPIFY_ACCESS,
    SHOPIFY_REDACT,
    shopify_customer,
    shopify_order,
    shopify_refund,
    square,
    toast,
)

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
SHIPPED = {name: compile_mapping(document) for name, document in shipped_documents().items()}


def hook(provider: str, branch: str | None = None) -> Hook:
    return Hook(StoredHook("hook-1", provider, "shop-kr", "web", provider, "", branch, NOW), ())


def terms(of: Hook, now: datetime = NOW) -> Terms:
    return Terms(of.key, Kinds(), now, now - timedelta(days=35), now + timedelta(hours=24), of.door)


def outcome(provider: str, body: Any, *, branch: str | None = None, now: datetime = NOW, **headers: str) -> Outcome:
    """The verdicts on a body; `headers` have underscores for hyphens."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    of = hook(provider, branch)
    return examine(raw, context_of(sent), of, SHIPPED[provider], terms(of, now))


def accepted(found: Outcome) -> list[dict[str, Any]]:
    refused = [verdict for verdict in found.verdicts if isinstance(verdict, Rejected)]
    assert not refused, refused
    return [json.loads(verdict.value) for verdict in found.verdicts if isinstance(verdict, Accepted)]


def one(found: Outcome) -> dict[str, Any]:
    (event,) = accepted(found)
    return event


def shopify(topic: str, body: Any, **more: Any) -> Outcome:
    return outcome("shopify", body, x_shopify_topic=topic, **more)


def purchases(outcomes: Iterable[Outcome]) -> Counter[tuple[str, str, str]]:
    """What identify tells purchases apart by."""
    return Counter(
        (event["source"], event["id"], event["time"])
        for found in outcomes
        for event in accepted(found)
        if event["type"] == "purchase"
    )


def test_a_paid_order_of_shopify_is_a_purchase() -> None:
    event = one(shopify("orders/paid", shopify_order()))
    assert event == {
        "id": "shopify-order-820982911946154508",
        "type": "purchase",
        "time": "2026-11-21T09:59:30-05:00",
        "source": "shop-kr",
        "identifiers": {
            "partner:shopify": "115310627314723954",
            "email": "mina@example.com",
            "phone": "+821012345678",
            "partner:shopify_order": "820982911946154508",
        },
        "data": {
            "amount": "47.3",
            "currency": "USD",
            "order": "820982911946154508",
            "number": "#9999",
            "payment": "shopify_payments",
            "sold_by": "web",
            "items": [
                {
                    "product": "632910392",
                    "variant": "808950810",
                    "sku": "TEA-12",
                    "name": "Green tea",
                    "quantity": 2,
                    "price": "19.9",
                },
                {"name": "Gift wrap", "quantity": 1, "price": "7.5"},
            ],
        },
    }


def test_all_that_shopify_says_of_one_order_is_one_purchase() -> None:
    later = shopify_order(updated_at="2026-11-22T10:00:02-05:00", financial_status="partially_refunded")
    topics = ["orders/create", "orders/updated", "orders/paid", "orders/paid", "orders/fulfilled", "orders/edited"]
    found = purchases(
        shopify(topic, body, x_shopify_webhook_id=str(at), x_shopify_event_id=str(at), now=NOW + timedelta(hours=at))
        for at, topic in enumerate(topics)
        for body in (shopify_order(), later)
    )
    assert len(found) == 1
    assert found.total() == 4


def test_a_repeated_webhook_makes_the_same_bytes() -> None:
    first = shopify("orders/paid", shopify_order(), x_shopify_webhook_id="a", x_shopify_event_id="e")
    again = shopify("orders/paid", shopify_order(), x_shopify_webhook_id="b", now=NOW + timedelta(hours=3))
    assert [verdict for verdict in first.verdicts] == [verdict for verdict in again.verdicts]


def test_an_order_that_names_nobody_makes_no_person() -> None:
    """A sale over the counter: its number alone would be a customer who buys once and never again."""
    body = shopify_order(customer=None, email="", contact_email=None, location_id=487838322)
    event = one(shopify("orders/paid", body))
    assert "identifiers" not in event
    assert event["branch"] == "487838322"
    assert one(shopify("orders/paid", body, branch="gangnam"))["branch"] == "gangnam"


def test_an_order_that_tries_a_shop_out_is_flagged() -> None:
    (verdict,) = shopify("orders/paid", shopify_order(test=True)).verdicts
    assert isinstance(verdict, Accepted)
    assert verdict.traffic == TEST
    (verdict,) = shopify("orders/paid", shopify_order()).verdicts
    assert isinstance(verdict, Accepted)
    assert not verdict.traffic


def test_a_refund_of_shopify_leads_to_the_customer_of_its_order() -> None:
    event = one(shopify("refunds/create", shopify_refund()))
    order = one(shopify("orders/paid", shopify_order()))
    assert (event["type"], event["id"]) == ("refund", "shopify-refund-890088186047892319")
    assert event["identifiers"].items() <= order["identifiers"].items()
    assert event["data"]["amount"] == "0.3"
    assert event["data"]["order"] == order["data"]["order"]
    assert "Mina" not in json.dumps(event["data"])


def test_goods_that_come_back_without_money_are_no_refund() -> None:
    assert accepted(shopify("refunds/create", shopify_refund(transactions=[]))) == []


@pytest.mark.parametrize("topic", ["customers/create", "customers/update"])
def test_a_customer_of_shopify_is_identified_with_consent_at_its_own_time(topic: str) -> None:
    identified, consent = accepted(shopify(topic, shopify_customer()))
    assert identified["data"]["traits"] == {
        "email": "mina@example.com",
        "first_name": "Mina",
        "city": "Seoul",
        "country": "KR",
    }
    assert (consent["type"], consent["data"]) == ("consent_given", {"channel": "email"})
    assert consent["time"] == "2026-11-20T10:00:00-05:00"


def test_an_old_consent_is_not_given_again_with_every_change_of_a_customer() -> None:
    """Or a withdrawal elsewhere, later than the consent, would be undone by a change of address."""
    marketing = {"state": "subscribed", "consent_updated_at": "2026-09-01T10:00:00-05:00"}
    types = [
        each["type"]
        for each in accepted(shopify("customers/update", shopify_customer(email_marketing_consent=marketing)))
    ]
    assert types == ["identify"]
    changed = shopify_customer(updated_at="2026-11-22T10:00:00-05:00")
    before, after = (accepted(shopify("customers/update", body))[1] for body in (shopify_customer(), changed))
    assert before == after


def test_who_unsubscribes_at_shopify_is_unsubscribed_here() -> None:
    at = "2026-11-21T09:00:00-05:00"
    body = shopify_customer(
        phone="+821012345678",
        email_marketing_consent={"state": "unsubscribed", "consent_updated_at": at},
        sms_marketing_consent={"state": "unsubscribed", "consent_updated_at": at},
    )
    found = [(event["type"], event["data"]) for event in accepted(shopify("customers/update", body))[1:]]
    assert found == [("consent_withdrawn", {"channel": "email"}), ("consent_withdrawn", {"channel": "sms"})]


def test_the_compliance_topics_of_shopify_become_requests_that_nobody_loses() -> None:
    stamp = {"x_shopify_triggered_at": "2026-11-22T15:00:00.123456789Z"}
    redact = one(shopify("customers/redact", SHOPIFY_REDACT, **stamp))
    assert (redact["type"], redact["data"]["request"]) == ("privacy.request", "erasure")
    assert redact["identifiers"]["partner:shopify"] == "191167"
    assert redact["data"]["orders"] == ["299938", "280263"]
    access = one(shopify("customers/data_request", SHOPIFY_ACCESS, **stamp))
    assert (access["data"]["request"], access["data"]["reference"]) == ("access", "9999")
    shop = one(shopify("shop/redact", {"shop_id": 954889, "shop_domain": "tea.example.com"}, **stamp))
    assert (shop["data"]["of"], "identifiers" in shop) == ("shop", False)
    assert redact == one(shopify("customers/redact", SHOPIFY_REDACT, now=NOW + timedelta(hours=2), **stamp))
    assert len({redact["id"], access["id"], shop["id"]}) == 3


@pytest.mark.parametrize("kind", ["payment.created", "payment.updated"])
def test_a_completed_payment_of_square_is_a_purchase(kind: str) -> None:
    event = one(outcome("square", square(kind)))
    assert (event["type"], event["id"]) == ("purchase", "square-payment-hYy9pRFVxpDsO1FB05SunFWUe9JZY")
    assert event["time"] == "2026-11-21T09:59:51.086000Z"
    assert (event["data"]["amount"], event["data"]["currency"]) == ("11.5", "USD")
    assert event["branch"] == "S8GWD5R9QB376"


def test_all_that_square_says_of_one_payment_is_one_purchase_with_the_same_bytes() -> None:
    states = [
        square("payment.created", status="APPROVED"),
        square("payment.updated"),
        square("payment.created"),
        square("payment.updated", updated_at="2026-11-21T12:00:00Z", refund_ids=["x"], processing_fee=[{}]),
        square("payment.updated", status="CANCELED"),
    ]
    found = [event for state in states for event in accepted(outcome("square", state))]
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_yen_have_no_hundredths_at_square() -> None:
    event = one(outcome("square", square("payment.updated", total_money={"amount": 1150, "currency": "JPY"})))
    assert (event["data"]["amount"], event["data"]["currency"]) == ("1150", "JPY")


def test_a_refund_of_square_counts_once_it_is_complete() -> None:
    states = [square("refund.created", status="PENDING"), square("refund.updated"), square("refund.updated")]
    found = [event for state in states for event in accepted(outcome("square", state))]
    assert len(found) == 2
    assert found[0] == found[1]
    payment = one(outcome("square", square("payment.updated")))
    assert found[0]["identifiers"].items() <= payment["identifiers"].items()


def test_a_customer_of_square_is_identified_and_an_unsubscription_is_heard() -> None:
    identified = one(outcome("square", square("customer.updated")))
    assert identified["data"]["traits"]["birth_date"] == "1990-01-02"
    assert "phone" not in identified["identifiers"]
    both = accepted(outcome("square", square("customer.updated", preferences={"email_unsubscribed": True})))
    assert [event["type"] for event in both] == ["identify", "consent_withdrawn"]


def test_each_paid_check_of_toast_is_one_purchase_at_the_time_when_it_was_opened() -> None:
    event = one(outcome("toast", toast()))
    assert (event["id"], event["time"]) == ("toast-check-b1c7f0a2-0000-4000-8000-000000000001", "2026-11-21T17:17:58Z")
    assert event["data"]["amount"] == "32.3"
    assert event["data"]["items"] == [{"product": "menu-7", "name": "Bibimbap", "quantity": 2.0, "amount": "30.1"}]
    assert event["identifiers"]["email"] == "mina@example.com"


def test_an_order_that_toast_sends_again_and_again_is_bought_once() -> None:
    changes: list[dict[str, Any]] = [
        {"paymentStatus": "OPEN"},
        {"paymentStatus": "PAID"},
        {},
        {"closedDate": "2026-11-22T03:00:00.000+0000", "modifiedDate": "2026-11-22T03:00:00.000+0000"},
        {"voided": True},
        {"deleted": True},
    ]
    found = purchases(outcome("toast", toast(**change)) for change in changes)
    assert len(found) == 1
    assert found.total() == 3


def test_a_refund_of_toast_leads_to_the_customer_of_its_check() -> None:
    order = toast()
    payment = order["details"]["order"]["checks"][0]["payments"][0]
    payment |= {
        "refundStatus": "PARTIAL",
        "refund": {"refundAmount": 5.05, "refundDate": "2026-11-22T10:00:00.000+0000"},
    }
    purchase, refund = accepted(outcome("toast", order))
    assert (refund["type"], refund["data"]["amount"]) == ("refund", "5.05")
    assert refund["identifiers"].items() <= purchase["identifiers"].items()


def test_toast_has_a_test_mode_too() -> None:
    order = toast()
    order["details"]["order"]["createdInTestMode"] = True
    (verdict,) = outcome("toast", order).verdicts
    assert isinstance(verdict, Accepted)
    assert verdict.traffic == TEST


def test_our_own_events_come_in_by_standard_webhooks() -> None:
    event = {
        "id": "order-7",
        "type": "purchase",
        "time": "2026-11-21T10:15:00+09:00",
        "identifiers": {"email": "mina@example.com"},
        "data": {"amount": 45000, "currency": "KRW"},
    }
    assert one(outcome("standard", event)) == event | {"source": "shop-kr"}


def test_the_shape_that_the_standard_proposes_comes_in_too() -> None:
    body = {
        "type": "complaint",
        "timestamp": "2026-11-21T20:26:10.344522Z",
        "data": {"identifiers": {"email": "mina@example.com"}, "topic": "late"},
    }
    event = one(outcome("standard", body, webhook_id="msg_1"))
    assert event == {
        "id": "msg_1",
        "type": "complaint",
        "time": "2026-11-21T20:26:10.344522Z",
        "source": "shop-kr",
        "identifiers": {"email": "mina@example.com"},
        "data": {"topic": "late"},
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_a_webhook_that_is_not_for_us_is_no_event_and_no_error(name: str) -> None:
    bodies: list[Any] = [{}, [], None, "x", 5, {"type": "inventory.count.updated"}, {"eventType": "menu_updated"}]
    for body in bodies:
        assert accepted(outcome(name, body, x_shopify_topic="products/update")) == []


def test_what_the_mapping_refuses_is_kept_whole_with_its_reason() -> None:
    raw = json.dumps(shopify_order(total_price="47,30")).encode()
    found = shopify("orders/paid", raw)
    (verdict,) = found.verdicts
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.pointer) == ("mapping-failed", "/events/0/emit/data/amount")
    assert verdict.body == raw


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b'{"a":', b"[" * 2_000 + b"]" * 2_000, b"1" * 5_000])
def test_a_body_that_is_no_json_is_kept_and_no_crash(body: bytes) -> None:
    (verdict,) = shopify("orders/paid", body).verdicts
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.body) == ("not-json", body)


def test_several_refused_events_of_one_body_are_kept_as_one() -> None:
    raw = json.dumps(shopify_customer(email="x" * 300)).encode()
    found = shopify("customers/update", raw)
    assert [type(verdict) for verdict in found.verdicts] == [Rejected, Rejected]
    (kept,) = to_keep(found).verdicts
    assert isinstance(kept, Rejected)
    assert kept.body == raw
    assert kept.detail.endswith("And 1 more of its 2 events.")
    assert (kept.type, kept.source) == ("identify", "shop-kr")


def test_a_good_event_comes_in_beside_a_refused_one() -> None:
    body = shopify_customer(
        email_marketing_consent={"state": "subscribed", "consent_updated_at": "2026-11-30T10:00:00Z"}
    )
    found = shopify("customers/update", body)
    assert [type(verdict) for verdict in found.verdicts] == [Accepted, Rejected]
    assert len(to_keep(found).verdicts) == 2


def test_a_hook_sends_as_its_own_source_alone() -> None:
    document = deepcopy(shipped_documents()["shopify"])
    document["events"][0]["emit"]["source"] = "'another-shop'"
    of = hook("shopify")
    raw = json.dumps(shopify_order()).encode()
    (verdict,) = examine(
        raw, {HEADER + "x-shopify-topic": "orders/paid"}, of, compile_mapping(document), terms(of)
    ).verdicts
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "source-not-allowed"


def test_without_its_mapping_a_webhook_is_kept_until_there_is_one() -> None:
    of = hook("shopify")
    (verdict,) = examine(b"{}", {}, of, None, terms(of)).verdicts
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "mapping-failed"


def test_no_secret_and_no_way_of_a_request_is_kept_with_what_is_refused() -> None:
    sent = [
        (b"x-shopify-topic", b"orders/paid"),
        (b"X-Shopify-Hmac-SHA256", b"c2VjcmV0"),
        (b"webhook-signature", b"v1,c2VjcmV0"),
        (b"authorization", b"Bearer hush"),
        (b"cookie", b"session=hush"),
        (b"x-forwarded-for", b"203.0.113.7"),
        (b"host", b"events.example.com"),
        (b"x-long", b"\xff" * 5_000),
    ]
    kept = context_of(sent)
    assert set(kept) == {"header.x-shopify-topic", "header.x-long"}
    assert len(kept["header.x-long"]) <= 1_000
    assert len(context_of([(f"x-{at}".encode(), b"") for at in range(99)])) == 40
    msgspec.json.encode(kept)


def test_a_mapping_that_cannot_be_read_any_more_costs_no_other() -> None:
    from libs.common.documents import ActiveDocument

    good = msgspec.json.encode({"id": "good", "events": [{"emit": {"id": "'1'", "type": "'visit'", "time": "body.t"}}]})
    found = compiled_of(
        [ActiveDocument("bad", 1, "active", 100, b'{"id": "bad"}'), ActiveDocument("good", 1, "active", 100, good)]
    )
    assert found["bad"] is None
    assert isinstance(found["good"], CompiledMapping)


def test_the_name_of_a_shipped_file_is_the_id_of_its_mapping() -> None:
    assert {name: document["id"] for name, document in shipped_documents().items()} == {
        name: name for name in shipped_documents()
    }

"""What do the tests of webhooks send? Bodies in the shapes that the providers document, with nobody's data."""

from __future__ import annotations

from typing import Any

LINE_ITEM = {
    "id": 866550311766439020,
    "admin_graphql_api_id": "gid://shopify/LineItem/866550311766439020",
    "product_id": 632910392,
    "variant_id": 808950810,
    "sku": "TEA-12",
    "title": "Green tea",
    "name": "Green tea - 12 bags",
    "quantity": 2,
    "price": "19.90",
    "price_set": {"shop_money": {"amount": "19.90", "currency_code": "USD"}},
    "total_discount": "0.00",
    "properties": [],
    "taxable": True,
}
CUSTOM_ITEM = {"id": 141249953214522974, "product_id": None, "variant_id": None, "sku": None, "title": "Gift wrap"}


def shopify_order(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": 820982911946154508,
        "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
        "name": "#9999",
        "created_at": "2026-11-21T09:58:00-05:00",
        "processed_at": "2026-11-21T09:59:30-05:00",
        "updated_at": "2026-11-21T10:00:02-05:00",
        "currency": "USD",
        "total_price": "47.30",
        "current_total_price": "47.30",
        "financial_status": "paid",
        "email": "mina@example.com",
        "contact_email": "mina@example.com",
        "phone": None,
        "location_id": None,
        "source_name": "web",
        "payment_gateway_names": ["shopify_payments", "gift_card"],
        "test": False,
        "customer": {
            "id": 115310627314723954,
            "email": "mina@example.com",
            "phone": "+821012345678",
            "first_name": "Mina",
            "last_name": "Seo",
        },
        "line_items": [LINE_ITEM, CUSTOM_ITEM | {"quantity": 1, "price": "7.50"}],
    }
    return whole | changes


def shopify_refund(**changes: Any) -> dict[str, Any]:
    transaction = {"id": 1072844685, "kind": "refund", "gateway": "bogus", "status": "success", "currency": "USD"}
    whole: dict[str, Any] = {
        "id": 890088186047892319,
        "order_id": 820982911946154508,
        "created_at": "2026-11-22T09:00:00-05:00",
        "processed_at": "2026-11-22T09:00:00-05:00",
        "note": "Mina says that it came too late",
        "refund_line_items": [
            {"id": 1, "quantity": 1, "subtotal": 19.9, "total_tax": 0.1, "line_item": LINE_ITEM},
        ],
        "transactions": [
            transaction | {"amount": "0.10"},
            transaction | {"amount": "0.20"},
            transaction | {"amount": "100.00", "status": "failure"},
        ],
        "order_adjustments": [],
    }
    return whole | changes


def shopify_customer(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": 115310627314723954,
        "email": "mina@example.com",
        "created_at": "2026-01-02T03:04:05-05:00",
        "updated_at": "2026-11-21T10:00:00-05:00",
        "first_name": "Mina",
        "last_name": "",
        "phone": None,
        "orders_count": 3,
        "default_address": {"city": "Seoul", "country_code": "KR"},
        "email_marketing_consent": {
            "state": "subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": "2026-11-20T10:00:00-05:00",
        },
        "sms_marketing_consent": {"state": "not_subscribed", "consent_updated_at": None},
    }
    return whole | changes


SHOPIFY_REDACT = {
    "shop_id": 954889,
    "shop_domain": "tea.example.com",
    "customer": {"id": 191167, "email": "mina@example.com", "phone": "555-625-1199"},
    "orders_to_redact": [299938, 280263],
}
SHOPIFY_ACCESS = {
    "shop_id": 954889,
    "shop_domain": "tea.example.com",
    "orders_requested": [299938],
    "customer": {"id": 191167, "email": "mina@example.com"},
    "data_request": {"id": 9999},
}


def square(kind: str, **changes: Any) -> dict[str, Any]:
    """`kind` is such as payment.updated; `changes` are of the object that it is about."""
    subject = kind.partition(".")[0]
    about = {"payment": SQUARE_PAYMENT, "refund": SQUARE_REFUND, "customer": SQUARE_CUSTOMER}[subject] | changes
    return {
        "merchant_id": "6SSW7HV8K2ST5",
        "type": kind,
        "event_id": "6a8f5f28-54a1-4eb0-a98a-3111513fd4fc",
        "created_at": "2026-11-21T10:00:05.308Z",
        "data": {"type": subject, "id": about["id"], "object": {subject: about}},
    }


SQUARE_PAYMENT: dict[str, Any] = {
    "id": "hYy9pRFVxpDsO1FB05SunFWUe9JZY",
    "created_at": "2026-11-21T09:59:51.086Z",
    "updated_at": "2026-11-21T10:00:00.831Z",
    "amount_money": {"amount": 1000, "currency": "USD"},
    "tip_money": {"amount": 150, "currency": "USD"},
    "total_money": {"amount": 1150, "currency": "USD"},
    "status": "COMPLETED",
    "source_type": "CARD",
    "location_id": "S8GWD5R9QB376",
    "order_id": "03O3USaPaAaFnI6kkwB1JxGgBsUZY",
    "customer_id": "W92WH6P11H4Z77CTET0RNTGFW8",
    "receipt_number": "hYy9",
    "version_token": "zpCBiO0YgSg5cCEqjUxHQGEuZA9SJBdp1WwI",
}
SQUARE_REFUND: dict[str, Any] = {
    "id": "hYy9pRFVxpDsO1FB05SunFWUe9JZY_ptNBVqHYxt5gAdfcobBe4u1AZsXhoz06KTtuq9Ls24P",
    "created_at": "2026-11-21T11:27:41.836Z",
    "updated_at": "2026-11-21T11:30:16.381Z",
    "amount_money": {"amount": 1000, "currency": "USD"},
    "status": "COMPLETED",
    "location_id": "S8GWD5R9QB376",
    "order_id": "haOyDuHiqtAXMk0d8pDKXpL7Jg4F",
    "payment_id": "hYy9pRFVxpDsO1FB05SunFWUe9JZY",
    "reason": "Returned goods",
}
SQUARE_CUSTOMER: dict[str, Any] = {
    "id": "W92WH6P11H4Z77CTET0RNTGFW8",
    "created_at": "2026-01-02T03:04:05.000Z",
    "updated_at": "2026-11-21T10:00:00.000Z",
    "given_name": "Mina",
    "family_name": "Seo",
    "email_address": "mina@example.com",
    "phone_number": "",
    "birthday": "1990-01-02",
    "preferences": {"email_unsubscribed": False},
    "version": 3,
}


def toast(**changes: Any) -> dict[str, Any]:
    """An order with two checks, of which the second is not paid; `changes` are of the first check."""
    check: dict[str, Any] = {
        "guid": "b1c7f0a2-0000-4000-8000-000000000001",
        "entityType": "Check",
        "openedDate": "2026-11-21T17:17:58.000+0000",
        "closedDate": "2026-11-21T18:02:00.000+0000",
        "modifiedDate": "2026-11-21T18:02:01.000+0000",
        "paymentStatus": "CLOSED",
        "voided": False,
        "deleted": False,
        "amount": 30.1,
        "taxAmount": 2.2,
        "totalAmount": 32.3,
        "customer": {
            "guid": "c0ffee00-0000-4000-8000-000000000002",
            "email": "mina@example.com",
            "phone": "6175550100",
        },
        "selections": [
            {"guid": "s-1", "item": {"guid": "menu-7"}, "displayName": "Bibimbap", "quantity": 2.0, "price": 30.1},
            {"guid": "s-2", "item": None, "displayName": "Mistake", "quantity": 1.0, "price": 9.0, "voided": True},
        ],
        "payments": [
            {
                "guid": "p-1",
                "type": "CREDIT",
                "amount": 32.3,
                "paidDate": "2026-11-21T18:01:00.000+0000",
                "refundStatus": "NONE",
                "checkGuid": "b1c7f0a2-0000-4000-8000-000000000001",
            }
        ],
    }
    other = check | {"guid": "b1c7f0a2-0000-4000-8000-00000000000f", "paymentStatus": "OPEN", "payments": []}
    order = {
        "guid": "0d0e0000-0000-4000-8000-000000000003",
        "openedDate": "2026-11-21T17:17:00.000+0000",
        "businessDate": 20261121,
        "voided": False,
        "checks": [check | changes, other],
    }
    return {
        "timestamp": "2026-11-21T18:02:05.120+0000",
        "eventCategory": "order_updated",
        "eventType": "order_updated",
        "guid": "e0e00000-0000-4000-8000-000000000004",
        "details": {"restaurantGuid": "r-1", "order": order},
    }

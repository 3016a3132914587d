"""What becomes of the calls of Segment's and RudderStack's clients? Nothing lost, nothing twice, nobody named."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Refused
from services.ingest.intake import Accepted, Outcome, Rejected, Terms
from services.ingest.keys.book import BROWSER, Scope, WriteKey
from services.ingest.mapping import compile_mapping
from services.ingest.mapping.shelf import shipped_documents
from services.ingest.rejects.reexamination import RECEIVED_AT
from services.ingest.schemas.kinds import Kinds
from services.ingest.segment.body import opened
from services.ingest.segment.calls import slug
from services.ingest.segment.items import CALLS
from services.ingest.segment.objects import without_addresses
from services.ingest.segment.translation import Help, context_kept, examine_again, examined, source_of
from services.ingest.segment.well_known import CurrentCalls, WellKnownCalls
from tests.ingest_events import NOW, naughty_strings

SERVER = WriteKey("key-web", "web", [], [])
PAGE = WriteKey("key-page", "web", [], [], Scope(kind=BROWSER))
LOADER = WriteKey("key-load", "web", [], ["history"])
SHIPPED = compile_mapping(shipped_documents()["segment"])
HELP = Help(CurrentCalls(lambda: SHIPPED), lambda agent: "bot" if b"Googlebot" in agent else "")


def call(**changes: Any) -> dict[str, Any]:
    """A track call; a value of `...` takes the attribute out."""
    whole: dict[str, Any] = {
        "type": "track",
        "messageId": "m-1",
        "userId": "ada",
        "anonymousId": "anon-1",
        "event": "Article Read",
        "timestamp": "2026-11-21T11:59:00.123Z",
        "properties": {"title": "How to brew"},
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
    }
    whole |= changes
    return {name: value for name, value in whole.items() if value is not ...}


def terms(key: WriteKey = SERVER, **changes: Any) -> Terms:
    whole = Terms(key, Kinds(), NOW, NOW - timedelta(days=35), NOW + timedelta(hours=24))
    return msgspec.structs.replace(whole, **changes)


def sent(body: Any, path: str = "batch", key: WriteKey = SERVER, received: datetime = NOW, **changes: Any) -> Outcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return examined(opened(raw, path), path, terms(key, **changes), HELP, received)


def event(item: dict[str, Any], path: str = "batch", **options: Any) -> dict[str, Any]:
    """The only event that becomes of an item."""
    (verdict,) = sent({"batch": [item]} if path == "batch" else item, path, **options).verdicts
    assert isinstance(verdict, Accepted), verdict
    made: dict[str, Any] = json.loads(verdict.value)
    return made


def refusal(item: Any, **options: Any) -> tuple[str, str, str]:
    (verdict,) = sent({"batch": [item]}, **options).verdicts
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason, verdict.pointer, verdict.detail


def test_a_track_call_becomes_an_event_of_its_own_name_with_its_properties() -> None:
    assert event(call()) == {
        "id": "m-1",
        "source": "segment/web",
        "type": "segment.track.article_read",
        "time": "2026-11-21T11:59:00.123000Z",
        "identifiers": {"account": "ada", "cookie": "anon-1"},
        "data": {
            "title": "How to brew",
            "event": "Article Read",
            "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
        },
    }


@pytest.mark.parametrize("path", ["track", "batch", "import"])
def test_a_call_is_the_same_event_by_whichever_path(path: str) -> None:
    body = call() if path == "track" else {"batch": [call()]}
    (one,), (other,) = sent(body, path).verdicts, sent({"batch": [call()]}).verdicts
    assert isinstance(one, Accepted) and isinstance(other, Accepted)
    assert one.value == other.value


def test_the_path_says_what_a_single_call_is_whatever_its_body_says() -> None:
    assert event(call(type="page"), path="track")["type"] == "segment.track.article_read"
    assert event(call(type=...), path="track")["type"] == "segment.track.article_read"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Booked a Table", "booked_a_table"),
        ("  order_completed ", "order_completed"),
        ("Step 2: Paid!", "step_2_paid"),
        ("3D View", "3d_view"),
    ],
)
def test_the_name_of_a_call_is_a_plain_part_of_a_type(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_names_that_lose_letters_or_are_long_stay_apart_and_are_types_all_the_same() -> None:
    names = [
        "주문 완료",
        "주문 취소",
        "Bestellung öffnen",
        "Bestellung äffnen",
        "x" * 200,
        "x" * 201,
        "!!!",
        "???",
        "e\u0301",
        "e",
    ]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    for name in names:
        made = event(call(event=name))
        assert made["type"] == f"segment.track.{slug(name)}"
        assert made["data"]["event"] == name
    assert slug("\u00e9") == slug("e\u0301")


def test_identify_carries_traits_and_a_server_may_name_people_by_them() -> None:
    traits = {"email": "ada@example.com", "phone": "+82 10 1234 5678", "plan": "gold", "age": 36}
    made = event(call(type="identify", traits=traits))
    assert made["type"] == "identify"
    assert made["data"]["traits"] == traits
    assert made["identifiers"] == {
        "account": "ada",
        "cookie": "anon-1",
        "email": "ada@example.com",
        "phone": "+82 10 1234 5678",
    }


def test_a_browser_names_nobody_by_traits() -> None:
    (verdict,) = sent({"batch": [call(type="identify", traits={"email": "ada@example.com"})]}, key=PAGE).verdicts
    assert isinstance(verdict, Accepted)
    made = json.loads(verdict.value)
    assert made["identifiers"] == {"cookie": "anon-1"}
    assert "email" not in made["data"]["traits"]
    assert {each.pointer for each in verdict.violations} >= {"/identifiers/account", "/data/traits/email"}


def test_traits_in_the_context_alone_count_too() -> None:
    made = event(call(type="identify", traits=..., context={"traits": {"email": "a@example.com"}}))
    assert made["data"] == {"traits": {"email": "a@example.com"}}
    assert made["identifiers"]["email"] == "a@example.com"


def test_a_trait_that_is_no_contact_point_costs_nothing() -> None:
    made = event(call(type="identify", traits={"email": 5, "phone": "0" * 400}))
    assert made["identifiers"] == {"account": "ada", "cookie": "anon-1"}


def test_alias_joins_the_former_id_as_a_cookie_to_the_account() -> None:
    made = event(call(type="alias", previousId="anon-0", userId="ada"))
    assert made["type"] == "identify"
    assert made["identifiers"] == {"account": "ada", "cookie": "anon-0"}
    assert made["data"]["traits"] == {}
    assert made["data"]["alias"] == {"previous": "cookie", "joined_to": "account"}
    assert "anon-0" not in json.dumps(made["data"])


def test_a_group_is_kept_in_the_data() -> None:
    made = event(call(type="group", groupId="acme", traits={"plan": "team"}))
    assert made["type"] == "segment.group"
    assert made["data"]["group"] == "acme"
    assert made["data"]["traits"] == {"plan": "team"}


def test_a_page_is_a_visit_of_its_address() -> None:
    properties = {
        "url": "https://shop.example/tea",
        "referrer": "https://search.example/",
        "title": "Tea",
        "path": "/tea",
    }
    made = event(call(type="page", name="Tea", category="Shop", properties=properties | {"shelf": 3}))
    assert made["type"] == "visit"
    assert made["data"] == {
        "page": "https://shop.example/tea",
        "referrer": "https://search.example/",
        "title": "Tea",
        "page_name": "Tea",
        "category": "Shop",
        "path": "/tea",
        "shelf": 3,
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
    }


def test_a_page_without_properties_is_known_by_its_context() -> None:
    page = {"url": "https://shop.example/a", "referrer": "", "title": "A"}
    made = event(call(type="page", properties=..., context={"page": page}))
    assert made["data"] == {"page": "https://shop.example/a", "title": "A", "context": {"page": page}}


def test_a_screen_is_a_visit_by_its_name() -> None:
    made = event(call(type="screen", name="Menu", category="", properties={"tab": 2}, context=...))
    assert made["type"] == "visit"
    assert made["data"] == {"page": "Menu", "screen": "Menu", "tab": 2}


def test_the_history_learns_neither_who_nor_where_somebody_is() -> None:
    context = {
        "ip": "203.0.113.9",
        "traits": {"email": "trait@example.com"},
        "externalId": [{"type": "crm", "id": "77"}],
        "identity_token": "a.b.c",
        "device": {"id": "dev-1", "advertisingId": "adv-1", "token": "push-1", "name": "Ada's phone", "model": "X"},
        "location": {"latitude": 37.49, "longitude": 127.02, "country": "KR"},
        "page": {"url": "https://shop.example/?email=ada%40example.com&q=tea", "search": "?m=bo@example.org"},
        "locale": "ko-KR",
    }
    made = event(call(context=context))
    assert made["data"]["context"] == {
        "device": {"model": "X"},
        "location": {"country": "KR"},
        "page": {"url": "https://shop.example/?email=(email)&q=tea", "search": "?m=(email)"},
        "locale": "ko-KR",
    }
    assert made["identifiers"] == {"account": "ada", "cookie": "anon-1", "device": "push-1"}


def test_an_address_in_the_url_of_a_page_is_masked() -> None:
    made = event(call(type="page", properties={"url": "https://shop.example/?to=ada@example.com"}))
    assert made["data"]["page"] == "https://shop.example/?to=(email)"


@pytest.mark.parametrize(
    "properties", [{}, {"context": "of mine", "event": "a fair"}, {"nested": {"event": 1}}, None, ...]
)
def test_properties_are_never_overwritten(properties: Any) -> None:
    data = event(call(properties=properties))["data"]
    own = properties if isinstance(properties, dict) else {}
    assert {name: data[name] for name in own} == own
    assert data["segment_context" if "context" in own else "context"]["library"]["name"] == "analytics-python"
    assert data["segment_event" if own.get("event") else "event"] == "Article Read"


def test_the_same_item_sent_again_is_the_same_bytes() -> None:
    first = {"batch": [call(_metadata={"retryCount": 0})], "sentAt": "2026-11-21T12:00:00Z"}
    again = {
        "writeKey": "k",
        "sentAt": "2026-11-21T12:07:31Z",
        "batch": [
            call(_metadata={"retryCount": 1}, sentAt="2026-11-21T12:07:31Z", receivedAt="x", integrations={"All": True})
        ],
    }
    (one,) = sent(first).verdicts
    (other,) = sent(again, received=NOW + timedelta(minutes=8)).verdicts
    assert isinstance(one, Accepted) and isinstance(other, Accepted)
    assert one.value == other.value


def test_an_item_without_an_id_gets_one_from_what_it_says() -> None:
    bare = call(messageId=...)
    assert event(bare)["id"] == event(bare | {"sentAt": "2026-11-21T12:00:01Z"})["id"]
    others = [bare | change for change in ({"userId": "bo"}, {"event": "Other"}, {"timestamp": "2026-11-21T11:58:00Z"})]
    assert len({event(each)["id"] for each in [bare, *others]}) == 4
    assert event(call(messageId=None))["id"] == event(bare)["id"] == event(call(messageId=" "))["id"]


@pytest.mark.parametrize(
    ("wrong_by", "corrected_by"),
    [
        (timedelta(minutes=-9), timedelta(0)),
        (timedelta(minutes=9), timedelta(0)),
        (timedelta(minutes=14), timedelta(0)),
        (timedelta(days=20), timedelta(0)),
        (timedelta(minutes=-26), timedelta(minutes=-30)),
        (timedelta(days=-400), timedelta(days=-400)),
    ],
)
def test_a_clock_that_is_ahead_is_set_right_by_whole_steps_and_one_behind_is_believed(
    wrong_by: timedelta, corrected_by: timedelta
) -> None:
    clock = NOW - wrong_by
    item = call(timestamp=(clock - timedelta(seconds=5)).isoformat())
    (verdict,) = sent({"batch": [item], "sentAt": clock.isoformat()}).verdicts
    assert isinstance(verdict, Accepted)
    told = datetime.fromisoformat(json.loads(verdict.value)["time"])
    assert told == clock - timedelta(seconds=5) + corrected_by


def test_a_batch_that_was_laid_down_long_ago_says_the_same_however_often_it_is_sent() -> None:
    """Some clients write `sentAt` once, when they store the batch: near midnight a shift would make another day."""
    body = {"batch": [call(timestamp="2026-11-20T23:50:00Z")], "sentAt": "2026-11-20T23:51:00Z"}
    values = set()
    for hours in (0, 1, 9):
        (verdict,) = sent(body, received=NOW + timedelta(hours=hours)).verdicts
        assert isinstance(verdict, Accepted)
        values.add(verdict.value)
    assert len(values) == 1


def test_a_wrong_clock_is_set_right_alike_when_an_item_comes_again() -> None:
    clock = NOW + timedelta(minutes=23)
    item = call(timestamp=clock.isoformat())
    times = set()
    for delay, way in ((0, 0.02), (41, 1.7), (185, 0.3)):
        body = {"batch": [item], "sentAt": (clock + timedelta(seconds=delay)).isoformat()}
        (verdict,) = sent(body, received=NOW + timedelta(seconds=delay + way)).verdicts
        assert isinstance(verdict, Accepted)
        times.add(verdict.value)
    assert len(times) == 1


def test_the_original_time_comes_first_and_missing_times_have_stand_ins() -> None:
    original = "2026-11-21T11:00:00Z"
    assert event(call(originalTimestamp=original))["time"] == original
    assert event(call(timestamp=None, originalTimestamp=original))["time"] == original
    assert event(call(timestamp=..., sentAt="2026-11-21T11:58:00Z"))["time"] == "2026-11-21T11:58:00Z"
    (verdict,) = sent({"batch": [call(timestamp=...)], "sentAt": "2026-11-21T11:57:00Z"}).verdicts
    assert isinstance(verdict, Accepted) and json.loads(verdict.value)["time"] == "2026-11-21T11:57:00Z"
    assert event(call(timestamp=...))["time"] == "2026-11-21T12:00:00Z"


@pytest.mark.parametrize("written", ["2026-11-21T11:00:00", "2026-11-21 11:00:00.5", "20261121T110000", "2026-11-21"])
def test_a_time_without_an_offset_is_taken_for_utc_and_said_so(written: str) -> None:
    (verdict,) = sent({"batch": [call(timestamp=written)]}).verdicts
    assert isinstance(verdict, Accepted)
    told = datetime.fromisoformat(json.loads(verdict.value)["time"])
    assert told == datetime.fromisoformat(written).replace(tzinfo=UTC)
    assert [(each.pointer, each.reason) for each in verdict.violations] == [("/time", "wrong-time")]


def test_other_forms_of_iso_8601_are_understood() -> None:
    assert event(call(timestamp="2026-11-21T20:00:00+0900"))["time"] in (
        "2026-11-21T20:00:00+09:00",
        "2026-11-21T11:00:00Z",
    )


@pytest.mark.parametrize(
    ("item", "reason", "pointer"),
    [
        (call(userId=..., anonymousId=...), "missing-user-id", "/userId"),
        (call(userId="", anonymousId=None), "missing-user-id", "/userId"),
        (call(event=...), "malformed", "/event"),
        (call(event="  "), "malformed", "/event"),
        (call(type=...), "malformed", "/type"),
        (call(type="merge"), "malformed", "/type"),
        (call(type="group"), "malformed", "/groupId"),
        (call(type="alias"), "malformed", "/previousId"),
        (call(properties=[1]), "malformed", "/properties"),
        (call(context="x"), "malformed", "/context"),
        (call(userId={"id": 1}), "malformed", "/userId"),
        (call(timestamp="yesterday"), "wrong-time", "/timestamp"),
        (call(timestamp=1763722800), "wrong-time", "/timestamp"),
        (call(timestamp="2019-01-01T00:00:00Z"), "wrong-time", "/timestamp"),
        (call(timestamp="2027-01-01T00:00:00Z"), "wrong-time", "/timestamp"),
        (call(userId="x" * 300), "malformed", "/userId"),
        (call(messageId="x" * 300), "malformed", "/messageId"),
        (call(properties={"a": "x\u0000"}), "unsafe-value", "/properties/a"),
        (call(properties={"a": "x" * 40_000}), "unsafe-value", "/properties/a"),
        ([], "malformed", ""),
        (5, "malformed", ""),
    ],
)
def test_a_bad_item_is_refused_with_its_reason_and_place(item: Any, reason: str, pointer: str) -> None:
    assert refusal(item)[:2] == (reason, pointer)


@pytest.mark.parametrize(
    "bad", ['{"type":"track","properties":{"x":NaN}}', '{"type":"track","event":"\\ud800"}', "5", '"x"', "null", "[]"]
)
def test_a_bad_item_never_costs_a_good_one(bad: str) -> None:
    good = json.dumps(call())
    first, second, third = sent(
        f'{{"sentAt":"2026-11-21T12:00:00Z","batch":[{good},{bad}, {good} ]}}'.encode()
    ).verdicts
    assert isinstance(first, Accepted) and isinstance(third, Accepted)
    assert isinstance(second, Rejected)
    assert (second.index, second.body) == (1, bad.encode())


def test_bytes_that_are_no_text_cost_their_own_item_alone() -> None:
    good = json.dumps(call()).encode()
    first, second = sent(b'{"batch":[{"type":"track","event":"\xff","userId":"u"},' + good + b"]}").verdicts
    assert isinstance(first, Rejected) and first.reason == "not-json"
    assert isinstance(second, Accepted)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"batch": 5}', b"{}", b'{"batch":[}', b'"x"', b'{"batch":[]} x'])
def test_only_a_body_that_is_no_batch_at_all_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Refused):
        opened(body, "batch")


def test_an_empty_batch_is_nothing_to_complain_about() -> None:
    assert sent({"batch": []}).verdicts == []


def test_what_a_batch_says_once_holds_for_all_of_its_items() -> None:
    shared = {"locale": "ko-KR", "library": {"name": "of the batch"}}
    (verdict,) = sent({"context": shared, "batch": [call()]}).verdicts
    assert isinstance(verdict, Accepted)
    context = json.loads(verdict.value)["data"]["context"]
    assert context == {"locale": "ko-KR", "library": {"name": "analytics-python", "version": "2.4.0"}}


def test_numbers_are_ids_too() -> None:
    made = event(call(userId=17, anonymousId=0, messageId=5))
    assert (made["id"], made["identifiers"]) == ("5", {"account": "17", "cookie": "0"})


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((), "segment/web"),
        (("shop",), "shop"),
        (("web-*", "shop", "other"), "shop"),
        (("web-*/*",), "web-segment/segment"),
    ],
)
def test_the_source_is_one_that_the_key_may_claim(sources: tuple[str, ...], expected: str) -> None:
    key = WriteKey("k", "web", sources, [])
    assert source_of(key) == expected
    assert key.may_claim(expected)
    assert event(call(), key=key)["source"] == expected


ORDER = {
    "order_id": "o-1",
    "total": 27.5,
    "currency": "usd",
    "coupon": "AUTUMN",
    "products": [
        {"product_id": "tea-12", "name": "Tea", "price": "19.00", "quantity": 1, "category": "", "brand": "Leaf"},
        {"sku": "cup-1", "price": 8.5},
    ],
}


@pytest.mark.parametrize("name", ["Order Completed", "order_completed", "ORDER COMPLETED"])
def test_a_completed_order_is_a_purchase(name: str) -> None:
    made = event(call(event=name, properties=ORDER))
    assert made["type"] == "purchase"
    assert (made["id"], made["source"], made["identifiers"]) == (
        "m-1",
        "segment/web",
        {"account": "ada", "cookie": "anon-1"},
    )
    data = made["data"]
    assert (data["amount"], data["currency"], data["order"], data["coupon"]) == ("27.5", "USD", "o-1", "AUTUMN")
    assert data["items"] == [
        {"product": "tea-12", "name": "Tea", "brand": "Leaf", "quantity": 1, "price": "19"},
        {"product": "cup-1", "sku": "cup-1", "price": "8.5"},
    ]
    assert "products" not in data
    assert data["context"]["library"]["name"] == "analytics-python"


def test_an_order_without_a_currency_is_refused_and_kept_rather_than_counted_wrong() -> None:
    reason, pointer, _ = refusal(call(event="Order Completed", properties=ORDER | {"currency": None}))
    assert reason == "invalid-data" and pointer.startswith("/properties")


@pytest.mark.parametrize(
    ("name", "properties", "type", "expected"),
    [
        ("Order Refunded", ORDER, "refund", {"amount": "27.5", "order": "o-1"}),
        ("Order Refunded", {"order_id": "o-1"}, "segment.track.order_refunded", {"order_id": "o-1"}),
        ("Product Viewed", {"sku": "tea-12", "price": 19.5, "category": ""}, "product_view", {"product": "tea-12"}),
        (
            "Product Added",
            {"product_id": 7, "quantity": "2", "currency": "krw", "name": "Tea"},
            "cart_add",
            {"product": 7, "quantity": "2", "currency": "KRW", "product_name": "Tea"},
        ),
        ("Products Searched", {"query": "green tea"}, "search", {"query": "green tea"}),
        ("Product Removed", {"product_id": 7}, "segment.track.product_removed", {"product_id": 7}),
    ],
)
def test_the_vocabulary_of_shops_is_understood(
    name: str, properties: dict[str, Any], type: str, expected: dict[str, Any]
) -> None:
    made = event(call(event=name, properties=properties))
    assert made["type"] == type
    assert {field: made["data"].get(field) for field in expected} == expected


def test_a_mapping_of_the_owners_is_asked_for_its_own_names_alone() -> None:
    emit = {"id": "body.id", "type": "'visit'", "time": "body.time", "identifiers": "body.identifiers"}
    entries = [
        {"when": "body.event == 'Booked Table' && body.properties.seats", "emit": emit},
        {"when": "body.slug == 'a' || 'b' == body.slug", "emit": emit},
    ]
    narrow = WellKnownCalls(compile_mapping({"id": "segment", "events": entries[:1]}))
    assert narrow.covers("booked_table") and not narrow.covers("a")
    wide = WellKnownCalls(compile_mapping({"id": "segment", "events": entries}))
    assert wide.covers("anything at all")


def test_a_mapping_that_cannot_be_read_refuses_track_calls_and_no_others() -> None:
    lost = Help(CurrentCalls(lambda: None), lambda agent: "")
    raw = json.dumps({"batch": [call(), call(type="page")]}).encode()
    first, second = examined(opened(raw, "batch"), "batch", terms(), lost, NOW).verdicts
    assert isinstance(first, Rejected) and first.reason == "mapping-failed"
    assert isinstance(second, Accepted)


def test_tests_and_crawlers_are_flagged_item_by_item() -> None:
    items = [
        call(),
        call(context={"test": True}),
        call(context={"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}),
        call(context={"test": "true"}),
    ]
    flags = [verdict.traffic for verdict in sent({"batch": items}).verdicts if isinstance(verdict, Accepted)]
    assert flags == ["", "test", "bot", ""]
    (kept,) = sent({"batch": [call(context={"userAgent": "Mozilla/5.0"})]}, traffic="test").verdicts
    assert isinstance(kept, Accepted) and kept.traffic == "test"


def test_old_data_is_history_by_import_alone_and_only_for_keys_that_may() -> None:
    old = call(timestamp="2025-01-01T00:00:00Z")
    raw = json.dumps({"batch": [old, call()]}).encode()
    late = terms(LOADER, late_as_history=True)
    first, second = examined(opened(raw, "import"), "import", late, HELP, NOW).verdicts
    assert isinstance(first, Accepted) and json.loads(first.value)["history"] is True
    assert isinstance(second, Accepted) and "history" not in json.loads(second.value)
    assert refusal(old, key=LOADER)[0] == "wrong-time"


def test_what_was_refused_comes_in_as_it_would_have_the_first_time() -> None:
    clock = NOW - timedelta(minutes=23)
    item = call(messageId=..., timestamp=clock.isoformat(), context={"a": 1})
    body = {"batch": [item], "sentAt": clock.isoformat(), "context": {"locale": "ko-KR"}}
    parcel = opened(json.dumps(body).encode(), "batch")
    (first,) = examined(parcel, "batch", terms(), HELP, NOW).verdicts
    kept = context_kept("batch", parcel) | {RECEIVED_AT: NOW.isoformat()}
    later = terms(now=NOW + timedelta(days=3))
    (again,) = examine_again(parcel.items[0], kept, later, HELP).verdicts
    assert isinstance(first, Accepted) and isinstance(again, Accepted)
    assert first.value == again.value


def test_a_text_full_of_addresses_or_nearly_costs_no_more_than_its_length() -> None:
    for text in ("a@" * 100_000, "x" * 200_000 + "@", "a@" + "b." * 100_000, "%40" * 60_000, "a@b.c" * 40_000):
        began = time.perf_counter()
        without_addresses(text.encode())
        assert time.perf_counter() - began < 0.5
    assert without_addresses("메일 ada.b+c@예시.example, x@y".encode()) == "메일 (email), x@y".encode()


def test_whatever_stands_in_a_field_arrives_as_it_is_or_is_refused() -> None:
    found: dict[str, Callable[[dict[str, Any]], str]] = {
        "event": lambda made: str(made["data"]["event"]),
        "userId": lambda made: str(made["identifiers"].get("account", "")),
        "messageId": lambda made: "" if made["id"].startswith("segment-") else str(made["id"]),
        "properties": lambda made: str(made["data"]["said"]),
    }
    arrived = dict.fromkeys(found, 0)
    for text in naughty_strings():
        for field, read in found.items():
            (verdict,) = sent({"batch": [call(**{field: {"said": text} if field == "properties" else text})]}).verdicts
            if isinstance(verdict, Accepted):
                # Ids lose the blanks around them, as everybody's do where people are found.
                assert read(json.loads(verdict.value)) == (text.strip() if field.endswith("Id") else text)
                arrived[field] += 1
    assert min(arrived.values()) > 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS: tuple[str, ...] = (
    "type",
    "messageId",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "event",
    "name",
    "category",
)
FIELDS += ("timestamp", "originalTimestamp", "sentAt", "properties", "traits", "context")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.sampled_from([*CALLS, "batch", "import"]))
def test_nothing_that_anybody_sends_breaks_the_door(changes: dict[str, Any], path: str) -> None:
    item = call(**changes)
    outcome = sent(item if path in CALLS else {"batch": [item, call()]}, path)
    assert len(outcome.verdicts) == (1 if path in CALLS else 2)
    for verdict in outcome.verdicts:
        if isinstance(verdict, Accepted):
            assert json.loads(verdict.value)["source"] == "segment/web"


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_break_the_door(body: bytes) -> None:
    for path in ("batch", "track"):
        with contextlib.suppress(Refused):
            sent(body, path)


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "as UTF-8"])
@pytest.mark.parametrize(
    "said",
    [
        "Hello\nada@example.com",
        "?e=café@example.com",
        "가" * 30 + "@example.com",
        "😀" * 20 + "@ex.com",
        "a\\ada@ex.com",
    ],
)
def test_an_address_leaves_the_text_around_it_whole(said: str, ascii_only: bool) -> None:
    item = call(context={"page": {"title": said}})
    raw = json.dumps({"batch": [item, call(messageId="m-2")]}, ensure_ascii=ascii_only).encode()
    verdicts = sent(raw).verdicts
    assert all(isinstance(each, Accepted) for each in verdicts)
    title = json.loads(verdicts[0].value)["data"]["context"]["page"]["title"]  # type: ignore[union-attr]
    assert title.endswith("(email)") and said.startswith(title.removesuffix("(email)"))
    # No more than the nearest 64 bytes are taken for a part of an address; of short ones nothing is left.
    assert "ada" not in title and "caf" not in title


@given(
    st.lists(st.sampled_from(["a", "\\", "\n", '"', "é", "가" * 12, "😀", "@", "@ex.com", "%40ex.com", "u00e9", "."]))
)
def test_json_without_its_addresses_is_json(parts: list[str]) -> None:
    for ascii_only in (True, False):
        made = json.loads(without_addresses(json.dumps("".join(parts), ensure_ascii=ascii_only).encode()))
        assert isinstance(made, str) and made.encode().decode() == made


@pytest.mark.parametrize("where", ["properties", "context", "traits"])
@pytest.mark.parametrize("kind", ["track", "page", "identify"])
def test_an_item_that_is_no_text_costs_no_other(where: str, kind: str) -> None:
    for inner in ('"said":"%"', '"%":1', '"device":{"token":"%"}', '"email":"%"', '"traits":{"%":1}'):
        bad = json.dumps(call(type=kind, **{where: ...}))[:-1] + f',"{where}":{{{inner}}}}}'
        raw = b'{"batch":[%b,%b]}' % (bad.replace("%", "\udcff").encode("utf-8", "surrogateescape"), b"%b")
        refused, good = sent(raw.replace(b"%b", json.dumps(call(messageId="m-2")).encode())).verdicts
        assert isinstance(refused, Rejected) and refused.reason == "not-json" and refused.id == ""
        assert isinstance(good, Accepted)


@pytest.mark.parametrize("context", [b'{"a":NaN}', b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":"\\ud800"}'])
def test_a_context_of_a_batch_that_is_not_json_is_refused(context: bytes) -> None:
    with pytest.raises(Refused, match="context of the batch"):
        opened(b'{"context":%b,"batch":[%b]}' % (context, json.dumps(call()).encode()), "batch")


def test_what_a_batch_says_once_is_not_multiplied_without_bound() -> None:
    whole = {"batch": [call()], "context": {"said": [0] * 10_000}}
    with pytest.raises(Refused) as caught:
        opened(json.dumps(whole).encode(), "batch")
    assert caught.value.status == 413
    parcel = opened(json.dumps({"batch": [call()], "sentAt": "\x00" + "x" * 9_000}).encode(), "batch")
    assert context_kept("batch", parcel) == {"call": "batch"}
    near = call(properties={"said": ["x" * 30_900] * 8})
    assert isinstance(sent({"batch": [near]}).verdicts[0], Accepted)
    (verdict,) = sent({"batch": [near], "context": {"said": ["x" * 16_000]}}).verdicts
    assert isinstance(verdict, Rejected) and verdict.reason == "too-large"

"""Do signed webhooks come in on the real service, and is nothing that a provider sends ever lost?"""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from libs.common import clock
from libs.common.events import EventReceived, EventRejected
from libs.common.topics import EVENT_RECEIVED, EVENT_REJECTED, strongest_identifier
from tests.ingest_door import Door, another, database_of, now, running, until_ready
from tests.ingest_webhooks import SHOPIFY_REDACT, shopify_order, square, toast

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "hush-hush-0123456789"
URL = "https://events.example.com/v1/hooks/square/main"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """One service for all tests; each has sources and orders of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("ingest")) as door:
        yield door


def own(word: str = "shop") -> str:
    return f"{word}-{clock.new_id().hex[-10:]}"


def number() -> int:
    return clock.new_id().int % 10**15


def signature(secret: str, message: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), message, sha256).digest()).decode()


async def made(door: Door, provider: str, source: str, **more: Any) -> dict[str, Any]:
    order = {"provider": provider, "source": source, "channel": "web"} | more
    if provider != "standard":
        order.setdefault("secret", SECRET)
    status, hook = await door.call("POST", "/v1/hook-endpoints", order)
    assert status == 201, hook
    whole: dict[str, Any] = hook
    return whole


async def sent(door: Door, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
    async with door.client.post(
        door.address + path, data=io.BytesIO(body), headers={"Content-Type": "application/json"} | dict(headers)
    ) as answer:
        return answer.status, json.loads(await answer.read())


async def shopify(
    door: Door, source: str, body: Any, *, topic: str = "orders/paid", secret: str = SECRET, **more: str
) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Shopify-Topic": topic, "X-Shopify-Hmac-SHA256": signature(secret, raw)}
    return await sent(door, f"/v1/hooks/shopify/{source}", raw, headers | more)


def order(**changes: Any) -> dict[str, Any]:
    """A paid order of this minute that nobody else has."""
    return shopify_order(id=number(), processed_at=now(-60), created_at=now(-90), customer={"id": number()}, **changes)


async def received(door: Door, event: EventReceived | str, number: int = 1) -> list[dict[str, Any]]:
    key = event if isinstance(event, str) else strongest_identifier(event)
    found = await door.log(EVENT_RECEIVED.name, key.encode(), number=number)
    return [json.loads(message.value or b"") for message in found]


async def rejected(door: Door, source: str) -> list[EventRejected]:
    log = await door.log(EVENT_REJECTED.name)
    found = [msgspec.json.decode(message.value or b"", type=EventRejected) for message in log]
    return [each for each in found if each.door.endswith(f"/{source}")]


async def edited(door: Door, method: str, path: str, version: int, body: Any) -> tuple[int, Any]:
    headers = door.admin | {"If-Match": f'"{version}"'}
    async with door.client.request(method, door.address + path, json=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


async def test_a_signed_order_becomes_an_event_in_the_log(door: Door) -> None:
    source, body = own(), order(email=f"{own()}@example.com")
    hook = await made(door, "shopify", source, branch="gangnam")
    assert hook["path"] == f"/v1/hooks/shopify/{source}"
    assert await shopify(door, source, body) == (200, {"accepted": 1, "rejected": []})
    (event,) = await received(door, f"email:{body['email']}")
    assert (event["type"], event["source"], event["branch"]) == ("purchase", source, "gangnam")
    assert event["data"]["amount"] == "47.3"
    (message,) = await door.log(EVENT_RECEIVED.name, f"email:{body['email']}".encode())
    headers = dict(message.headers)
    assert (headers["channel"], headers["key-id"]) == (b"web", hook["hook_id"].encode())


async def test_a_webhook_that_is_sent_again_has_the_same_bytes(door: Door) -> None:
    source, body = own(), order(email=f"{own()}@example.com")
    await made(door, "shopify", source)
    for attempt in range(3):
        more = {"X-Shopify-Webhook-Id": own(), "User-Agent": f"try {attempt}"}
        assert (await shopify(door, source, body, **more))[0] == 200
    found = await received(door, f"email:{body['email']}", 3)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


async def test_each_provider_comes_in_by_its_own_signature(door: Door) -> None:
    source = own()
    await made(door, "square", source, notification_url=URL)
    payment = square("payment.updated", id=own(), created_at=now(-60), buyer_email_address=f"{own()}@example.com")
    raw = json.dumps(payment).encode()
    headers = {"x-square-hmacsha256-signature": signature(SECRET, URL.encode() + raw)}
    assert await sent(door, f"/v1/hooks/square/{source}", raw, headers) == (200, {"accepted": 1, "rejected": []})
    await made(door, "toast", source)
    check = toast(guid=own(), openedDate=now(-3600))
    raw = json.dumps(check).encode()
    headers = {"Toast-Signature": signature(SECRET, raw + check["timestamp"].encode())}
    assert await sent(door, f"/v1/hooks/toast/{source}", raw, headers) == (200, {"accepted": 1, "rejected": []})


async def test_a_standard_webhook_of_the_standards_library_comes_in_and_an_old_one_does_not(door: Door) -> None:
    source, email = own("crm/eu"), f"{own()}@example.com"
    hook = await made(door, "standard", source)
    assert hook["secret"].startswith("whsec_")
    signer = Webhook(hook["secret"])
    raw = json.dumps(
        {"type": "complaint", "timestamp": now(), "data": {"identifiers": {"email": email}, "topic": "late"}}
    ).encode()

    async def deliver(at: datetime, body: bytes = raw, signed: bytes = raw) -> int:
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signer.sign("msg_1", at, signed.decode()),
        }
        return (await sent(door, f"/v1/hooks/standard/{source}", body, headers))[0]

    assert await deliver(datetime.now(UTC)) == 200
    assert await deliver(datetime.now(UTC) - timedelta(minutes=6)) == 401
    assert await deliver(datetime.now(UTC), raw.replace(b"late", b"rude")) == 401
    (event,) = await received(door, f"email:{email}")
    assert (event["id"], event["type"], event["data"]) == ("msg_1", "complaint", {"topic": "late"})


async def test_what_is_not_signed_by_the_provider_stays_out(door: Door) -> None:
    source, body = own(), order()
    await made(door, "shopify", source)
    assert (await shopify(door, source, body, secret="another-secret-01"))[0] == 401
    status, answer = await sent(door, f"/v1/hooks/shopify/{source}", json.dumps(body).encode(), {})
    assert status == 401
    assert "x-shopify-hmac-sha256" in answer["detail"]
    status, answer = await shopify(door, own("nobody"), body)
    assert (status, answer["status"]) == (404, 404)
    assert (await sent(door, "/v1/hooks/stripe/main", b"{}", {}))[0] == 404
    async with door.client.get(f"{door.address}/v1/hooks/shopify/{source}") as answered:
        assert answered.status == 405
    assert await rejected(door, source) == []


async def test_a_secret_is_replaced_without_a_webhook_lost(door: Door) -> None:
    source = own()
    hook = await made(door, "shopify", source)
    place, next_secret = f"/v1/hook-endpoints/{hook['hook_id']}", "the-next-secret-42"
    status, second = await door.call("POST", f"{place}/secrets", {"secret": next_secret})
    assert status == 201
    assert second["secret"] is None
    assert (await door.call("POST", f"{place}/secrets", {"secret": "a-third-one-0123"}))[0] == 409
    for secret in (SECRET, next_secret):
        assert (await shopify(door, source, order(), secret=secret))[0] == 200
    first = next(each for each in hook["secrets"])
    assert (await door.call("DELETE", f"{place}/secrets/{first['secret_id']}"))[0] == 204
    assert (await shopify(door, source, order()))[0] == 401
    assert (await shopify(door, source, order(), secret=next_secret))[0] == 200
    assert (await door.call("DELETE", f"{place}/secrets/{second['secret_id']}"))[0] == 409


async def test_a_secret_is_sealed_where_it_is_kept_and_nothing_comes_in_that_cannot_be_proven(
    door: Door, postgres_url: str
) -> None:
    source = own()
    hook = await made(door, "shopify", source)
    connection = await asyncpg.connect(database_of(postgres_url, door.prefix.replace(".", "_")))
    rows = await connection.fetch("SELECT sealed FROM hook_secret WHERE hook_id = $1", hook["hook_id"])
    await connection.close()
    assert len(rows) == 1
    assert SECRET.encode() not in rows[0]["sealed"]
    async with another(door, {"DANGOL_TOKEN_SECRET": "of-another-installation-0123456789"}) as stranger:
        status, answer = await shopify(stranger, source, order())
        assert status == 503
        assert SECRET not in json.dumps(answer)


async def test_what_the_mapping_refuses_is_answered_200_kept_and_replayed_once_it_is_mended(door: Door) -> None:
    source, name = own(), own("mapping")
    body = order(email=f"{own()}@example.com", total_price="47,30")
    # A shop that writes commas: the mapping that ships does not guess what they mean.
    status, _ = await door.call("POST", "/v1/mappings", mapping_document(name, "money(body.total_price)"))
    assert status == 201
    assert (await door.call("POST", f"/v1/mappings/{name}/activate"))[0] == 200
    await made(door, "shopify", source, mapping=name)
    status, answer = await shopify(door, source, body)
    assert (status, answer["accepted"]) == (200, 0)
    (refusal,) = answer["rejected"]
    assert (refusal["type"], refusal["pointer"]) == ("mapping-failed", "/events/0/emit/data/amount")
    (kept,) = await rejected(door, source)
    assert json.loads(kept.body) == body
    assert kept.door == f"hooks/shopify/{source}"
    assert kept.context["header.x-shopify-topic"] == "orders/paid"
    assert not any("hmac" in header for header in kept.context)
    mended = mapping_document(name, "minor(money(body.total_price, ','), body.currency)")
    assert (await edited(door, "PUT", f"/v1/mappings/{name}", 1, mended))[0] == 200
    assert (await door.call("POST", f"/v1/mappings/{name}/activate"))[0] == 200
    await replayed(door, kept.reject_id)
    (event,) = await received(door, f"email:{body['email']}")
    assert event["data"]["amount"] == "47.3"


def mapping_document(name: str, amount: str) -> dict[str, Any]:
    emit = {
        "id": "concat('order-', body.id)",
        "type": "'purchase'",
        "time": "time(body.processed_at)",
        "identifiers": {"email": "body.email"},
        "data": {"amount": amount, "currency": "body.currency"},
    }
    return {"id": name, "events": [{"when": "headers.\"x-shopify-topic\" == 'orders/paid'", "emit": emit}]}


async def replayed(door: Door, reject_id: str) -> None:
    """Waits until the reject is listed, which is a matter of another unit, and brings it in."""
    async with asyncio.timeout(20):
        while (await door.call("GET", f"/v1/rejects/{reject_id}"))[0] != 200:
            await asyncio.sleep(0.2)
    status, answer = await door.call("POST", "/v1/rejects/replay", {"ids": [reject_id]})
    assert status == 200, answer
    assert [each["outcome"] for each in answer["items"]] == ["accepted"], answer


async def test_what_a_schema_refuses_is_kept_too(door: Door) -> None:
    source = own()
    await made(door, "standard", source)
    status, hooks = await door.call("GET", "/v1/hook-endpoints?limit=1000")
    hook = next(each for each in hooks["items"] if each["source"] == source)
    status, made_secret = await door.call("POST", f"/v1/hook-endpoints/{hook['hook_id']}/secrets", {})
    assert status == 201
    raw = json.dumps({"id": own(), "type": "never_heard_of", "time": now(), "data": {}}).encode()
    at = datetime.now(UTC)
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(made_secret["secret"]).sign("m", at, raw.decode()),
    }
    status, answer = await sent(door, f"/v1/hooks/standard/{source}", raw, headers)
    assert (status, answer["accepted"], answer["rejected"][0]["type"]) == (200, 0, "unknown-type")
    (kept,) = await rejected(door, source)
    assert (kept.reason, kept.type, kept.body) == ("unknown-type", "never_heard_of", raw)


async def test_a_body_that_is_no_json_is_kept_and_answered(door: Door) -> None:
    source = own()
    await made(door, "shopify", source)
    for body in (b"", b"<xml/>", b"[" * 3_000, b"\xff\x00"):
        status, answer = await shopify(door, source, body)
        assert (status, answer["rejected"][0]["type"]) == (200, "not-json")
    assert len(await rejected(door, source)) == 4


async def test_a_request_for_erasure_is_heard(door: Door) -> None:
    source = own()
    await made(door, "shopify", source)
    customer = SHOPIFY_REDACT | {"customer": {"id": number(), "email": f"{own()}@example.com"}}
    more = {"X-Shopify-Triggered-At": now()}
    assert await shopify(door, source, customer, topic="customers/redact", **more) == (
        200,
        {"accepted": 1, "rejected": []},
    )
    (event,) = await received(door, f"email:{customer['customer']['email']}")  # type: ignore[index]
    assert (event["type"], event["data"]["request"]) == ("privacy.request", "erasure")


async def test_a_webhook_of_no_use_is_answered_and_makes_nothing(door: Door) -> None:
    source = own()
    await made(door, "shopify", source)
    assert await shopify(door, source, {"id": 1}, topic="products/update") == (200, {"accepted": 0, "rejected": []})
    assert await rejected(door, source) == []


async def test_a_large_and_hostile_body_holds_up_nobody(door: Door) -> None:
    source = own()
    await made(door, "shopify", source)
    lines = [{"product_id": at, "quantity": 1, "price": "1"} for at in range(15_000)]
    raw = json.dumps(order(line_items=lines), separators=(",", ":")).encode()
    assert 500_000 < len(raw) < 1 << 20
    big = asyncio.gather(*(shopify(door, source, raw) for _ in range(4)))
    slowest = 0.0
    while not big.done():
        began = asyncio.get_running_loop().time()
        assert (await shopify(door, source, order()))[0] == 200
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.01)
    assert {status for status, _ in await big} == {200}
    assert slowest < 3.0
    assert (await shopify(door, source, b"x" * (1 << 20) + b"x"))[0] == 413


async def test_hooks_are_counted_by_provider_and_result(door: Door) -> None:
    source = own()
    await made(door, "shopify", source)
    await shopify(door, source, order())
    await shopify(door, source, order(), secret="another-secret-01")
    async with door.client.get(f"{door.address}/metrics") as answer:
        text = await answer.text()
    for provider, result in (("shopify", "accepted"), ("shopify", "bad_signature"), ("other", "unknown")):
        label = f'dangol_ingest_hook_requests_total{{provider="{provider}",result="{result}"}}'
        if provider == "shopify":
            assert label in text
    assert source not in text


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"provider": "stripe"}, "#/provider"),
        ({"source": "with space"}, "#/source"),
        ({"source": "*"}, "#/source"),
        ({"source": "a//b"}, "#/source"),
        ({"secret": None}, "#/secret"),
        ({"secret": "short"}, "#/secret"),
        ({"mapping": "nobody-wrote-it"}, "#/mapping"),
        ({"provider": "square"}, "#/notification_url"),
        ({"provider": "standard", "secret": "whsec_x"}, "#/secret"),
        ({"notification_url": "ftp://x"}, "#/notification_url"),
        ({"colour": "red"}, "#/colour"),
    ],
)
async def test_an_endpoint_that_could_not_work_is_not_made(door: Door, change: dict[str, Any], pointer: str) -> None:
    whole = {"provider": "shopify", "source": own(), "channel": "web", "secret": SECRET} | change
    status, answer = await door.call("POST", "/v1/hook-endpoints", whole)
    assert status == 422
    assert [each["pointer"] for each in answer["errors"]] == [pointer]


async def test_endpoints_are_listed_changed_and_taken_away_and_show_no_secret(door: Door) -> None:
    source = own()
    hook = await made(door, "square", source, notification_url=URL, branch="gangnam")
    place = f"/v1/hook-endpoints/{hook['hook_id']}"
    again = {"provider": "square", "source": source, "channel": "web", "secret": SECRET, "notification_url": URL}
    assert (await door.call("POST", "/v1/hook-endpoints", again))[0] == 409
    assert (await door.call("PATCH", place, {"channel": "pos"}))[0] == 428
    status, changed = await edited(door, "PATCH", place, 1, {"branch": None, "channel": "pos"})
    assert (status, changed["branch"], changed["channel"], changed["version"]) == (200, None, "pos", 2)
    assert (await edited(door, "PATCH", place, 1, {"channel": "web"}))[0] == 412
    assert (await edited(door, "PATCH", place, 2, {"notification_url": None}))[0] == 422
    assert (await edited(door, "PATCH", place, 2, {"mapping": None}))[0] == 422
    status, seen = await door.call("GET", place)
    assert (status, seen["version"]) == (200, 2)
    pages, cursor = [], ""
    while True:
        status, page = await door.call("GET", f"/v1/hook-endpoints?limit=3{cursor}")
        pages += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [each["hook_id"] for each in pages].count(hook["hook_id"]) == 1
    assert SECRET not in json.dumps(pages)
    assert (await door.call("DELETE", place))[0] == 204
    assert (await door.call("DELETE", place))[0] == 404
    assert (await door.call("GET", place))[0] == 404
    assert (await sent(door, f"/v1/hooks/square/{source}", b"{}", {}))[0] == 404


async def test_the_door_for_webhooks_is_described(door: Door) -> None:
    async with door.client.get(f"{door.address}/openapi.json") as answer:
        document = await answer.json()
    post = document["paths"]["/v1/hooks/{provider}/{source}"]["post"]
    assert post["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/HookReceipt")


async def test_while_kafka_is_away_webhooks_are_sent_away_and_none_is_lost(postgres_url: str, tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path / "kafka", free_port())
    broker.start()
    try:
        async with running(postgres_url, broker.bootstrap, f"t{clock.new_id().hex[-12:]}", tmp_path) as door:
            source = own()
            await made(door, "shopify", source)
            assert (await shopify(door, source, order()))[0] == 200
            broker.kill()
            assert (await shopify(door, source, order()))[0] == 503
            # What would be refused must be kept as well, so it is not answered 200 either.
            assert (await shopify(door, source, order(total_price="x")))[0] == 503
            # And what makes nothing needs no broker.
            assert (await shopify(door, source, {}, topic="products/update"))[0] == 200
            broker.start()
            await until_ready(door)
            async with asyncio.timeout(15):
                while (await shopify(door, source, order(total_price="x")))[0] != 200:
                    await asyncio.sleep(0.1)
    finally:
        broker.stop()


async def test_while_postgresql_is_away_webhooks_come_in_as_before(kafka_bootstrap: str, tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres", free_port(), durable=False)
    server.start()
    try:
        async with running(server.url, kafka_bootstrap, f"t{clock.new_id().hex[-12:]}", tmp_path) as door:
            source = own()
            await made(door, "shopify", source)
            server.kill()
            await asyncio.sleep(1.5)
            assert (await shopify(door, source, order()))[0] == 200
            server.start()
            async with asyncio.timeout(10):
                while (await door.call("GET", "/v1/hook-endpoints"))[0] != 200:
                    await asyncio.sleep(0.1)
    finally:
        server.stop(immediate=True)

"""Do the clients that people have already work here as they are? Segment's, RudderStack's and the CloudEvents SDK."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from rudderstack.analytics.client import Client as RudderClient  # type: ignore[import-untyped]
from segment.analytics.client import Client as SegmentClient  # type: ignore[import-untyped]

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from libs.common import clock
from libs.common.events import EventReceived, EventRejected
from libs.common.topics import EVENT_RECEIVED, EVENT_REJECTED
from tests.ingest_door import WEB, Door, now, running, until_ready
from tests.npm_packages import BROWSER, installed

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = ("identify", "track", "page", "screen", "group", "alias")
TYPES = ("identify", "segment.track.booked_a_table", "visit", "visit", "segment.group", "identify")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("segment")) as door:
        yield door


@pytest.fixture(params=["segment", "rudderstack"])
def make_client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """How to make a client of one of the two companies; both have the same calls."""
    made: Callable[..., Any] = RudderClient if request.param == "rudderstack" else SegmentClient
    return made


async def received(door: Door, key: str, number: int = 1) -> dict[str, EventReceived]:
    """Events of one person by id, once there are as many."""
    found = await door.log(EVENT_RECEIVED.name, key.encode(), number=number)
    events = [msgspec.json.decode(message.value or b"", type=EventReceived) for message in found]
    return {event.id: event for event in events}


def say_everything(client: Any, user: str) -> None:
    """One call of each kind, with message ids that name them."""
    ids = {call: f"{user}-{call}" for call in CALLS}
    # A time without an offset, as Python makes them.
    born = datetime(2026, 1, 2)  # noqa: DTZ001
    traits = {"email": f"{user}@example.com", "plan": "gold", "createdAt": born}
    client.identify(user, traits, message_id=ids["identify"], anonymous_id="anon-1")
    client.track(user, "Booked a Table", {"seats": 4, "price": 12.5}, message_id=ids["track"])
    client.page(user, "Shop", "Tea", {"url": "https://shop.example/tea"}, message_id=ids["page"])
    client.screen(user, "App", "Menu", {"tab": 2}, message_id=ids["screen"])
    client.group(user, "acme", {"plan": "team"}, message_id=ids["group"])
    client.alias("anon-0", user, message_id=ids["alias"])


@pytest.mark.parametrize("compressed", [False, True])
async def test_every_call_of_an_unmodified_client_arrives(
    door: Door, make_client: Callable[..., Any], compressed: bool, fresh_name: str
) -> None:
    errors: list[Any] = []
    client = make_client(
        WEB, host=door.address, gzip=compressed, on_error=lambda *what: errors.append(what), upload_interval=0.2
    )
    user = f"ada-{fresh_name}"
    say_everything(client, user)
    await asyncio.to_thread(client.shutdown)
    assert errors == []
    # The record's key is the strongest identifier, which for all of these is the account.
    events = await received(door, f"account:{user}", len(CALLS))
    assert {id: event.type for id, event in events.items()} == {
        f"{user}-{call}": type for call, type in zip(CALLS, TYPES, strict=True)
    }
    assert {event.source for event in events.values()} == {"segment/web"}
    identified = events[f"{user}-identify"]
    assert identified.identifiers == {"account": user, "cookie": "anon-1", "email": f"{user}@example.com"}
    assert msgspec.json.decode(identified.data)["traits"]["createdAt"] == "2026-01-02T00:00:00"
    assert msgspec.json.decode(events[f"{user}-track"].data)["seats"] == 4
    assert msgspec.json.decode(events[f"{user}-page"].data)["page"] == "https://shop.example/tea"
    assert msgspec.json.decode(events[f"{user}-screen"].data)["screen"] == "Menu"
    assert msgspec.json.decode(events[f"{user}-group"].data)["group"] == "acme"
    assert events[f"{user}-alias"].identifiers == {"account": user, "cookie": "anon-0"}
    for event in events.values():
        assert abs(event.time - clock.now()) < timedelta(minutes=1)


async def test_a_bad_item_costs_neither_the_batch_nor_a_retry(
    door: Door, make_client: Callable[..., Any], fresh_name: str
) -> None:
    errors: list[Any] = []
    client = make_client(WEB, host=door.address, on_error=lambda *what: errors.append(what), upload_interval=0.2)
    user = f"bo-{fresh_name}"
    client.track(user, "Good", message_id=f"{user}-1")
    client.track(user, "Bad", {"weight": float("nan")}, message_id=f"{user}-2")
    client.track(user, "Order Completed", {"total": 5}, message_id=f"{user}-3")
    client.track(user, "Good", message_id=f"{user}-4")
    await asyncio.to_thread(client.shutdown)
    assert errors == []
    assert set(await received(door, f"account:{user}", 2)) == {f"{user}-1", f"{user}-4"}
    kept = [await door.log(EVENT_REJECTED.name, f"{user}-{number}".encode()) for number in (2, 3)]
    for (message,), reason in zip(kept, ("unsafe-value", "invalid-data"), strict=True):
        rejected = msgspec.json.decode(message.value or b"", type=EventRejected)
        assert (rejected.door, rejected.reason) == ("segment", reason)
        assert rejected.context["call"] == "batch" and rejected.context["sent_at"]


async def test_a_client_that_is_told_to_wait_comes_again(door: Door, fresh_name: str) -> None:
    status, made = await door.call("POST", "/v1/keys", {"channel": "slow", "events_per_second": 60})
    assert status == 201
    errors: list[Any] = []
    client = SegmentClient(
        made["key"], host=door.address, on_error=lambda *what: errors.append(what), upload_size=60, upload_interval=0.1
    )
    user = f"cy-{fresh_name}"
    for number in range(240):
        client.track(user, "Step", {"number": number}, message_id=f"{user}-{number}")
    await asyncio.to_thread(client.shutdown)
    assert errors == []
    assert len(await received(door, f"account:{user}", 240)) == 240
    async with door.client.get(f"{door.address}/metrics") as answer:
        assert f'limited_requests_total{{key_id="{made["key_id"]}"}}' in await answer.text()


async def test_while_kafka_is_away_clients_keep_what_they_have(
    postgres_url: str, fresh_name: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(tmp_path / "kafka", free_port())
    broker.start()
    try:
        async with running(postgres_url, broker.bootstrap, fresh_name, tmp_path) as door:
            errors: list[Any] = []
            clients = {
                name: make(WEB, host=door.address, on_error=lambda *what: errors.append(what), upload_interval=0.1)
                for name, make in (("dee", SegmentClient), ("eli", RudderClient))
            }
            for name, client in clients.items():
                client.track(name, "Before", message_id=f"{name}-before")
                await asyncio.to_thread(client.flush)
            broker.kill()
            for name, client in clients.items():
                client.track(name, "While Away", message_id=f"{name}-away")
            async with asyncio.timeout(20):
                while await _refused(door, 503) < len(clients):
                    await asyncio.sleep(0.1)
            broker.start()
            await until_ready(door)
            for name, client in clients.items():
                await asyncio.to_thread(client.shutdown)
                assert set(await received(door, f"account:{name}", 2)) == {f"{name}-before", f"{name}-away"}
            assert errors == []
    finally:
        broker.stop()


async def _refused(door: Door, status: int) -> float:
    async with door.client.get(f"{door.address}/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if "refused_requests_total{" in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'"{status}"' in line)


@pytest.mark.parametrize("script", ["send_segment.mjs", "send_rudderstack.mjs"])
async def test_every_call_of_the_clients_for_node_arrives(door: Door, script: str, fresh_name: str) -> None:
    packages = await asyncio.to_thread(installed, BROWSER)
    user = f"eve-{fresh_name}"
    process = await asyncio.create_subprocess_exec(
        "node", str(BROWSER / script), str(packages), door.address, WEB, user, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    events = await received(door, f"account:{user}", len(CALLS))
    assert {id: event.type for id, event in events.items()} == {
        f"{user}-{call}": type for call, type in zip(CALLS, TYPES, strict=True)
    }
    assert events[f"{user}-identify"].identifiers["email"] == f"{user}@example.com"
    assert msgspec.json.decode(events[f"{user}-page"].data)["page"] == "https://shop.example/tea"


@pytest.mark.parametrize("binary", [False, True], ids=["structured", "binary"])
async def test_the_cloudevents_sdk_is_understood(door: Door, binary: bool, fresh_name: str) -> None:
    from cloudevents.core.bindings.http import to_binary_event, to_structured_event
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    customer = f"8801-{fresh_name}"
    attributes = {
        "id": f"{fresh_name}-1",
        "source": "shop/체크아웃",
        "type": "purchase",
        "specversion": "1.0",
        "time": datetime.now(UTC),
        "datacontenttype": "application/json",
        "subject": f"loyalty_card:{customer}",
    }
    event = CloudEvent(attributes, {"amount": 45000, "currency": "KRW"})
    message = to_binary_event(event, JSONFormat()) if binary else to_structured_event(event, JSONFormat())
    headers = {"Authorization": f"Bearer {WEB}", **message.headers}
    async with door.client.post(f"{door.address}/v1/events", data=message.body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
        assert json.loads(await answer.read())["ids"] == [f"{fresh_name}-1"]
    (made,) = (await received(door, f"loyalty_card:{customer}")).values()
    assert (made.source, made.type) == ("shop/체크아웃", "purchase")
    assert msgspec.json.decode(made.data) == {"amount": 45000, "currency": "KRW"}


async def post(
    door: Door, path: str, body: Any, headers: dict[str, str] | None = None, key: str | None = WEB
) -> tuple[int, Any, dict[str, str]]:
    raw = body if isinstance(body, bytes | io.BytesIO) else json.dumps(body).encode()
    auth = {} if key is None else {"Authorization": f"Basic {_basic(key)}"}
    async with door.client.post(door.address + path, data=raw, headers=auth | (headers or {})) as answer:
        text = await answer.read()
        return answer.status, json.loads(text) if text else None, dict(answer.headers)


def _basic(key: str) -> str:
    return base64.b64encode(f"{key}:".encode()).decode()


def item(user: str, **changes: Any) -> dict[str, Any]:
    whole = {"type": "track", "messageId": f"{user}-1", "userId": user, "event": "Seen", "timestamp": now()}
    return whole | changes


@pytest.mark.parametrize(
    ("path", "changes", "type"),
    [
        ("/v1/identify", {"traits": {"plan": "gold"}}, "identify"),
        ("/v1/i", {}, "identify"),
        ("/v1/track", {}, "segment.track.seen"),
        ("/v1/t", {}, "segment.track.seen"),
        ("/v1/page", {}, "visit"),
        ("/v1/p", {}, "visit"),
        ("/v1/screen", {"name": "Menu"}, "visit"),
        ("/v1/s", {"name": "Menu"}, "visit"),
        ("/v1/group", {"groupId": "acme"}, "segment.group"),
        ("/v1/g", {"groupId": "acme"}, "segment.group"),
        ("/v1/alias", {"previousId": "old"}, "identify"),
        ("/v1/a", {"previousId": "old"}, "identify"),
    ],
)
async def test_single_calls_come_by_long_and_by_short_paths(
    door: Door, path: str, changes: dict[str, Any], type: str, fresh_name: str
) -> None:
    status, answer, _ = await post(door, path, item(fresh_name, type="whatever", **changes))
    assert (status, answer) == (200, {"success": True})
    assert (await received(door, f"account:{fresh_name}"))[f"{fresh_name}-1"].type == type


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8", ""])
async def test_json_is_json_under_any_content_type(door: Door, path: str, content_type: str, fresh_name: str) -> None:
    body = gzip.compress(json.dumps({"batch": [item(fresh_name)]}).encode())
    headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    assert (await post(door, path, body, headers))[:2] == (200, {"success": True})
    assert set(await received(door, f"account:{fresh_name}")) == {f"{fresh_name}-1"}


async def test_the_examples_of_the_description_are_accepted(door: Door) -> None:
    _, document = await door.call("GET", "/openapi.json")
    for call in (*CALLS, "batch", "import"):
        described = document["paths"][f"/v1/{call}"]["post"]["requestBody"]["content"]["application/json"]
        # Only the time of an example grows old.
        body = json.loads(json.dumps(described["example"]).replace("2026-11-21T10:15:00.000Z", now()))
        assert (await post(door, f"/v1/{call}", body))[:2] == (200, {"success": True})
    assert {"/v1/projects/{write_key}/settings", "/sourceConfig/"} <= document["paths"].keys()


async def test_the_key_may_stand_in_the_head_the_address_or_the_body(door: Door, fresh_name: str) -> None:
    batch = {"batch": [item(fresh_name)]}
    assert (await post(door, "/v1/batch", batch | {"writeKey": WEB}, key=None))[0] == 200
    assert (await post(door, "/v1/track", item(fresh_name) | {"writeKey": WEB}, key=None))[0] == 200
    assert (await post(door, f"/beacon/v1/batch?writeKey={WEB}", batch, key=None))[0] == 200
    for path, body in (("/v1/batch", batch), ("/v1/batch", batch | {"writeKey": "dk_web_of_nobody"})):
        status, answer, _ = await post(door, path, body, key=None)
        assert status == 401 and answer["title"]
    assert (await post(door, "/v1/batch", batch | {"writeKey": WEB}, key="dk_web_of_nobody"))[0] == 401


async def test_what_is_refused_alone_is_said_beside_success(door: Door, fresh_name: str) -> None:
    batch = [item(fresh_name), item(fresh_name, messageId="m-2", userId=None), 5]
    status, answer, _ = await post(door, "/v1/batch", {"batch": batch})
    assert status == 200 and answer["success"] is True
    assert [(each["index"], each["messageId"], each["type"], each["pointer"]) for each in answer["rejected"]] == [
        (1, "m-2", "missing-user-id", "/userId"),
        (2, "", "malformed", ""),
    ]
    assert all(each["detail"] for each in answer["rejected"])


async def test_only_a_body_that_cannot_be_read_is_refused_whole(door: Door) -> None:
    assert (await post(door, "/v1/batch", b"{"))[0] == 400
    assert (await post(door, "/v1/track", b"event=Seen"))[0] == 400
    assert (await post(door, "/v1/batch", {"batch": [], "sentAt": now()}))[:2] == (200, {"success": True})
    assert (await post(door, "/v1/batch", io.BytesIO(b"x" * 1_100_000)))[0] == 413
    async with door.client.get(f"{door.address}/v1/track") as answer:
        assert answer.status == 405


async def test_what_clients_say_of_themselves_is_taken_and_dropped(door: Door) -> None:
    series = {"series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1, "tags": {}}]}
    assert (await post(door, "/v1/m", series, key=None))[:2] == (200, {"success": True})


async def test_browser_clients_learn_where_to_send(door: Door) -> None:
    async with door.client.get(f"{door.address}/v1/projects/{WEB}/settings") as answer:
        assert answer.status == 200
        settings = await answer.json()
    host = door.address.removeprefix("http://")
    assert settings["integrations"]["Segment.io"] == {"apiKey": WEB, "apiHost": f"{host}/v1", "protocol": "http"}
    async with door.client.get(
        f"{door.address}/sourceConfig/?p=npm&v=3", headers={"Authorization": f"Basic {_basic(WEB)}"}
    ) as answer:
        assert answer.status == 200
        source = (await answer.json())["source"]
    assert (source["writeKey"], source["enabled"], source["destinations"]) == (WEB, True, [])
    for path in ("/v1/projects/dk_web_of_nobody/settings", "/v1/projects/x", "/sourceConfig/?writeKey=nobody"):
        async with door.client.get(door.address + path) as answer:
            assert answer.status == 404


async def test_a_repeat_is_the_same_record(door: Door, fresh_name: str) -> None:
    sent = item(fresh_name)
    for attempt in range(2):
        body = {"batch": [sent | {"_metadata": {"retryCount": attempt}}], "sentAt": now(attempt)}
        assert (await post(door, "/v1/batch", body, {"X-Retry-Count": str(attempt)}))[0] == 200
    first, second = await door.log(EVENT_RECEIVED.name, f"account:{fresh_name}".encode(), number=2)
    assert first.value == second.value


async def test_a_refused_item_comes_in_after_the_key_may_send_it(door: Door, fresh_name: str) -> None:
    status, made = await door.call("POST", "/v1/keys", {"channel": "app", "types": ["visit"]})
    assert status == 201
    sent = item(fresh_name, messageId=f"{fresh_name}-late")
    status, answer, _ = await post(door, "/v1/track", sent, key=made["key"])
    assert status == 200 and answer["rejected"][0]["type"] == "type-not-allowed"
    async with door.client.patch(
        f"{door.address}/v1/keys/{made['key_id']}",
        json={"types": ["visit", "segment.*"]},
        headers=door.admin | {"If-Match": "*"},
    ) as changed:
        assert changed.status == 200
    reject = await _reject_of(door, f"{fresh_name}-late")
    status, done = await door.call("POST", "/v1/rejects/replay", {"ids": [reject]})
    assert status == 200, done
    events = await received(door, f"account:{fresh_name}")
    assert events[f"{fresh_name}-late"].type == "segment.track.seen"


async def _reject_of(door: Door, id: str) -> str:
    async with asyncio.timeout(20):
        while True:
            _, listed = await door.call("GET", "/v1/rejects?door=segment")
            for each in listed["items"]:
                if each["id"] == id:
                    return str(each["reject_id"])
            await asyncio.sleep(0.2)

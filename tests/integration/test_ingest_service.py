"""Does the ingest service keep its word as a process, on the real PostgreSQL and the real Kafka?"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from libs.common import clock
from libs.common.auth import issue_token
from libs.common.events import EventReceived, EventRejected
from libs.common.topics import EVENT_RECEIVED, EVENT_REJECTED
from tests.ingest_door import POS, SECRET, WEB, Door, database_of, fresh, running
from tests.ingest_events import event, naughty_strings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """One service for all tests that leave it as it was; each test uses keys of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("ingest")) as door:
        yield door


async def test_an_accepted_event_is_in_the_log_before_the_answer(door: Door) -> None:
    sent = fresh(identifiers={"loyalty_card": "8801-first"})
    assert await door.send(sent) == (202, {"accepted": 1, "rejected": [], "ids": ["receipt-1"]})
    key = b"loyalty_card:8801-first"
    (message,) = await door.log(EVENT_RECEIVED.name, key)
    assert message.key == key
    assert message.value == json.dumps(sent).encode()
    assert dict(message.headers)["channel"] == b"pos"
    assert dict(message.headers)["key-id"]


async def test_each_event_of_a_batch_has_its_verdict_and_the_refused_are_kept(door: Door) -> None:
    status, answer = await door.send([fresh(id="a"), fresh(id="b", type="purchse"), fresh(id="c")])
    assert status == 202
    assert answer["ids"] == ["a", "c"]
    (refused,) = answer["rejected"]
    assert (refused["index"], refused["id"], refused["type"], refused["pointer"]) == (1, "b", "unknown-type", "/type")
    (message,) = await door.log(EVENT_REJECTED.name, b"b")
    assert message.value is not None
    kept = msgspec.json.decode(message.value, type=EventRejected)
    assert (kept.id, kept.reason, kept.pointer) == ("b", "unknown-type", "/type")
    assert json.loads(kept.body)["type"] == "purchse"


async def test_a_batch_of_which_nothing_is_accepted_is_a_problem_with_a_receipt(door: Door) -> None:
    status, answer = await door.send({"events": [fresh(time="2020-01-01T00:00:00")]})
    assert status == 422
    assert answer["errors"][0]["pointer"] == "#/events/0/time"
    assert answer["accepted"] == 0 and len(answer["rejected"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"{", 400, "#"),
        (b"", 400, None),
        (b"[" * 100_000, 400, None),
        (b"x" * 1_100_000, 413, None),
        (b"x" * 200_000_000, 413, None),
        (json.dumps(event(time="2020-01-01T00:00:00Z")).encode(), 422, "#/time"),
        (b'{"id": NaN}', 422, "#/id"),
    ],
)
async def test_what_is_wrong_is_said_as_a_problem(door: Door, body: bytes, status: int, pointer: str | None) -> None:
    answered, answer = await door.send(body)
    assert answered == status
    assert answer["status"] == status and answer["detail"]
    if pointer is not None:
        assert answer["errors"][0]["pointer"] == pointer


async def test_a_key_opens_only_what_it_should_until_it_is_revoked(door: Door) -> None:
    status, made = await door.call("POST", "/v1/keys", {"channel": "pos", "sources": ["store-*/pos-*"]})
    assert status == 201
    assert (await door.send(fresh(), made["key"]))[0] == 202
    assert (await door.send(fresh(source="web/shop"), made["key"]))[0] == 403
    assert (await door.send(fresh(channel="web"), made["key"]))[0] == 403
    assert (await door.send(fresh(time="2020-01-01T00:00:00Z", history=True), made["key"]))[0] == 403
    assert (await door.send(fresh(time="2020-01-01T00:00:00Z", history=True), POS))[0] == 202
    status, listed = await door.call("GET", "/v1/keys?limit=2")
    assert status == 200 and len(listed["items"]) == 2
    status, rest = await door.call("GET", f"/v1/keys?cursor={listed['next']}")
    assert made["key_id"] in [item["key_id"] for item in rest["items"]] and rest["next"] is None
    assert made["key"] not in json.dumps([listed, rest])
    assert (await door.call("DELETE", f"/v1/keys/{made['key_id']}"))[0] == 204
    assert (await door.send(fresh(), made["key"]))[0] == 401
    assert (await door.call("DELETE", "/v1/keys/nobody"))[0] == 404


async def test_a_key_that_another_process_revokes_is_refused_within_two_seconds(door: Door, postgres_url: str) -> None:
    _, made = await door.call("POST", "/v1/keys", {"channel": "kiosk"})
    assert (await door.send(fresh(), made["key"]))[0] == 202
    database = await asyncpg.connect(database_of(postgres_url, door.prefix.replace(".", "_")))
    await database.execute("UPDATE write_key SET revoked_at = now() WHERE key_id = $1", made["key_id"])
    await database.close()
    await asyncio.sleep(2.0)
    assert (await door.send(fresh(), made["key"]))[0] == 401


@pytest.mark.parametrize("authorization", ["Bearer dk_pos_wrong", "Basic !", "", POS[:-1]])
async def test_without_a_known_key_nothing_is_accepted(door: Door, authorization: str) -> None:
    status, answer = await door.send(fresh(), headers={"Authorization": authorization})
    assert status == 401 and answer["detail"]


async def test_a_registered_type_is_known_at_once(door: Door) -> None:
    own = fresh(type="warranty_registered", data={"years": 2})
    assert (await door.send(own))[0] == 422
    document = {"type": "warranty_registered", "description": "A warranty began."}
    assert (await door.call("POST", "/v1/schemas", document))[0] == 201
    assert (await door.call("POST", "/v1/schemas", document))[0] == 200
    assert (await door.send(own))[0] == 202
    _, listed = await door.call("GET", "/v1/schemas")
    entry = next(each for each in listed["items"] if each["type"] == "warranty_registered")
    entry.pop("subject")
    assert entry == {"type": "warranty_registered", "description": "A warranty began.", "standard": False, "version": 1}
    assert (await door.call("POST", "/v1/schemas", {"type": "purchase"}))[0] == 409
    assert (await door.call("POST", "/v1/schemas", {"type": "task.mine"}))[0] == 422
    assert (await door.call("POST", "/v1/schemas", {"type": "Bad Name"}))[0] == 422


async def test_roles_keep_the_administration_shut(door: Door) -> None:
    token = issue_token(SECRET, subject="vi", roles=["viewer"])
    door = replace(door, admin={"Authorization": f"Bearer {token}"})
    assert (await door.call("POST", "/v1/keys", {"channel": "pos"}))[0] == 403
    assert (await door.call("GET", "/v1/keys"))[0] == 403
    assert (await door.call("POST", "/v1/schemas", {"type": "own"}))[0] == 403
    assert (await door.call("GET", "/v1/schemas"))[0] == 200


async def test_a_compressed_batch_and_a_bomb(door: Door) -> None:
    packed = gzip.compress(json.dumps([fresh(id=str(n)) for n in range(100)]).encode())
    status, answer = await door.send(packed, headers={"Content-Encoding": "gzip"})
    assert status == 202 and answer["accepted"] == 100
    assert (await door.send(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"}))[0] == 413
    assert (await door.send(b"{}", headers={"Content-Encoding": "br"}))[0] == 415


async def test_a_cloud_event_in_binary_mode_is_accepted(door: Door) -> None:
    attributes = {"specversion": "1.0", "id": "c-1", "source": "web/shop", "type": "visit", "subject": "account:kim"}
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    assert (await door.send({"page": "/tea"}, WEB, headers))[0] == 202
    (message,) = await door.log(EVENT_RECEIVED.name, b"account:kim")
    assert message.value is not None
    read = msgspec.json.decode(message.value, type=EventReceived)
    assert (read.id, read.type, read.identifiers) == ("c-1", "visit", {"account": "kim"})


async def test_a_body_that_trickles_is_cut_off_while_others_are_served(door: Door) -> None:
    host, port = door.address.removeprefix("http://").split(":")
    slow = []
    for _ in range(50):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {POS}\r\nContent-Length: 50\r\n\r\n{{"
        writer.write(head.encode())
        slow.append((reader, writer))
    assert (await door.send(fresh()))[0] == 202
    for reader, writer in slow:
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_every_naughty_string_is_judged_and_what_is_accepted_can_be_stored(door: Door, postgres_url: str) -> None:
    strings = naughty_strings()
    batches = [
        [
            fresh(
                id=text or "empty",
                source="store-1/naughty",
                identifiers={"account": text, "partner:x": "1"},
                data={"note": text, text: 1},
                type="visit",
            )
            for text in strings[start : start + 250]
        ]
        for start in range(0, len(strings), 250)
    ]
    accepted = 0
    for batch in batches:
        status, answer = await door.send(json.dumps(batch, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        assert status == 202
        assert answer["accepted"] + len(answer["rejected"]) == len(batch)
        accepted += answer["accepted"]
    assert accepted > 450
    await store_as_jsonb(door, postgres_url, accepted)


async def store_as_jsonb(door: Door, postgres_url: str, number: int) -> None:
    stored = 0
    database = await asyncpg.connect(postgres_url)
    for message in await door.log(EVENT_RECEIVED.name):
        assert message.value is not None
        if msgspec.json.decode(message.value, type=EventReceived).source == "store-1/naughty":
            await database.execute("SELECT $1::text::jsonb", message.value.decode("utf-8"))
            stored += 1
    await database.close()
    assert stored == number


async def test_the_door_is_described_beside_the_other_paths(door: Door) -> None:
    status, document = await door.call("GET", "/openapi.json")
    assert status == 200
    assert {"/v1/events", "/v1/keys", "/v1/schemas"} <= document["paths"].keys()
    async with door.client.get(f"{door.address}/v1/events") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (await door.call("GET", "/healthz"))[0] == 200


async def counted(door: Door, name: str) -> float:
    async with door.client.get(f"{door.address}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    return float(lines.get(f"dangol_ingest_{name}", "0"))


async def test_what_happens_at_the_door_is_counted(door: Door) -> None:
    names = (
        'accepted_events_total{channel="pos"}',
        'rejected_events_total{channel="pos",reason="unknown-type"}',
        "request_seconds_count",
    )
    before = [await counted(door, name) for name in names]
    await door.send([fresh(), fresh(type="nothing")])
    assert [await counted(door, name) for name in names] == [number + 1 for number in before]


async def test_two_senders_of_the_same_batch_are_both_answered(door: Door) -> None:
    batch: Sequence[dict[str, Any]] = [fresh(id=str(n)) for n in range(50)]
    answers = await asyncio.gather(*(door.send(batch) for _ in range(8)))
    assert all(status == 202 and answer["accepted"] == 50 for status, answer in answers)


async def test_whatever_is_sent_with_whatever_headers_is_answered_and_never_by_a_5xx(door: Door) -> None:
    chance = random.Random(20261121)
    whole = json.dumps(fresh()).encode()
    kinds = ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/xml", ""]
    extra = [{}, {"Content-Encoding": "gzip"}, {"ce-specversion": "1.0"}, {"ce-specversion": "1.0", "ce-id": "%ff"}]
    for _ in range(300):
        body = bytearray(
            chance.choice([whole, b"[" + whole + b"]", gzip.compress(whole), b'{"events":[' + whole + b"]}"])
        )
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(body))
            body[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        headers = {"Content-Type": chance.choice(kinds)} | chance.choice(extra)
        status, answer = await door.send(bytes(body), headers=headers)
        assert status == 202 or 400 <= status < 500, (bytes(body), headers)
        assert status == 202 or answer["detail"]

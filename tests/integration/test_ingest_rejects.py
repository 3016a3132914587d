"""Does what was refused come in after all, once, on the real service: refused, listed, mended, replayed?"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
import msgspec
import pytest
import pytest_asyncio

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from libs.common import clock, migrations, web
from libs.common.auth import issue_token
from libs.common.events import EventIdentified, EventReceived
from libs.common.settings import load
from libs.common.topics import EVENT_IDENTIFIED, EVENT_RECEIVED, strongest_identifier
from services.profile.app import build
from services.profile.settings import ProfileSettings
from tests.ingest_door import SECRET, Door, another, database_of, drop_database, fresh, running, until_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")

Row = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """One service for all tests; each has event types and sources of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("ingest")) as door:
        yield door


@pytest_asyncio.fixture(loop_scope="module")
async def database(door: Door, postgres_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_of(postgres_url, door.prefix.replace(".", "_")))
    yield connection
    await connection.close()


def own_type() -> str:
    return f"own_{clock.new_id().hex[-10:]}"


def acting(door: Door, *roles: str) -> Door:
    return replace(door, admin={"Authorization": f"Bearer {issue_token(SECRET, subject='robin', roles=list(roles))}"})


async def listed(door: Door, query: str, number: int = 1, when: Callable[[Row], bool] = bool) -> list[Row]:
    """The rejects of a query, as soon as there are so many of them that fit."""
    async with asyncio.timeout(20):
        while True:
            status, page = await door.call("GET", f"/v1/rejects?{query}")
            assert status == 200, page
            items: list[Row] = page["items"]
            if len([item for item in items if when(item)]) >= number:
                return items
            await asyncio.sleep(0.1)


async def refused(door: Door, kind: str, number: int = 1, **changes: Any) -> list[Row]:
    """Events of an unknown type, refused and listed, the oldest first."""
    for index in range(number):
        assert (await door.send(fresh(type=kind, id=f"{kind}-{index}", **changes)))[0] == 422
    return (await listed(door, f"type={kind}", number))[::-1]


async def register(door: Door, kind: str) -> None:
    assert (await door.call("POST", "/v1/schemas", {"type": kind}))[0] == 201


async def replayed(door: Door, **order: Any) -> Row:
    status, answer = await door.call("POST", "/v1/rejects/replay", order)
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


async def test_an_event_of_an_unknown_type_comes_in_once_when_its_type_has_been_registered(door: Door) -> None:
    kind = own_type()
    card = f"8801-{kind}"
    body = json.dumps(fresh(type=kind, identifiers={"loyalty_card": card}), indent=2).encode() + b"\n"
    assert (await door.send(body))[0] == 422
    (reject,) = await listed(door, f"type={kind}")
    assert (reject["reason"], reject["pointer"], reject["state"]) == ("unknown-type", "/type", "open")
    assert (reject["door"], reject["id"], reject["source"]) == ("events", "receipt-1", "store-031/pos-2")
    assert (reject["kept"], reject["body_bytes"]) == ("whole", len(body))
    (still,) = (await replayed(door, ids=[reject["reject_id"]]))["items"]
    assert (still["outcome"], still["reason"]) == ("refused", "unknown-type")
    await register(door, kind)

    answer = await replayed(door, ids=[reject["reject_id"]])
    assert answer["accepted"] == 1 and answer["items"][0]["event_ids"] == ["receipt-1"]
    (message,) = await door.log(EVENT_RECEIVED.name, f"loyalty_card:{card}".encode())
    assert message.value == body
    assert dict(message.headers)["channel"] == b"pos" and dict(message.headers)["key-id"]
    (after,) = await listed(door, f"type={kind}&state=replayed")
    assert after["replay_result"] == {"outcome": "accepted", "event_ids": ["receipt-1"]}
    assert after["replayed_at"] and after["settled_by"] == "ada"

    (again,) = (await replayed(door, ids=[reject["reject_id"]]))["items"]
    assert again["outcome"] == "replayed"
    assert (await replayed(door, filter={"type": kind}))["items"] == []
    assert len(await door.log(EVENT_RECEIVED.name, f"loyalty_card:{card}".encode())) == 1
    assert (await door.call("POST", f"/v1/rejects/{reject['reject_id']}/dismiss"))[0] == 409


async def test_data_that_did_not_fit_comes_in_when_its_schema_has_been_widened(door: Door) -> None:
    kind = own_type()
    years: Row = {"type": "object", "required": ["years"], "properties": {"years": {"type": "integer", "maximum": 5}}}
    assert (await door.call("POST", "/v1/schemas", {"type": kind, "schema": years}))[0] == 201
    for number in (3, 7, 70):
        sent = fresh(type=kind, id=f"{kind}-{number}", data={"years": number}, identifiers={"loyalty_card": kind})
        assert (await door.send(sent))[0] == (202 if number == 3 else 422)
    rejects = await listed(door, f"type={kind}", 2)
    assert {(each["reason"], each["pointer"]) for each in rejects} == {("invalid-data", "/data/years")}
    years["properties"]["years"]["maximum"] = 10
    status, answer = await door.call("POST", "/v1/schemas", {"type": kind, "schema": years})
    assert status in (200, 201), answer
    answer = await replayed(door, filter={"type": kind, "reason": "invalid-data"})
    outcomes = {item["outcome"]: item for item in answer["items"]}
    assert outcomes["accepted"]["event_ids"] == [f"{kind}-7"]
    assert (outcomes["refused"]["reason"], outcomes["refused"]["pointer"]) == ("invalid-data", "/data/years")
    log = await door.log(EVENT_RECEIVED.name, f"loyalty_card:{kind}".encode(), number=2)
    assert [json.loads(message.value or b"{}")["data"]["years"] for message in log] == [3, 7]


async def test_the_same_thing_sent_again_is_one_reject_with_a_count(door: Door) -> None:
    kind = own_type()
    body = json.dumps(fresh(type=kind)).encode()
    for _ in range(5):
        assert (await door.send(body))[0] == 422
    (reject,) = await listed(door, f"type={kind}", when=lambda item: item["attempts"] == 5)
    assert reject["first_at"] < reject["last_at"]


async def test_a_list_is_read_page_by_page_newest_first_and_shows_no_body(door: Door) -> None:
    kind = own_type()
    rejects = await refused(door, kind, 5, identifiers={"phone": "+821099998888"})
    found: list[Row] = []
    cursor = ""
    while True:
        status, page = await door.call("GET", f"/v1/rejects?type={kind}&limit=2{cursor}")
        assert status == 200 and len(page["items"]) <= 2
        found += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == rejects[::-1]
    assert found == sorted(found, key=lambda item: item["last_at"], reverse=True)
    assert "99998888" not in json.dumps(found)


async def test_what_is_listed_can_be_narrowed_and_summed_up(door: Door) -> None:
    kind, place = own_type(), f"store-7/{own_type()}"
    await refused(door, kind, 2, source=place)
    assert (await door.send(fresh(source=place, data={"amount": "much"}, type="purchase")))[0] == 422
    everything = await listed(door, f"source={quote(place)}", 3)
    (wrong,) = await listed(door, f"source={quote(place)}&reason=invalid-data")
    assert wrong["type"] == "purchase"
    middle = quote(everything[1]["last_at"])
    assert len(await listed(door, f"source={quote(place)}&from={middle}", 2)) == 2
    assert len(await listed(door, f"source={quote(place)}&to={middle}", 1)) == 1
    assert len(await listed(door, f"source={quote(place)}&door=events", 3)) == 3
    assert await listed(door, f"source={quote(place)}&door=hooks/", 0) == []
    for hostile in ("yesterday", "2026-11-21T10:00:00", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:00:00-14:00"):
        assert (await door.call("GET", f"/v1/rejects?from={hostile}"))[0] == 422
    for position in ([0, 0], ["2026-11-21T10:00:00", place], ["0001-01-01T00:00:00+14:00", str(clock.new_id())]):
        assert (await door.call("GET", f"/v1/rejects?cursor={web.encode_cursor(*position)}"))[0] == 400
    assert (await door.call("GET", "/v1/rejects?colour=red"))[0] == 422
    status, summary = await door.call("GET", f"/v1/rejects/summary?source={quote(place)}")
    assert status == 200
    assert [(each["name"], each["rejects"]) for each in summary["by_reason"]] == [
        ("unknown-type", 2),
        ("invalid-data", 1),
    ]
    assert [(each["name"], each["rejects"]) for each in summary["by_type"]] == [(kind, 2), ("purchase", 1)]
    assert [(each["name"], each["attempts"]) for each in summary["by_source"]] == [(place, 3)]


async def test_only_who_may_see_what_is_personal_reads_a_body(door: Door) -> None:
    kind = own_type()
    (reject,) = await refused(door, kind)
    path = f"/v1/rejects/{reject['reject_id']}"
    status, whole = await acting(door, "privacy").call("GET", path)
    assert status == 200 and whole["encoding"] == "utf-8"
    assert json.loads(whole["body"])["type"] == kind
    assert (await acting(door, "operator").call("GET", path))[0] == 200
    assert (await acting(door, "marketer", "viewer").call("GET", path))[0] == 403
    assert (await acting(door, "viewer").call("POST", "/v1/rejects/replay", {"filter": {}}))[0] == 403
    assert (await acting(door, "viewer").call("POST", f"{path}/dismiss"))[0] == 403
    assert (await door.call("GET", f"/v1/rejects/{clock.new_id()}"))[0] == 404
    broken = b'{"id": "caf\xe9", "type": "' + kind.encode() + b'"}'
    assert (await door.send(broken))[0] == 400
    (first, *_) = await listed(door, "reason=not-json")
    status, whole = await door.call("GET", f"/v1/rejects/{first['reject_id']}")
    assert status == 200 and whole["encoding"] == "base64"


async def test_what_is_dismissed_is_not_replayed(door: Door) -> None:
    kind = own_type()
    kept, gone = await refused(door, kind, 2)
    status, answer = await door.call("POST", f"/v1/rejects/{gone['reject_id']}/dismiss")
    assert status == 200 and (answer["state"], answer["settled_by"]) == ("dismissed", "ada")
    await register(door, kind)
    outcomes = {item["reject_id"]: item["outcome"] for item in (await replayed(door, filter={"type": kind}))["items"]}
    assert outcomes == {kept["reject_id"]: "accepted"}
    (item,) = (await replayed(door, ids=[gone["reject_id"]]))["items"]
    assert item["outcome"] == "dismissed"


async def test_a_filter_is_worked_off_piece_by_piece_in_the_order_of_arrival(door: Door) -> None:
    kind = own_type()
    rejects = await refused(door, kind, 7)
    looked = await replayed(door, filter={"type": kind}, limit=7, dry_run=True)
    assert [item["outcome"] for item in looked["items"]] == ["refused"] * 7
    # What stays refused is passed over by the cursor, so that a caller gets to the end.
    first = await replayed(door, filter={"type": kind}, limit=3)
    assert first["remaining"] == 4 and first["accepted"] == 0
    await register(door, kind)
    second = await replayed(door, filter={"type": kind}, limit=3, cursor=first["next"])
    third = await replayed(door, filter={"type": kind}, limit=3, cursor=second["next"])
    assert (second["remaining"], third["remaining"], third["next"]) == (1, 0, None)
    done = [item["reject_id"] for answer in (second, third) for item in answer["items"]]
    assert done == [each["reject_id"] for each in rejects[3:]]
    assert {item["outcome"] for answer in (second, third) for item in answer["items"]} == {"accepted"}
    dry = await replayed(door, filter={"type": kind}, dry_run=True)
    assert dry["accepted"] == 3 and dry["dry_run"]
    assert len(await listed(door, f"type={kind}&state=open", 3)) == 3, "a dry run changes nothing"


async def test_orders_that_make_no_sense_are_refused(door: Door) -> None:
    some = str(clock.new_id())
    orders: list[Row] = [{}, {"ids": [some], "filter": {}}, {"ids": []}, {"ids": [some] * 501}]
    for order in [*orders, {"filter": {"sauce": "x"}}, {"filter": {}, "limit": 501}]:
        assert (await door.call("POST", "/v1/rejects/replay", order))[0] == 422
    assert (await door.call("POST", "/v1/rejects/replay", {"filter": {}, "cursor": "?"}))[0] == 400
    (item,) = (await replayed(door, ids=[some]))["items"]
    assert item["outcome"] == "not-found"


async def test_replays_at_the_same_time_publish_each_event_once(door: Door) -> None:
    kind = own_type()
    rejects = await refused(door, kind, 60, identifiers={"loyalty_card": kind})
    await register(door, kind)
    ids = [each["reject_id"] for each in rejects]
    answers = await asyncio.gather(*(replayed(door, ids=ids) for _ in range(6)))
    for reject_id in ids:
        outcomes = [item["outcome"] for answer in answers for item in answer["items"] if item["reject_id"] == reject_id]
        assert outcomes.count("accepted") == 1
        assert set(outcomes) <= {"accepted", "busy", "replayed"}
    log = await door.log(EVENT_RECEIVED.name, f"loyalty_card:{kind}".encode(), number=100)
    assert len(log) == 60


async def test_without_the_rights_of_its_key_nothing_comes_in(door: Door) -> None:
    kind = own_type()
    _, made = await door.call("POST", "/v1/keys", {"channel": "kiosk"})
    assert (await door.send(fresh(type=kind), made["key"]))[0] == 422
    assert (await door.send(fresh(type=kind, time="2024-05-01T10:00:00Z"), made["key"]))[0] == 422
    await listed(door, f"type={kind}", 2)
    await register(door, kind)
    answer = await replayed(door, filter={"type": kind}, history=True, dry_run=True)
    assert sorted(item["reason"] or item["outcome"] for item in answer["items"]) == ["accepted", "history-not-allowed"]
    assert (await door.call("DELETE", f"/v1/keys/{made['key_id']}"))[0] == 204
    answer = await replayed(door, filter={"type": kind})
    assert [item["outcome"] for item in answer["items"]] == ["key-revoked"] * 2
    assert len(await listed(door, f"type={kind}&state=open", 2)) == 2


async def test_what_has_become_too_old_comes_in_as_history_when_that_is_asked_for(door: Door) -> None:
    kind = own_type()
    sent = fresh(type=kind, time="2024-05-01T10:00:00Z", identifiers={"loyalty_card": kind})
    assert (await door.send(sent))[0] == 422
    await listed(door, f"type={kind}")
    await register(door, kind)
    (item,) = (await replayed(door, filter={"type": kind}))["items"]
    assert (item["outcome"], item["reason"], item["pointer"]) == ("refused", "wrong-time", "/time")
    (shown,) = await listed(door, f"type={kind}")
    assert shown["reason"] == "wrong-time", "what is listed says what is wrong now"
    (item,) = (await replayed(door, filter={"type": kind}, history=True))["items"]
    assert item["outcome"] == "accepted"
    (message,) = await door.log(EVENT_RECEIVED.name, f"loyalty_card:{kind}".encode())
    assert message.value is not None
    assert json.loads(message.value) == sent | {"history": True}


async def test_a_binary_cloud_event_comes_in_with_the_attributes_of_its_headers(door: Door) -> None:
    kind = own_type()
    headers = {"ce-specversion": "1.0", "ce-id": "c-1", "ce-source": "web/shop", "ce-type": kind}
    headers["ce-subject"] = f"account:{kind}"
    assert (await door.send({"page": "/tea"}, headers=headers))[0] == 422
    (reject,) = await listed(door, f"type={kind}")
    assert (reject["id"], reject["source"]) == ("c-1", "web/shop")
    await register(door, kind)
    assert (await replayed(door, filter={"type": kind}))["accepted"] == 1
    (message,) = await door.log(EVENT_RECEIVED.name, f"account:{kind}".encode())
    assert message.value is not None
    read = msgspec.json.decode(message.value, type=EventReceived)
    assert bytes(read.data) == b'{"page": "/tea"}'
    assert clock.to_ms(read.time) == pytest.approx(clock.to_ms(datetime.fromisoformat(reject["first_at"])), abs=1)


async def test_a_body_that_was_not_kept_whole_cannot_be_replayed_and_says_so(door: Door) -> None:
    place = f"store-8/{own_type()}"
    long = fresh(source=place, data={"note": "x" * 300_000}, type="visit", id=own_type())
    assert (await door.send(long))[0] == 413
    (reject, *_) = await listed(door, "reason=too-large")
    assert reject["kept"] == "cut" and reject["body_bytes"] > 300_000
    (item,) = (await replayed(door, ids=[reject["reject_id"]]))["items"]
    assert item["outcome"] == "not-kept" and "whole" in item["detail"]


async def test_old_rejects_are_forgotten_and_young_ones_are_not(door: Door, database: Any) -> None:
    kind = own_type()
    old, young = await refused(door, kind, 2)
    await database.execute(
        "UPDATE reject SET last_at = now() - interval '31 days' WHERE reject_id = $1", old["reject_id"]
    )
    await database.execute("UPDATE timer SET due = now() WHERE key = 'purge'")
    async with asyncio.timeout(10):
        while await database.fetchval("SELECT count(*) FROM reject WHERE type = $1", kind) != 1:
            await asyncio.sleep(0.1)
    assert [each["reject_id"] for each in await listed(door, f"type={kind}")] == [young["reject_id"]]
    assert await database.fetchval("SELECT min(due) > now() FROM timer WHERE key = 'purge'"), "and so on, every hour"


async def test_open_rejects_and_replays_are_counted_for_whoever_watches(door: Door) -> None:
    kind = own_type()
    await refused(door, kind)
    async with asyncio.timeout(15):
        while not await _metric(door, 'open_rejects_number{reason="unknown-type"}'):
            await asyncio.sleep(0.2)
    before = await _metric(door, 'replayed_rejects_total{outcome="accepted"}')
    await register(door, kind)
    await replayed(door, filter={"type": kind})
    assert await _metric(door, 'replayed_rejects_total{outcome="accepted"}') == before + 1


async def test_the_worker_is_seen_where_those_of_other_services_are(door: Door) -> None:
    status, workers = await door.call("GET", "/v1/workers")
    assert status == 200
    (worker,) = workers["items"]
    assert (worker["name"], worker["units"], worker["problems"]) == ("ingest.rejects", [0, 1], [])
    assert (await door.call("POST", "/v1/workers/ingest.rejects/redrive"))[0] == 202


async def test_a_worker_whose_units_are_gone_from_the_database_makes_them_anew(
    postgres_url: str, kafka_bootstrap: str, fresh_name: str, tmp_path: Path
) -> None:
    async with running(postgres_url, kafka_bootstrap, fresh_name, tmp_path) as door:
        await refused(door, own_type())
        database = await asyncpg.connect(database_of(postgres_url, f"{fresh_name}_"))
        await database.execute("DELETE FROM worker_unit")
        await database.close()
        await refused(door, own_type())
        _, workers = await door.call("GET", "/v1/workers")
        assert workers["items"][0]["units"] == [0, 1]


async def test_past_its_allowance_a_key_is_counted_and_no_body_is_kept(
    postgres_url: str, kafka_bootstrap: str, fresh_name: str, tmp_path: Path
) -> None:
    more = {"DANGOL_INGEST_REJECTS_PER_HOUR_MAX": "5"}
    async with running(postgres_url, kafka_bootstrap, fresh_name, tmp_path, more=more) as door:
        await door.send([fresh(type="nothing", id=f"n-{number}") for number in range(5)])
        await listed(door, "", 5)
        await door.send([fresh(type="nothing", id=f"m-{number}") for number in range(100)])
        counts = await listed(door, "", 6, when=lambda item: True)
        async with asyncio.timeout(10):
            while sum(item["attempts"] for item in counts) < 105:
                counts = await listed(door, "", 6)
        kept = [item for item in counts if item["kept"] == "whole"]
        assert len(kept) == 5 and len(counts) <= 5 + 2, "one count for each unit"
        for item in counts:
            if item["kept"] == "counted":
                assert "Counted only" in item["detail"]
                (said,) = (await replayed(door, ids=[item["reject_id"]]))["items"]
                assert said["outcome"] == "not-kept"


async def test_a_process_that_dies_between_publishing_and_marking_leaves_only_a_repeat(
    door: Door, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = own_type()
    key = f"loyalty_card:{kind}".encode()
    (reject,) = await refused(door, kind, identifiers={"loyalty_card": kind})
    await register(door, kind)
    async with another(door, {"DANGOL_CRASHPOINTS": "replay_published:1"}) as doomed:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await doomed.call("POST", "/v1/rejects/replay", {"ids": [reject["reject_id"]]})
        assert await asyncio.wait_for(doomed.process.wait(), 5) == -signal.SIGKILL
    (still,) = await listed(door, f"type={kind}")
    assert still["state"] == "open"
    # The rows of the dead are free once PostgreSQL has noticed.
    async with asyncio.timeout(15):
        while not (await replayed(door, ids=[reject["reject_id"]]))["accepted"]:
            await asyncio.sleep(0.1)
    first, second = await door.log(EVENT_RECEIVED.name, key, number=2)
    assert first.value == second.value
    assert (await door.send(fresh(id="after", type="visit", data={}, identifiers={"loyalty_card": kind})))[0] == 202
    ids = await _identified(door, postgres_url, monkeypatch, key, until="after")
    assert ids == [f"{kind}-0", "after"], "identify has dropped the repeat"


async def test_while_kafka_is_away_nothing_is_replayed_and_nothing_marked(
    postgres_url: str, fresh_name: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(tmp_path / "kafka", free_port())
    broker.start()
    try:
        async with running(postgres_url, broker.bootstrap, fresh_name, tmp_path) as door:
            kind = own_type()
            (reject,) = await refused(door, kind, identifiers={"loyalty_card": kind})
            await register(door, kind)
            broker.kill()
            status, answer = await door.call("POST", "/v1/rejects/replay", {"ids": [reject["reject_id"]]})
            assert status == 503 and answer["detail"]
            assert [each["state"] for each in await listed(door, f"type={kind}")] == ["open"]
            broker.start()
            await until_ready(door)
            async with asyncio.timeout(20):
                while True:
                    status, answer = await door.call("POST", "/v1/rejects/replay", {"ids": [reject["reject_id"]]})
                    if status == 200:
                        break
                    await asyncio.sleep(0.2)
            assert answer["accepted"] == 1
            assert await door.log(EVENT_RECEIVED.name, f"loyalty_card:{kind}".encode())
    finally:
        broker.stop()


async def test_while_postgresql_is_away_the_door_stays_open_and_what_is_refused_is_not_lost(
    kafka_bootstrap: str, fresh_name: str, tmp_path: Path
) -> None:
    server = PostgresServer(tmp_path / "postgres", free_port())
    server.start()
    try:
        async with running(server.url, kafka_bootstrap, fresh_name, tmp_path) as door:
            await refused(door, own_type())
            server.kill()
            kind = own_type()
            for second in range(6):
                assert (await door.send(fresh(id=f"good-{second}")))[0] == 202
                assert (await door.send(fresh(type=kind, id=f"bad-{second}")))[0] == 422
                assert (await door.client.get(f"{door.address}/readyz")).status == 200
                await asyncio.sleep(1.0)
            assert (await door.call("GET", "/v1/rejects"))[0] == 503
            server.start()
            async with asyncio.timeout(20):
                while (await door.call("GET", "/v1/rejects"))[0] != 200:
                    await asyncio.sleep(0.2)
            assert len(await listed(door, f"type={kind}", 6)) == 6
    finally:
        server.stop(immediate=True)


async def _metric(door: Door, name: str) -> float:
    async with door.client.get(f"{door.address}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    return float(lines.get(f"dangol_ingest_{name}", "0"))


async def _identified(
    door: Door, postgres_url: str, monkeypatch: pytest.MonkeyPatch, key: bytes, *, until: str
) -> list[str]:
    """The ids of the events of one person that `profile.identify` lets through, up to a certain one."""
    for name, value in door.environment.items():
        if name.startswith("DANGOL_"):
            monkeypatch.setenv(name, value)
    settings = load(ProfileSettings)
    await migrations.upgrade("profile", settings.database_url_of("profile"))
    app = await build(settings)
    parts = [*app.resources, *app.components, *app.work]
    for part in parts:
        await part.start()
    try:
        async with asyncio.timeout(30):
            while True:
                found = await door.log(EVENT_IDENTIFIED.name)
                facts = [msgspec.json.decode(each.value, type=EventIdentified) for each in found if each.value]
                events = [msgspec.json.decode(fact.event, type=EventReceived) for fact in facts]
                ids = [each.id for each in events if strongest_identifier(each).encode() == key]
                if until in ids:
                    return ids
    finally:
        for part in reversed(parts):
            await part.stop()
        await drop_database(postgres_url, f"{settings.database_prefix}profile")

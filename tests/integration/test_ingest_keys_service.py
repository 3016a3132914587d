"""Do write keys keep their promises as a process: rights at once, two secrets, an end, a share, and proof of people?"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey

from libs.common import clock, migrations
from libs.common.events import EventReceived
from libs.common.topics import EVENT_RECEIVED
from services.ingest.keys.book import hash_of
from tests.ingest_door import POS, WEB, Door, another, database_of, fresh, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHROME = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("keys")) as door:
        yield door


@pytest_asyncio.fixture(loop_scope="module")
async def database(door: Door, postgres_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_of(postgres_url, door.prefix.replace(".", "_")))
    yield connection
    await connection.close()


async def make(door: Door, **rights: Any) -> dict[str, Any]:
    status, made = await door.call("POST", "/v1/keys", {"channel": "pos", **rights})
    assert status == 201, made
    return dict(made)


async def make_page(door: Door, **rights: Any) -> dict[str, Any]:
    return await make(door, **{"channel": "shop", "kind": "browser", "sources": ["shop/*"], **rights})


async def change(door: Door, key_id: str, rights: Any, tag: str | None) -> tuple[int, Any, str]:
    headers = door.admin | ({} if tag is None else {"If-Match": tag})
    async with door.client.patch(f"{door.address}/v1/keys/{key_id}", json=rights, headers=headers) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers.get("ETag", "")


def page_view(number: str, **identifiers: str) -> dict[str, Any]:
    return fresh(id=number, source="shop/page", type="visit", data={"page": "/tea"}, identifiers=identifiers)


def token_of(identity: dict[str, Any], **claims: Any) -> dict[str, str]:
    """The header by which a page shows that its server signed who is logged in."""
    whole = {"aud": identity["audience"], "sub": "kim", "exp": clock.now_ms() // 1000 + 600} | claims
    signed = jwt.encode({"alg": identity["algorithm"]}, whole, OctKey.import_key(identity["identity_secret"]))
    return CHROME | {"X-Identity-Token": signed}


async def received(door: Door, key: bytes, number: int = 1) -> list[tuple[EventReceived, dict[str, bytes]]]:
    found = await door.log(EVENT_RECEIVED.name, key, number=number)
    return [(msgspec.json.decode(message.value or b"", type=EventReceived), dict(message.headers)) for message in found]


async def counted(door: Door, name: str) -> float:
    async with door.client.get(f"{door.address}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    return float(lines.get(f"dangol_ingest_{name}", "0"))


async def test_a_key_reads_back_as_it_was_made_and_its_secret_is_nowhere(door: Door, database: Any) -> None:
    rights = {
        "name": "Tills of Gangnam",
        "sources": ["store-*/pos-*"],
        "types": ["purchase", "refund"],
        "branches": ["gangnam"],
        "permissions": ["history"],
        "events_per_second": 50.0,
        "expires_at": "2999-01-01T00:00:00Z",
    }
    made = await make(door, **rights)
    status, found = await door.call("GET", f"/v1/keys/{made['key_id']}")
    assert status == 200
    assert {name: found[name] for name in rights} == rights
    assert (found["kind"], found["channel"], found["version"]) == ("server", "pos", 1)
    assert [secret["hint"] for secret in found["secrets"]] == [made["key"][-4:]]
    _, listed = await door.call("GET", "/v1/keys?limit=1000")
    assert found in listed["items"]
    assert made["key"] not in json.dumps([found, listed])
    stored = await database.fetch("SELECT k::text, s::text FROM write_key k JOIN write_key_secret s USING (key_id)")
    assert made["key"] not in str(stored)
    assert hash_of(made["key"].encode()).hex() in str(stored)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"kind": "browser"}, "#/sources"),
        ({"kind": "browser", "sources": ["shop"], "permissions": ["history"]}, "#/permissions"),
        ({"origins": ["https://shop.example"]}, "#/origins"),
        ({"kind": "browser", "sources": ["shop"], "origins": ["https://shop.example/page"]}, "#/origins/0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00"}, "#/expires_at"),
        ({"events_per_second": 0}, "#/events_per_second"),
        ({"types": ["Purchase"]}, "#/types/0"),
        ({"permissions": ["everything"]}, "#/permissions/0"),
        ({"right": "x"}, "#/right"),
    ],
)
async def test_rights_that_do_not_go_together_are_refused(door: Door, document: dict[str, Any], pointer: str) -> None:
    status, answer = await door.call("POST", "/v1/keys", {"channel": "pos", **document})
    assert status == 422
    assert [error["pointer"] for error in answer["errors"]] == [pointer]


async def test_a_change_of_rights_holds_at_once_and_nobody_overwrites_what_they_have_not_read(door: Door) -> None:
    made = await make(door, types=["purchase"])
    assert (await door.send(fresh(), made["key"]))[0] == 202
    assert (await change(door, made["key_id"], {"types": ["visit"]}, None))[0] == 428
    status, found, tag = await change(door, made["key_id"], {"types": ["visit"], "branches": ["jongno"]}, '"1"')
    assert (status, found["types"], found["branches"], tag) == (200, ["visit"], ["jongno"], '"2"')
    status, answer = await door.send(fresh(), made["key"])
    assert (status, answer["type"]) == (403, "type-not-allowed")
    assert (await door.send(fresh(type="visit", data={}), made["key"]))[0] == 403
    assert (await door.send(fresh(type="visit", data={}, branch="jongno"), made["key"]))[0] == 202
    assert (await change(door, made["key_id"], {"types": []}, '"1"'))[0] == 412
    assert (await change(door, made["key_id"], {"channel": "web"}, '"2"'))[0] == 422
    assert (await change(door, made["key_id"], {"origins": ["https://x.example"]}, '"2"'))[0] == 422
    status, found, _ = await change(door, made["key_id"], {"types": [], "branches": []}, '"2"')
    assert (status, found["types"]) == (200, [])
    assert (await door.send(fresh(), made["key"]))[0] == 202
    await door.call("DELETE", f"/v1/keys/{made['key_id']}")
    assert (await change(door, made["key_id"], {"name": "x"}, "*"))[0] == 409
    assert (await change(door, "nobody", {"name": "x"}, "*"))[0] == 404


async def test_a_change_holds_within_two_seconds_in_another_process(door: Door) -> None:
    made = await make(door)
    async with another(door, {}) as second:
        assert (await second.send(fresh(), made["key"]))[0] == 202
        await change(door, made["key_id"], {"types": ["visit"]}, '"1"')
        await asyncio.sleep(2)
        assert (await second.send(fresh(), made["key"]))[0] == 403


async def test_a_secret_is_replaced_without_a_gap(door: Door) -> None:
    made = await make(door)
    path = f"/v1/keys/{made['key_id']}"
    status, second = await door.call("POST", f"{path}/secrets")
    assert status == 201 and second["key"] != made["key"]
    assert [(await door.send(fresh(), key))[0] for key in (made["key"], second["key"])] == [202, 202]
    assert (await door.call("POST", f"{path}/secrets"))[0] == 409
    first_id = made["secrets"][0]["secret_id"]
    assert (await door.call("DELETE", f"{path}/secrets/{first_id}"))[0] == 204
    assert [(await door.send(fresh(), key))[0] for key in (made["key"], second["key"])] == [401, 202]
    status, third = await door.call("POST", f"{path}/secrets", {"old_expires_in_hours": 0})
    assert status == 201
    assert [(await door.send(fresh(), key))[0] for key in (second["key"], third["key"])] == [401, 202]
    _, found = await door.call("GET", path)
    assert [secret["revoked_at"] is not None for secret in found["secrets"]] == [True, False, False]
    assert [secret["expires_at"] is not None for secret in found["secrets"]] == [False, True, False]
    assert (await door.call("DELETE", f"{path}/secrets/nobody"))[0] == 404
    await door.call("DELETE", path)
    assert (await door.call("POST", f"{path}/secrets"))[0] == 409
    assert (await door.call("POST", "/v1/keys/nobody/secrets"))[0] == 404


async def test_two_that_ask_for_a_secret_at_once_do_not_make_three(door: Door) -> None:
    made = await make(door)
    asked = (door.call("POST", f"/v1/keys/{made['key_id']}/secrets") for _ in range(5))
    assert sorted(status for status, _ in await asyncio.gather(*asked)) == [201, 409, 409, 409, 409]


async def test_it_is_known_when_each_secret_was_used_last(door: Door) -> None:
    made = await make(door)
    _, second = await door.call("POST", f"/v1/keys/{made['key_id']}/secrets")
    before = clock.now()
    await door.send(fresh(), second["key"])
    async with asyncio.timeout(20):
        while True:
            _, found = await door.call("GET", f"/v1/keys/{made['key_id']}")
            if found["last_used_at"]:
                break
            await asyncio.sleep(0.5)
    assert [secret["last_used_at"] for secret in found["secrets"]] == [None, found["last_used_at"]]
    assert datetime.fromisoformat(found["last_used_at"]) >= before - timedelta(seconds=1)


async def test_a_key_ends_when_it_said_it_would(door: Door) -> None:
    made = await make(door, expires_at=(clock.now() + timedelta(seconds=1.5)).isoformat())
    assert (await door.send(fresh(), made["key"]))[0] == 202
    await asyncio.sleep(1.6)
    status, answer = await door.send(fresh(), made["key"])
    assert status == 401 and "expired" in answer["detail"]
    later = (clock.now() + timedelta(hours=1)).isoformat()
    assert (await change(door, made["key_id"], {"expires_at": later}, "*"))[0] == 200
    assert (await door.send(fresh(), made["key"]))[0] == 202


async def test_a_key_sends_no_more_than_its_share_and_costs_nobody_theirs(door: Door) -> None:
    made = await make(door, events_per_second=10)
    batch = [fresh(id=str(number)) for number in range(120)]
    assert (await door.send(batch, made["key"]))[0] == 202
    headers = {"Authorization": f"Bearer {made['key']}"}
    async with door.client.post(f"{door.address}/v1/events", json=fresh(), headers=headers) as answer:
        assert answer.status == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
        assert "10 events a second" in (await answer.json(content_type=None))["detail"]
    assert await counted(door, f'limited_requests_total{{key_id="{made["key_id"]}"}}') == 1
    assert (await door.send(fresh()))[0] == 202
    await asyncio.sleep(2.2)
    assert (await door.send(fresh(), made["key"]))[0] == 202


async def test_what_a_page_says_of_people_counts_when_its_server_has_signed_it(door: Door, database: Any) -> None:
    page = await make_page(door)
    status, identity = await door.call("POST", f"/v1/keys/{page['key_id']}/identity-secret")
    assert status == 201
    sealed = await database.fetchval("SELECT sealed FROM identity_secret WHERE key_id = $1", page["key_id"])
    assert identity["identity_secret"].encode() not in sealed
    unproven = page_view("1", account="kim-1", cookie="c-1")
    assert (await door.send(unproven, page["key"], CHROME))[0] == 202
    [(event, _)] = await received(door, b"cookie:c-1")
    assert event.identifiers == {"cookie": "c-1"}
    signed = token_of(identity, sub="kim-1")
    assert (await door.send(page_view("2", account="kim-1", cookie="c-1"), page["key"], signed))[0] == 202
    [(event, _)] = await received(door, b"account:kim-1")
    assert event.identifiers == {"account": "kim-1", "cookie": "c-1"}
    status, answer = await door.send(page_view("3", account="lee"), page["key"], signed)
    assert (status, answer["type"]) == (403, "identity-not-proven")


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": "another"}, "aud"),
        ({"sub": None}, "sub"),
        ({"exp": 9_999_999_999}, "24 hours"),
    ],
)
async def test_a_token_that_proves_nothing_is_answered_with_the_reason(
    door: Door, claims: dict[str, Any], word: str
) -> None:
    page = await make_page(door)
    _, identity = await door.call("POST", f"/v1/keys/{page['key_id']}/identity-secret")
    status, answer = await door.send(page_view("1", cookie="c"), page["key"], token_of(identity, **claims))
    assert status == 401 and word in answer["detail"]


async def test_an_identity_secret_is_replaced_without_a_gap_and_forgotten_when_it_leaked(door: Door) -> None:
    page = await make_page(door)
    path = f"/v1/keys/{page['key_id']}/identity-secret"
    assert (await door.send(page_view("1", account="a", cookie="c"), page["key"], CHROME))[0] == 202
    _, old = await door.call("POST", path)
    _, new = await door.call("POST", path)
    for identity in (old, new):
        assert (await door.send(page_view("1", account="kim"), page["key"], token_of(identity)))[0] == 202
    _, found = await door.call("GET", f"/v1/keys/{page['key_id']}")
    assert found["identity_secret_since"] is not None
    assert (await door.call("DELETE", path))[0] == 204
    for identity in (old, new):
        assert (await door.send(page_view("1", account="kim"), page["key"], token_of(identity)))[0] == 401
    till = await make(door)
    assert (await door.call("POST", f"/v1/keys/{till['key_id']}/identity-secret"))[0] == 409


async def test_a_sealing_secret_that_is_gone_costs_the_proofs_and_not_the_key(door: Door) -> None:
    page = await make_page(door)
    _, identity = await door.call("POST", f"/v1/keys/{page['key_id']}/identity-secret")
    async with another(door, {"DANGOL_TOKEN_SECRET": "another-secret-of-the-tests-0123456789-xyz"}) as second:
        assert (await second.send(page_view("1", cookie="c"), page["key"], CHROME))[0] == 202
        assert (await second.send(page_view("1", cookie="c"), page["key"], token_of(identity)))[0] == 401
    assert (await door.send(page_view("1", cookie="c"), page["key"], token_of(identity)))[0] == 202


async def test_a_page_of_another_origin_does_not_use_the_key(door: Door) -> None:
    page = await make_page(door, origins=["https://*.shop.example"])
    statuses = [
        (await door.send(page_view("1", cookie="c"), page["key"], CHROME | {"Origin": origin}))[0]
        for origin in ("https://www.shop.example", "https://evil.example", "null")
    ]
    assert statuses == [202, 403, 403]


async def test_crawlers_and_tests_are_flagged_in_the_log_and_never_dropped(door: Door) -> None:
    page = await make_page(door)
    bot = {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
    before = await counted(door, 'flagged_events_total{traffic="bot"}')
    for number, headers in enumerate((bot, CHROME, CHROME | {"X-Dangol-Test": "true"})):
        assert (await door.send(page_view(str(number), cookie="flags"), page["key"], headers))[0] == 202
    found = await received(door, b"cookie:flags", 3)
    assert {event.id: headers.get("traffic") for event, headers in found} == {"0": b"bot", "1": None, "2": b"test"}
    assert await counted(door, 'flagged_events_total{traffic="bot"}') == before + 1
    assert (await door.send(fresh(identifiers={"loyalty_card": "t"}), POS, bot | {"X-Dangol-Test": "true"}))[0] == 202
    [(_, said)] = await received(door, b"loyalty_card:t")
    assert said["traffic"] == b"test"


async def test_the_keys_of_the_file_are_stored_once_and_a_revoked_one_stays_revoked(door: Door, database: Any) -> None:
    everything = "SELECT key_id, channel FROM write_key ORDER BY key_id"
    of_secret = "SELECT key_id FROM write_key_secret WHERE secret_hash = $1"
    before = await database.fetch(everything)
    web = await database.fetchval(of_secret, hash_of(WEB.encode()))
    assert (await door.call("DELETE", f"/v1/keys/{web}"))[0] == 204
    async with another(door, {}) as second:
        assert (await second.send(fresh(), POS))[0] == 202
        assert (await second.send(fresh(), WEB))[0] == 401
    assert await database.fetch(everything) == before
    own = await database.fetchval(of_secret, hash_of(POS.encode()))
    assert own == str(clock.derived_id("write-key", "pos", hash_of(POS.encode()).hex()))


async def test_keys_of_the_time_before_still_open_the_door_and_keep_their_ids(
    postgres_url: str, fresh_name: str
) -> None:
    first = Path(__file__).parents[2] / "services/ingest/migrations/versions/0001_keys_and_types.py"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'CREATE DATABASE "{fresh_name}_ingest"')
    url = database_of(postgres_url, f"{fresh_name}_")
    connection = await asyncpg.connect(url)
    await connection.execute(_sql_of(first))
    await connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    await connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    await connection.execute(
        "INSERT INTO write_key (key_id, secret_hash, channel, created_at) VALUES ('old', $1, 'pos', now())",
        hash_of(POS.encode()),
    )
    await migrations.upgrade("ingest", url)
    found = await connection.fetch("SELECT key_id, secret_hash, hint FROM write_key_secret")
    assert [tuple(row) for row in found] == [("old", hash_of(POS.encode()), "")]
    assert await connection.fetchval("SELECT kind FROM write_key") == "server"
    await connection.close()
    await server.execute(f'DROP DATABASE "{fresh_name}_ingest" WITH (FORCE)')
    await server.close()


def _sql_of(file: Path) -> str:
    spec = importlib.util.spec_from_file_location("first_migration", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.SQL)

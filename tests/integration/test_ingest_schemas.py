"""Does the tracking plan hold end to end: registered, versioned, enforced or observed, and reported?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from libs.common import clock, migrations
from libs.common.auth import issue_token
from libs.common.db import Database
from libs.common.metrics import Metrics
from libs.common.topics import EVENT_RECEIVED
from services.ingest.intake import Form, Outcome, decode_batch
from services.ingest.registry import Registry
from services.ingest.schemas.violations import OTHER, PLACES_MAX, Recorder
from services.ingest.store import schemas as store
from tests.ingest_door import SECRET, WEB, Door, database_of, drop_database, fresh, running
from tests.ingest_events import NOW, terms

pytestmark = pytest.mark.asyncio(loop_scope="module")

YEARS = {"type": "object", "required": ["years"], "properties": {"years": {"type": "integer", "minimum": 1}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """One service for all tests; each uses types and sources of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("ingest")) as door:
        yield door


async def asked(
    door: Door, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, str]:
    """Status, answer and ETag."""
    whole = door.admin | (headers or {})
    async with door.client.request(method, door.address + path, json=body, headers=whole) as answer:
        text = await answer.read()
        return answer.status, json.loads(text) if text else None, answer.headers.get("ETag", "")


async def registered(door: Door, name: str, schema: Any = None, **more: Any) -> tuple[int, Any]:
    status, answer, _ = await asked(door, "POST", "/v1/schemas", {"type": name, "schema": schema, **more})
    return status, answer


def as_role(door: Door, role: str) -> Door:
    return replace(door, admin={"Authorization": f"Bearer {issue_token(SECRET, subject='vi', roles=[role])}"})


async def test_a_schema_holds_at_once_and_is_shown_as_it_was_written(door: Door) -> None:
    assert (await registered(door, "warranty", YEARS, description="A warranty began."))[0] == 201
    status, answer = await door.send(fresh(type="warranty", data={"years": 0}))
    assert status == 422
    assert answer["errors"][0] == {
        "pointer": "#/data/years",
        "detail": "Expected a number of at least 1; found another number.",
    }
    assert (await door.send(fresh(type="warranty", data={"years": 2})))[0] == 202
    status, shown, tag = await asked(door, "GET", "/v1/schemas/warranty")
    assert (status, tag, shown["version"], shown["standard"]) == (200, '"1"', 1, False)
    assert list(shown["schema"]) == list(YEARS) and shown["schema"] == YEARS
    assert shown["created_by"] == "ada"


async def test_the_same_again_makes_no_version_and_a_type_without_a_schema_lets_any_object_through(door: Door) -> None:
    assert (await registered(door, "gift", description="A gift."))[0] == 201
    assert (await registered(door, "gift"))[0] == 200
    assert (await door.send(fresh(type="gift", data={"any": [1]})))[0] == 202
    status, answer = await registered(door, "gift", {"type": "object", "title": "Anything"})
    assert (status, answer["version"], answer["description"]) == (201, 2, "A gift.")
    status, answer = await registered(door, "gift", {"title": "Anything", "type": "object"}, description="A present.")
    assert (status, answer["version"], answer["description"]) == (200, 2, "A present.")
    assert (await registered(door, "gift"))[1]["schema"] == {"type": "object", "title": "Anything"}


async def test_a_version_that_refuses_what_was_accepted_needs_to_be_meant(door: Door) -> None:
    await registered(door, "repair", YEARS)
    narrower = {**YEARS, "required": ["years", "shop"]}
    status, answer = await registered(door, "repair", narrower)
    assert status == 409
    assert [each["pointer"] for each in answer["errors"]] == ["#/schema/required/1"]
    assert (await registered(door, "repair", narrower, compatibility="none"))[0] == 422
    status, answer = await registered(
        door, "repair", narrower, compatibility="none", note="All tills say the shop now."
    )
    assert (status, answer["version"], answer["compatibility"]) == (201, 2, "none")
    assert (await door.send(fresh(type="repair", data={"years": 1})))[0] == 422
    _, listed = await door.call("GET", "/v1/schemas/repair/versions?limit=1")
    assert [each["version"] for each in listed["items"]] == [2]
    _, rest = await door.call("GET", f"/v1/schemas/repair/versions?limit=1&cursor={listed['next']}")
    assert [each["version"] for each in rest["items"]] == [1] and rest["next"] is None
    assert (await door.call("GET", "/v1/schemas/repair/versions/1"))[1]["schema"] == YEARS
    assert (await door.call("GET", "/v1/schemas/repair/versions/9"))[0] == 404
    assert (await door.call("GET", "/v1/schemas/nobody/versions"))[0] == 404


async def test_whoever_changes_what_somebody_else_has_changed_is_told(door: Door) -> None:
    _, _, tag = await asked(door, "POST", "/v1/schemas", {"type": "lease", "schema": YEARS})
    wider = {**YEARS, "required": []}
    status, _, newer = await asked(door, "POST", "/v1/schemas", {"type": "lease", "schema": wider}, {"If-Match": tag})
    assert (status, newer) == (201, '"2"')
    status, _, _ = await asked(door, "POST", "/v1/schemas", {"type": "lease", "schema": {}}, {"If-Match": tag})
    assert status == 412
    status, _, _ = await asked(door, "POST", "/v1/schemas", {"type": "lease2", "schema": {}}, {"If-Match": '"1"'})
    assert status == 412


async def test_of_two_versions_at_the_same_moment_one_is_told(door: Door) -> None:
    await registered(door, "race", {"type": "object", "required": ["a", "b", "c", "d"]})
    wider = [{"type": "object", "required": required} for required in (["a", "b", "c"], ["a", "b"], ["a"], [])]
    answers = await asyncio.gather(*(registered(door, "race", each) for each in wider))
    created = [answer["version"] for status, answer in answers if status == 201]
    assert created and {status for status, _ in answers} <= {201, 409}
    assert sorted(created) == list(range(2, 2 + len(created)))


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"$ref": "http://127.0.0.1:9/x.json"}, "#/schema/$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "#/schema/properties/a/$ref"),
        ({"properties": {"a": {"pattern": "("}}}, "#/schema/properties/a/pattern"),
        ({"propertis": {}}, "#/schema/propertis"),
        ([], "#/schema"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_pointed_at(door: Door, schema: Any, pointer: str) -> None:
    status, answer = await registered(door, "broken", schema)
    assert status == 422
    assert answer["errors"][0]["pointer"] == pointer
    assert (await door.call("GET", "/v1/schemas/broken"))[0] == 404


@pytest.mark.parametrize(
    "text",
    [
        '{"maximum": 1e400}',
        '{"maximum": ' + "9" * 400 + "}",
        '{"maximum": 18446744073709551616}',
        '{"multipleOf": 0}',
        '{"multipleOf": 1e-300}',
        '{"minLength": -1}',
        '{"maxLength": 1e30}',
        '{"enum": ["\\ud800"]}',
        '{"const": "\\u0000"}',
        '{"properties": {"a\\u0000b": {}}}',
        '{"pattern": "\\\\x00"}',
        '{"$id": "://"}',
        '{"$id": 5, "$schema": 5, "$defs": 5, "$ref": 5}',
        '{"$ref": "#/%ff", "$defs": {"%": {}}}',
        '{"items": ' * 200 + "{}" + "}" * 200,
        '{"default": ' + "[" * 500 + "]" * 500 + "}",
        '{"required": ["a", "a"], "type": []}',
        '{"format": 5, "x-a": [1], "title": {}}',
        '{"allOf": [], "anyOf": {}, "if": 5}',
        '{"patternProperties": {"\\\\p{L}+": {"$ref": "#/patternProperties/%5C%5Cp{L}+"}}}',
        "null",
        "false",
        '"x"',
    ],
)
@pytest.mark.parametrize("path", ["/v1/schemas", "/v1/schemas/validate"])
async def test_whatever_is_sent_as_a_schema_is_answered_and_never_by_a_5xx(door: Door, text: str, path: str) -> None:
    name = f"odd_{clock.new_id().hex}"
    body = f'{{"type": "{name}", "schema": {text}}}'.encode()
    headers = door.admin | {"Content-Type": "application/json"}
    async with door.client.post(door.address + path, data=body, headers=headers) as answer:
        assert answer.status in (200, 201, 400, 422), await answer.text()
        assert answer.status < 300 or json.loads(await answer.read())["detail"]
    status, shown = await door.call("GET", f"/v1/schemas/{name}")
    assert status in (200, 404), shown
    assert (await door.send(fresh(type=name, data={"a": "x"})))[0] in (202, 422)


@pytest.mark.parametrize("name", ["message.mine", "task.mine", "profile.mine", "violations", "validate", "Bad Name"])
async def test_names_that_are_somebody_elses_are_refused(door: Door, name: str) -> None:
    assert (await registered(door, name, {}))[0] == 422


async def test_owners_may_ask_more_of_a_standard_type(door: Door) -> None:
    _, shipped, tag = await asked(door, "GET", "/v1/schemas/referred")
    assert (tag, shipped["standard"], shipped["schema"]) == ('"0"', True, shipped["standard_schema"])
    assert "$defs" in shipped["schema"]
    assert (await registered(door, "referred"))[0] == 409
    stricter = {"required": ["code"], "properties": {"code": {"pattern": "^[A-Z]+-[0-9]$"}}}
    assert (await registered(door, "referred", stricter))[0] == 409
    status, answer = await registered(door, "referred", stricter, compatibility="none", note="Every code is printed.")
    assert (status, answer["version"], answer["standard"], answer["schema"]) == (201, 1, True, stricter)
    assert answer["standard_schema"] == shipped["schema"]
    assert (await door.send(fresh(type="referred", data={})))[0] == 422
    assert (await door.send(fresh(type="referred", data={"code": "MINA-7"})))[0] == 202
    assert (await door.send(fresh(type="referred", data={"code": "MINA-7", "campaign": 5})))[0] == 422
    assert (await door.call("GET", "/v1/schemas/referred/versions/0"))[1]["schema"] == shipped["schema"]


async def test_a_tracked_name_is_known_by_its_family_and_may_have_a_schema(door: Door) -> None:
    assert (await door.send(fresh(type="segment.track.cup_washed", data={"any": 1})))[0] == 202
    _, shown, _ = await asked(door, "GET", "/v1/schemas/segment.track.cup_washed")
    assert (shown["version"], shown["schema"]) == (0, None)
    assert (await registered(door, "segment.track.cup_washed", {"required": ["cup"]}))[0] == 201
    assert (await door.send(fresh(type="segment.track.cup_washed", data={"any": 1})))[0] == 422


async def test_the_list_shows_every_type_once_page_by_page(door: Door) -> None:
    await registered(door, "zz_last")
    names: list[str] = []
    cursor = ""
    while True:
        _, page = await door.call("GET", f"/v1/schemas?limit=7{cursor}")
        names += [each["type"] for each in page["items"]]
        assert all({"type", "description", "standard", "subject", "version"} == each.keys() for each in page["items"])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(names) == len(set(names))
    assert names.index("weather") < names.index("zz_last")


async def test_a_schema_and_samples_can_be_tried_without_keeping_anything(door: Door) -> None:
    events = [{"type": "club", "id": "x", "data": {"years": 1}}, {"data": {"years": "1"}}, {}]
    status, answer = await door.call(
        "POST", "/v1/schemas/validate", {"type": "club", "schema": YEARS, "events": events}
    )
    assert status == 200 and answer["valid"] and answer["compatible"] is None
    assert [each["accepted"] for each in answer["verdicts"]] == [True, False, False]
    assert answer["verdicts"][1]["violations"][0]["pointer"] == "/data/years"
    assert (await door.call("GET", "/v1/schemas/club"))[0] == 404
    _, answer = await door.call("POST", "/v1/schemas/validate", {"schema": {"type": "strin"}, "events": events})
    assert not answer["valid"] and answer["errors"][0]["pointer"] == "/schema/type" and not answer["verdicts"]
    narrower = {"required": ["order"], "properties": {"order": {"type": "string"}}}
    _, answer = await door.call(
        "POST", "/v1/schemas/validate", {"type": "purchase", "schema": narrower, "events": [{}]}
    )
    assert answer["compatible"] is False
    assert {each["pointer"] for each in answer["narrowings"]} == {"/schema/required/0", "/schema/properties/order/type"}
    assert len(answer["verdicts"][0]["violations"]) == 3


async def test_a_sample_is_checked_by_the_present_version(door: Door) -> None:
    status, answer = await door.call("POST", "/v1/schemas/weather/check", fresh(type="weather", data={}))
    assert (status, answer["accepted"], answer["type"], answer["version"]) == (200, False, "weather", 0)
    assert answer["violations"][0]["pointer"] == "/data"
    status, answer = await door.call("POST", "/v1/schemas/weather/check", fresh(branch="gangnam", data={}))
    assert answer["accepted"] and not answer["violations"]
    assert (await door.call("POST", "/v1/schemas/nobody/check", {}))[0] == 404


async def test_what_an_observed_source_sends_is_accepted_and_reported(door: Door) -> None:
    source = "store-obs/pos-1"
    bad = {"amount": "much", "currency": "KRW", "items": [{"price": "x"}, {"price": "y"}]}
    assert (await door.send(fresh(source=source, data=bad)))[0] == 422
    pattern = quote("store-obs/*", safe="")
    status, mode = await door.call("PUT", f"/v1/sources/{pattern}", {"mode": "observe", "note": "New tills."})
    assert (status, mode["source"], mode["mode"], mode["set_by"]) == (200, "store-obs/*", "observe", "ada")
    status, answer = await door.send(fresh(id="o-1", source=source, data=bad, identifiers={"account": "obs"}))
    assert (status, answer["accepted"]) == (202, 1)
    (message,) = await door.log(EVENT_RECEIVED.name, b"account:obs")
    assert message.value is not None and json.loads(message.value)["data"] == bad
    assert (await door.send(fresh(id="o-2", source=source, type="nobody_knows")))[0] == 202
    assert (await door.send(fresh(source=source, type="message.clicked")))[0] == 422
    assert (await door.send(fresh(source=source, data=[])))[0] == 422
    assert (await door.send(fresh(source=source, time="2020-01-01T00:00:00Z")))[0] == 422
    assert (await door.send(fresh(source=source, channel="web"), headers={}))[0] == 403
    await door.call("PUT", f"/v1/sources/{quote(source, safe='')}", {"mode": "enforce"})
    assert (await door.send(fresh(source=source, data=bad)))[0] == 422
    items = await reported(door, f"source={quote(source, safe='')}&type=purchase", 6)
    found = {(each["pointer"], each["reason"], each["outcome"]): each for each in items}
    observed = found["/data/items/*/price", "invalid-data", "observed"]
    assert (observed["count"], observed["event_id"]) == (1, "o-1")
    assert observed["first_seen"] <= observed["last_seen"]
    assert found["/data/amount", "invalid-data", "observed"]["count"] == 1
    assert found["/data/amount", "invalid-data", "refused"]["count"] == 2
    assert ("/time", "wrong-time", "refused") in found
    assert [each["count"] for each in items] == sorted((each["count"] for each in items), reverse=True)
    async with door.client.get(f"{door.address}/metrics") as answer:
        counted = 'dangol_ingest_violations_total{outcome="observed",reason="unknown-type"}'
        assert counted in await answer.text()
    (unknown,) = await reported(door, f"source={quote(source, safe='')}&type=nobody_knows", 1)
    assert (unknown["pointer"], unknown["reason"], unknown["event_id"]) == ("/type", "unknown-type", "o-2")


async def reported(door: Door, query: str, number: int) -> list[dict[str, Any]]:
    """The report once it has so many entries; it is written every two seconds."""
    async with asyncio.timeout(10):
        while True:
            status, page = await door.call("GET", f"/v1/schemas/violations?{query}")
            assert status == 200
            if len(page["items"]) >= number:
                return list(page["items"])
            await asyncio.sleep(0.2)


async def test_the_report_is_read_page_by_page_and_by_day(door: Door) -> None:
    for number in range(5):
        for _ in range(number + 1):
            await door.send(fresh(source="store-pages/pos-1", type=f"unheard_{number}"))
    await reported(door, "source=store-pages/pos-1", 5)
    seen: list[tuple[int, str]] = []
    cursor = ""
    while True:
        _, page = await door.call("GET", f"/v1/schemas/violations?source=store-pages/pos-1&limit=2{cursor}")
        seen += [(each["count"], each["type"]) for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == [(number + 1, f"unheard_{number}") for number in (4, 3, 2, 1, 0)]
    today = clock.now().date().isoformat()
    assert (await door.call("GET", f"/v1/schemas/violations?from={today}&to={today}"))[1]["items"]
    assert not (await door.call("GET", "/v1/schemas/violations?to=2020-01-01"))[1]["items"]
    assert (await door.call("GET", "/v1/schemas/violations?from=soon"))[0] == 422


async def test_modes_are_listed_changed_and_taken_back(door: Door) -> None:
    for name in ("list-1", "list-2", "list-3"):
        await door.call("PUT", f"/v1/sources/{name}", {"mode": "observe"})
    _, page = await door.call("GET", "/v1/sources?limit=2")
    assert len(page["items"]) == 2
    names = [each["source"] for each in page["items"]]
    while page["next"] is not None:
        _, page = await door.call("GET", f"/v1/sources?limit=2&cursor={page['next']}")
        names += [each["source"] for each in page["items"]]
    assert names == sorted(set(names)) and {"list-1", "list-2", "list-3"} <= set(names)
    assert (await door.send(fresh(source="list-1", type="nobody")))[0] == 202
    assert (await door.call("DELETE", "/v1/sources/list-1"))[0] == 204
    assert (await door.send(fresh(source="list-1", type="nobody")))[0] == 422
    assert (await door.call("DELETE", "/v1/sources/list-1"))[0] == 404
    assert (await door.call("PUT", "/v1/sources/list-1", {"mode": "sometimes"}))[0] == 422


async def test_who_may_only_read_changes_nothing(door: Door) -> None:
    viewer = as_role(door, "viewer")
    assert (await registered(viewer, "mine", {}))[0] == 403
    assert (await viewer.call("PUT", "/v1/sources/x", {"mode": "observe"}))[0] == 403
    assert (await viewer.call("DELETE", "/v1/sources/x"))[0] == 403
    assert (await viewer.call("GET", "/v1/schemas/purchase"))[0] == 200
    assert (await viewer.call("POST", "/v1/schemas/validate", {"schema": {}}))[0] == 200
    assert (await as_role(door, "agent").call("GET", "/v1/schemas/violations"))[0] == 403


async def test_what_another_process_registers_holds_within_two_seconds(door: Door, postgres_url: str) -> None:
    other = Database(database_of(postgres_url, door.prefix.replace(".", "_")), application="test")
    await other.start()
    async with other.transaction() as tx:
        number = await store.next_revision(tx)
        await store.put_type(tx, "elsewhere", "", 1, number, "bo", clock.now())
        await store.add_version(tx, "elsewhere", 1, json.dumps(YEARS), "backward", "", "bo", clock.now())
    await other.stop()
    await asyncio.sleep(2.0)
    assert (await door.send(fresh(type="elsewhere", data={"years": 1}), WEB))[0] == 202
    assert (await door.send(fresh(type="elsewhere", data={"years": "1"}), WEB))[0] == 422


async def test_only_what_changed_is_compiled_again(door: Door, postgres_url: str) -> None:
    await registered(door, "compiled_once", YEARS)
    await registered(door, "compiled_twice", YEARS)
    database = Database(database_of(postgres_url, door.prefix.replace(".", "_")), application="test")
    registry = Registry(database, Metrics("ingest", process=False))
    await database.start()
    try:
        await registry.refresh()
        before = registry.kinds
        await registry.refresh()
        assert registry.kinds is before
        await registered(door, "compiled_twice", {**YEARS, "required": []})
        await registry.refresh()
        assert registry.kinds is not before
        assert registry.kinds.own["compiled_once"] is before.own["compiled_once"]
        assert registry.kinds.own["compiled_twice"] is not before.own["compiled_twice"]
    finally:
        await database.stop()


async def test_a_stored_schema_that_cannot_be_used_any_more_costs_no_event(door: Door, postgres_url: str) -> None:
    connection = await asyncpg.connect(database_of(postgres_url, door.prefix.replace(".", "_")))
    await registered(door, "rusty", YEARS)
    await connection.execute("UPDATE event_type_version SET schema = '{\"type\": 5}' WHERE name = 'rusty'")
    await connection.execute("UPDATE tracking_plan SET revision = revision + 1")
    await connection.execute(
        "UPDATE event_type SET revision = (SELECT revision FROM tracking_plan) WHERE name = 'rusty'"
    )
    await connection.close()
    await asyncio.sleep(2.0)
    assert (await door.send(fresh(type="rusty", data={"years": "x"})))[0] == 202


async def test_types_that_were_registered_before_there_were_versions_go_on(postgres_url: str, fresh_name: str) -> None:
    folder = migrations.SERVICES_ROOT / "ingest" / "migrations" / "versions"
    url = postgres_url.rsplit("/", 1)[0] + f"/{fresh_name}"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'CREATE DATABASE "{fresh_name}"')
    await server.close()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_sql(folder / "0001_keys_and_types.py"))
        await connection.execute(
            "INSERT INTO event_type (name, description, created_by, created_at) VALUES ('old', 'Old.', 'bo', now())"
        )
        await connection.execute(_sql(folder / "0003_schemas.py"))
        row = await connection.fetchrow("SELECT * FROM event_type JOIN event_type_version USING (name, version)")
        assert row is not None
        assert (row["name"], row["version"], row["description"], row["schema"]) == ("old", 1, "Old.", None)
    finally:
        await connection.close()
        await drop_database(postgres_url, fresh_name)


def _sql(file: Path) -> str:
    names: dict[str, Any] = {}
    text = file.read_text("utf-8").replace("from alembic import op\n", "")
    exec(compile(text, file.name, "exec"), names)
    return str(names["SQL"])


def outcome(number: int, source: str = "store-1/pos-1") -> Outcome:
    whole = {"id": str(number), "source": source, "type": f"unheard_{number}", "time": NOW.isoformat()}
    return decode_batch(json.dumps(whole).encode(), Form.NATIVE, terms())


async def test_the_report_is_bounded_and_old_days_are_forgotten(door: Door, postgres_url: str) -> None:
    url = database_of(postgres_url, door.prefix.replace(".", "_"))
    database = Database(url, application="test")
    recorder = Recorder(database, Metrics("ingest", process=False))
    await database.start()
    connection = await asyncpg.connect(url)
    try:
        for number in range(PLACES_MAX + 20):
            recorder.note(outcome(number, "store-full/pos-1"), terms())
        await recorder.write()
        places = await connection.fetchval("SELECT count(*) FROM schema_violation WHERE source = 'store-full/pos-1'")
        assert places == PLACES_MAX
        rest = await connection.fetchrow(
            "SELECT sum(count) AS n, max(type) AS t FROM schema_violation WHERE source = $1", OTHER
        )
        assert rest is not None and (rest["n"], rest["t"]) == (20, OTHER)
        await connection.execute("UPDATE schema_violation SET day = day - 91 WHERE source = 'store-full/pos-1'")
        await recorder._sweep()
        assert (
            await connection.fetchval("SELECT count(*) FROM schema_violation WHERE day < now() - interval '91 days'")
            == 0
        )
    finally:
        await connection.close()
        await database.stop()


async def test_what_cannot_be_written_now_is_written_later(door: Door, postgres_url: str) -> None:
    database = Database(database_of(postgres_url, door.prefix.replace(".", "_")), application="test")
    recorder = Recorder(database, Metrics("ingest", process=False))
    recorder.note(outcome(1, "store-later/pos-1"), terms())
    with pytest.raises(Exception, match="not open"):
        await recorder.write()
    recorder.note(outcome(1, "store-later/pos-1"), terms())
    await database.start()
    await recorder.stop()
    await database.stop()
    connection = await asyncpg.connect(database_of(postgres_url, door.prefix.replace(".", "_")))
    assert await connection.fetchval("SELECT count FROM schema_violation WHERE source = 'store-later/pos-1'") == 2
    await connection.close()


async def test_the_paths_of_the_plan_are_described(door: Door) -> None:
    _, document = await door.call("GET", "/openapi.json")
    assert {"/v1/schemas/{type}", "/v1/schemas/validate", "/v1/sources/{source}"} <= document["paths"].keys()
    assert msgspec.json.encode(document)


async def test_a_type_shows_what_its_events_without_a_person_are_about(door: Door) -> None:
    schema = {"type": "object", "x-subject": ["route"], "properties": {"route": {"type": "string"}}}
    assert (await registered(door, "route_shut", schema))[0] == 201
    status, answer = await registered(door, "route_lost", schema | {"x-subject": "route"})
    assert (status, answer["errors"][0]["pointer"]) == (422, "#/schema/x-subject")
    for name, about in (("route_shut", ["route"]), ("price_dropped", ["product"]), ("purchase", [])):
        assert (await asked(door, "GET", f"/v1/schemas/{name}"))[1]["subject"] == about
    _, page, _ = await asked(door, "GET", "/v1/schemas?limit=1000")
    found = {each["type"]: each["subject"] for each in page["items"]}
    assert (found["route_shut"], found["weather"], found["purchase"]) == (["route"], ["region", "branch"], [])

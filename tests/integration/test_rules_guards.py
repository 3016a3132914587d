"""Does a rule stop by itself when what it causes does harm, and can the company set the limits while it runs?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest

from libs.common import clock, progress
from libs.common.auth import issue_token
from libs.common.events import ContactsCounted
from libs.common.kafka import Record
from libs.common.topics import CONTACTS_COUNTED, partition_of
from libs.common.web import encode_cursor
from tests.rules_place import SECRET, UNITS, Place, activate, opened, running

ANY_VISIT = {
    "id": "any-visit",
    "name": "Any visit",
    "when": {"type": "event", "event": "visit"},
    "limits": {"repeat": "always"},
    "emit": {"trigger": "thanks.visit"},
}


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def tell(place: Place, number: int, version: int = 1, at_ms: int = 0, **counts: int) -> None:
    """What campaign's unit says under its `number`; the same number again is the same message again."""
    fact = ContactsCounted("any-visit", version, clock.from_ms(at_ms or clock.now_ms()), counts)
    key = fact.rule_id.encode()
    stamp = (progress.ORIGIN, progress.stamp("campaign.decide/0", number))
    record = Record(CONTACTS_COUNTED.name, partition_of(key, UNITS), key, msgspec.json.encode(fact), [stamp])
    await place.publisher.publish([record])


async def read(client: httpx2.AsyncClient, path: str = "/guards") -> dict[str, Any]:
    answer = await client.get(f"/v1/rules/any-visit{path}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(client: httpx2.AsyncClient, measure: str, count: int) -> dict[str, Any]:
    """Waits until exactly so many are counted."""
    async with asyncio.timeout(60):
        while True:
            found = await read(client)
            if sum(day[measure] for day in found["by_day"]) == count:
                return found
            await asyncio.sleep(0.1)


async def until_status(client: httpx2.AsyncClient, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := await read(client, "?which=live"))["status"] != status:
            await asyncio.sleep(0.1)
    return found


async def until_told(client: httpx2.AsyncClient, line: str) -> None:
    async with asyncio.timeout(60):
        while line not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.1)


async def until_looked_at(place: Place) -> None:
    """Until whatever was counted has been judged: the note of it goes with the transaction that judges."""
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM document_guard_touched)"):
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


def limit(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["limits"] if each["name"] == name)


async def as_admin(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> httpx2.Response:
    token = issue_token(SECRET, subject="dan", roles=["admin"])
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    return await client.request(method, path, headers=headers, **more)


async def test_unsubscriptions_above_the_limit_pause_the_rule_and_triggers_stop(place: Place) -> None:
    async with running(place) as client:
        await activate(client, ANY_VISIT)
        await place.give("c1", "visit")
        assert len(await place.triggers(1)) == 1
        await tell(place, 1, contacts=800, cap_asked=900, cap_blocked=30)
        found = await until(client, "contacts", 800)
        assert (found["version"], found["status"], found["paused"]) == (1, "active", None)
        assert limit(found, "unsubscribe") == {
            "name": "unsubscribe",
            "state": "within",
            "limit_percent": 0.5,
            "own": False,
            "count": 0,
            "of": 800,
            "share_percent": 0.0,
            "stops_at": 9,
        }
        await tell(place, 2, unsubscribed=9)
        paused = await until_status(client, "paused")
        assert paused["paused_by"] == "guard"
        assert paused["paused_because"].startswith("9 of 800 contacts unsubscribed since ")
        stop = (await read(client))["paused"]
        assert (stop["by"], stop["note"]) == ("guard", paused["paused_because"])
        assert [(each["limit"], each["count"], each["of"]) for each in stop["figures"]] == [("unsubscribe", 9, 800)]
        metrics = (await client.get("/metrics")).text
        assert 'dangol_rules_guard_pauses_total{limit="unsubscribe"} 1.0' in metrics
        await until_told(client, 'dangol_rules_document_snapshot_number{kind="rule"} 2.0')
        await place.give("c1", "visit")
        await until_told(client, 'dangol_rules_rule_outcomes_total{outcome="paused",rule="any-visit"} 1.0')
        assert await place.triggers(0) == []
        changes = (await client.get("/v1/rules/any-visit/changes")).json()["items"]
        assert [(each["status"], each["author"]) for each in changes] == [("paused", "guard"), ("active", "marketer")]


async def test_a_redelivered_count_counts_once_and_below_the_minimum_nothing_happens(place: Place) -> None:
    async with running(place) as client:
        await activate(client, ANY_VISIT)
        await tell(place, 1, contacts=60, unsubscribed=60)
        await tell(place, 1, contacts=60, unsubscribed=60)
        await tell(place, 2, complained=1)
        found = await until(client, "complained", 1)
        assert limit(found, "unsubscribe")["of"] == 60, "twice sixty would be above the minimum of a hundred"
        await until_looked_at(place)
        assert (await read(client, "?which=live"))["status"] == "active"
    async with running(place) as client:
        await tell(place, 2, complained=1)
        await tell(place, 3, bounced=1)
        assert limit(await until(client, "bounced", 1), "complaint")["count"] == 1, "nor after a restart"


async def test_a_resumption_begins_anew(place: Place) -> None:
    async with running(place) as client:
        await activate(client, ANY_VISIT)
        first = clock.now_ms()
        await tell(place, 1, contacts=200, complained=5)
        await until_status(client, "paused")
        resumed = await client.post("/v1/rules/any-visit/resume", json={"note": "the text was mended"})
        assert (resumed.status_code, resumed.json()["paused_by"]) == (200, "")
        await tell(place, 2, at_ms=first, complained=20)
        await tell(place, 3, contacts=150, complained=0)
        found = await until(client, "contacts", 150)
        assert limit(found, "complaint")["count"] == 0, "what old contacts bring late belongs to the old stay"
        await until_looked_at(place)
        assert (await read(client, "?which=live"))["status"] == "active"


async def test_a_rule_may_have_limits_of_its_own_and_a_wrong_one_is_named(place: Place) -> None:
    async with running(place) as client:
        wrong = {**ANY_VISIT, "guards": {"unsubscribe_percent": 101, "after": 0, "unsubscribed_percent": 1}}
        refused = await client.post("/v1/rules", json=wrong)
        assert refused.status_code == 422
        assert {each["pointer"] for each in refused.json()["errors"]} == {
            "#/guards/unsubscribe_percent",
            "#/guards/after",
            "#/guards/unsubscribed_percent",
        }
        await activate(client, {**ANY_VISIT, "guards": {"unsubscribe_percent": None, "complaint_percent": 3}})
        await tell(place, 1, contacts=100, unsubscribed=100, complained=3)
        found = await until(client, "contacts", 100)
        assert limit(found, "unsubscribe")["state"] == "off"
        assert (limit(found, "complaint")["state"], limit(found, "complaint")["own"]) == ("within", True)


async def test_the_ramp_is_changed_by_itself_and_a_paused_rule_says_what_to_do(place: Place) -> None:
    async with running(place) as client:
        assert (await client.post("/v1/rules", json=ANY_VISIT)).status_code == 201
        early = await client.post("/v1/rules/any-visit/ramp", json={"percent": 5})
        assert early.status_code == 409
        await client.post("/v1/rules/any-visit/activate", json={"ramp_percent": 1})
        ramped = await client.post("/v1/rules/any-visit/ramp", json={"percent": 25, "note": "all is well"})
        assert (ramped.json()["version"], ramped.json()["ramp_percent"]) == (1, 25)
        stale = await client.post("/v1/rules/any-visit/ramp", json={"percent": 50}, headers={"If-Match": '"7"'})
        assert stale.status_code == 412 and "Read it again" in stale.json()["detail"]
        await client.post("/v1/rules/any-visit/pause", json={})
        refused = await client.post("/v1/rules/any-visit/ramp", json={"percent": 100})
        assert refused.status_code == 409 and "resume it first" in refused.json()["detail"]
        assert (await client.post("/v1/rules/any-visit/ramp", json={"percent": 101})).status_code == 422


async def test_an_activation_that_names_what_was_read_is_told_of_a_later_version(place: Place) -> None:
    async with running(place) as client:
        await client.post("/v1/rules", json=ANY_VISIT)
        tag = (await client.get("/v1/rules/any-visit")).headers["ETag"]
        await client.put("/v1/rules/any-visit", json={**ANY_VISIT, "name": "Other"}, headers={"If-Match": tag})
        blind = await client.post("/v1/rules/any-visit/activate", headers={"If-Match": tag})
        assert blind.status_code == 412 and "is at version 2 by now, not 1, written by marketer" in blind.text


async def test_an_admin_sets_what_the_company_allows_and_who_changed_what_is_kept(place: Place) -> None:
    async with running(place) as client:
        answer = await client.get("/v1/company")
        first = answer.json()
        assert (first["version"], first["author"], answer.headers["ETag"]) == (0, "environment", '"0"')
        assert first["document"]["approval_above_percent"] is None
        nobody = await client.get("/v1/company/versions")
        assert (nobody.status_code, nobody.json()) == (200, {"items": [], "next": None})
        wanted = {**first["document"], "approval_above_percent": 0}
        assert (await client.put("/v1/company", json=wanted, headers={"If-Match": '"0"'})).status_code == 403
        assert (await as_admin(client, "PUT", "/v1/company", json=wanted)).status_code == 428
        partial = await as_admin(client, "PUT", "/v1/company", json={"guards": {}}, headers={"If-Match": '"0"'})
        assert "#/approval_above_percent" in {each["pointer"] for each in partial.json()["errors"]}
        assert (await client.post("/v1/rules", json=ANY_VISIT)).status_code == 201
        path = "/v1/company?note=as+the+board+decided"
        done = await as_admin(client, "PUT", path, json=wanted, headers={"If-Match": '"0"'})
        assert (done.status_code, done.json()["version"]) == (200, 2)
        refused = await client.post("/v1/rules/any-visit/activate", json={"reach_percent": 0})
        assert refused.status_code == 409 and "needs approval" in refused.json()["detail"]
        late = await as_admin(client, "PUT", "/v1/company", json=wanted, headers={"If-Match": '"0"'})
        assert late.status_code == 412 and "version 2, by dan" in late.json()["detail"]
        versions = (await client.get("/v1/company/versions")).json()["items"]
        assert [(each["version"], each["author"], each["note"], each["changed"]) for each in versions] == [
            (2, "dan", "as the board decided", [{"pointer": "/approval_above_percent", "was": None, "now": 0.0}]),
            (1, "environment", "What the environment said before.", []),
        ]
        page = (await client.get("/v1/company/versions?limit=1")).json()
        assert [each["version"] for each in page["items"]] == [2] and page["items"][0]["changed"]
        rest = (await client.get(f"/v1/company/versions?limit=1&cursor={page['next']}")).json()
        assert [each["version"] for each in rest["items"]] == [1] and rest["next"] is None
        of_the_first = (await client.get(f"/v1/company/versions?cursor={encode_cursor(1)}")).json()
        assert of_the_first["items"] == []


async def test_a_limit_that_is_lowered_counts_for_what_is_in_force(place: Place) -> None:
    async with running(place) as client:
        await activate(client, ANY_VISIT)
        await tell(place, 1, contacts=1_000, bounced=30)
        assert limit(await until(client, "bounced", 30), "bounce")["state"] == "within"
        wanted = (await client.get("/v1/company")).json()["document"]
        wanted["guards"]["bounce_percent"] = 1
        assert (
            await as_admin(client, "PUT", "/v1/company", json=wanted, headers={"If-Match": '"0"'})
        ).status_code == 200
        assert "30 of 1000 contacts bounced for good" in (await until_status(client, "paused"))["paused_because"]

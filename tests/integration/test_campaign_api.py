"""Does the campaign API keep what is written, refuse what is wrong, and answer why somebody was contacted?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from libs.common import migrations
from libs.common.auth import ROLES, issue_token, routes, unguarded
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.web import encode_cursor
from services.campaign import decisions, store
from services.campaign.app import build
from services.campaign.document import Library
from services.campaign.policy import Campaign
from services.campaign.settings import CampaignSettings
from tests.campaign_situations import COMPANY, NOON, campaign, record, trigger

SECRET = "a secret of the tests, long enough 0123456789"
DOCUMENT: dict[str, Any] = {
    "id": "welcome",
    "name": "Welcome",
    "trigger": "offer.welcome",
    "channel": "sms",
    "template": "welcome-text",
}


@dataclass
class Caller:
    app: FastAPI
    database: Database
    library: SnapshotWatcher[Library]

    async def __call__(self, method: str, path: str, *, role: str = "marketer", **more: Any) -> httpx2.Response:
        token = issue_token(SECRET, subject=f"the-{role}", roles=[role])
        headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://campaign"
        ) as client:
            return await client.request(method, path, headers=headers, **more)


@pytest.fixture
async def call(postgres_url: str, fresh_name: str) -> AsyncIterator[Caller]:
    settings = CampaignSettings(
        database_url=postgres_url, database_prefix=f"{fresh_name}_", token_secret=SecretStr(SECRET), port=0
    )
    await migrations.upgrade("campaign", settings.database_url_of("campaign"))
    app = await build(settings)
    database, library = app.resources[0], app.components[0]
    assert isinstance(database, Database) and isinstance(library, SnapshotWatcher)
    await database.start()
    yield Caller(app.web, database, library)
    await database.stop()
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{fresh_name}_campaign" WITH (FORCE)')
    await server.close()


async def _decided(call: Caller, *campaigns: Campaign, count: int = 1, consenting: bool = True) -> None:
    library = Library({each.id: each for each in campaigns}, {"offer.spring": list(campaigns)})
    occasions = decisions.occasions_of(
        [trigger(number, reason=f"turn-{number % 2}") for number in range(count)], library
    )
    records = {"c1": record() if consenting else record(consents={})}
    people = decisions.people_of(occasions.values(), records)
    outcomes = decisions.decide(occasions, decisions.Known(people, {}, frozenset(), COMPANY, NOON))
    async with call.database.transaction() as tx:
        await store.save_decisions(tx, 0, outcomes)
        await store.reserve(tx, 0, outcomes)


async def test_a_campaign_lives_from_draft_to_retirement(call: Caller) -> None:
    made = await call("POST", "/v1/campaigns", json=DOCUMENT)
    assert (made.status_code, made.json()["status"], made.headers["etag"]) == (201, "draft", '"1"')
    assert call.library.current is None
    on = await call("POST", "/v1/campaigns/welcome/activate")
    assert (on.status_code, on.json()["status"]) == (200, "active")
    assert list(call.library.require().content.by_trigger) == ["offer.welcome"]
    off = await call("POST", "/v1/campaigns/welcome/pause", json={"note": "too many complaints"})
    assert off.json()["status"] == "paused" and not call.library.require().content.by_id
    again = await call("POST", "/v1/campaigns/welcome/resume", role="approver")
    assert again.json()["status"] == "active" and call.library.require().content.by_id
    assert (await call("POST", "/v1/campaigns/welcome/retire")).json()["status"] == "retired"
    assert not call.library.require().content.by_id
    changes = (await call("GET", "/v1/campaigns/welcome/changes", role="viewer")).json()["items"]
    assert [each["status"] for each in changes] == ["retired", "active", "paused", "active"]
    assert changes[2]["note"] == "too many complaints" and changes[1]["author"] == "the-approver"


async def test_a_new_version_waits_for_its_activation_and_an_old_one_can_come_back(call: Caller) -> None:
    await call("POST", "/v1/campaigns", json=DOCUMENT)
    await call("POST", "/v1/campaigns/welcome/activate")
    changed = DOCUMENT | {"priority": 90}
    read = await call("GET", "/v1/campaigns/welcome")
    written = await call("PUT", "/v1/campaigns/welcome", json=changed, headers={"If-Match": read.headers["etag"]})
    assert (written.status_code, written.json()["version"], written.json()["status"]) == (200, 2, "draft")
    assert call.library.require().content.by_id["welcome"].version == 1
    await call("POST", "/v1/campaigns/welcome/activate", json={"version": 2, "ramp_percent": 10})
    now = call.library.require().content.by_id["welcome"]
    assert (now.version, now.priority, now.ramp_percent) == (2, 90, 10)
    await call("POST", "/v1/campaigns/welcome/activate", json={"version": 1})
    assert call.library.require().content.by_id["welcome"].version == 1
    difference = await call("GET", "/v1/campaigns/welcome/diff?from=1&to=2")
    assert difference.json()["items"] == [{"pointer": "/priority", "now": 90}]


async def test_an_edit_of_what_has_changed_meanwhile_is_refused(call: Caller) -> None:
    await call("POST", "/v1/campaigns", json=DOCUMENT)
    url = "/v1/campaigns/welcome"
    assert (await call("PUT", url, json=DOCUMENT)).status_code == 428
    assert (await call("PUT", url, json=DOCUMENT, headers={"If-Match": '"1"'})).status_code == 200
    assert (await call("PUT", url, json=DOCUMENT, headers={"If-Match": '"1"'})).status_code == 412
    assert (await call("POST", "/v1/campaigns", json=DOCUMENT)).status_code == 409
    other = DOCUMENT | {"id": "other"}
    refused = await call("PUT", url, json=other, headers={"If-Match": '"2"'})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/id")
    for tag in ('"1"', "*"):
        missing = await call("PUT", "/v1/campaigns/other", json=other, headers={"If-Match": tag})
        assert missing.status_code == 404


async def test_a_document_is_refused_with_a_pointer_to_every_fault(call: Caller) -> None:
    wrong = DOCUMENT | {"channel": "fax", "cap": {"times": 1, "per": "soon"}, "colour": 1}
    refused = await call("POST", "/v1/campaigns", json=wrong)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert {each["pointer"] for each in refused.json()["errors"]} == {"#/channel", "#/cap/per", "#/colour"}
    told = await call("POST", "/v1/campaigns/validate", json=wrong)
    assert told.json() == {"valid": False, "errors": refused.json()["errors"]}
    right = await call("POST", "/v1/campaigns/validate", json=DOCUMENT)
    assert right.json() == {"valid": True, "errors": []}
    assert (await call("GET", "/v1/campaigns")).json() == {"items": [], "next": None}


async def test_campaigns_and_their_versions_are_read_page_by_page(call: Caller) -> None:
    for number in range(3):
        await call("POST", "/v1/campaigns", json=DOCUMENT | {"id": f"c{number}"})
    for version in (1, 2):
        tag = {"If-Match": f'"{version}"'}
        await call("PUT", "/v1/campaigns/c0", json=DOCUMENT | {"id": "c0"}, headers=tag)
    assert await _walk(call, "/v1/campaigns", "id") == ["c0", "c1", "c2"]
    assert await _walk(call, "/v1/campaigns/c0/versions", "version") == [3, 2, 1]
    assert (await call("GET", "/v1/campaigns/c0/versions/2")).json()["version"] == 2


async def _walk(call: Caller, path: str, name: str) -> list[Any]:
    """Reads a list by pages of two."""
    found, cursor = list[Any](), ""
    while True:
        sign = "&" if "?" in path else "?"
        page = (await call("GET", f"{path}{sign}limit=2{cursor}")).json()
        assert len(page["items"]) <= 2
        found += [each[name] for each in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def test_a_decision_answers_why(call: Caller) -> None:
    await _decided(call, campaign(), consenting=False)
    [found] = (await call("GET", "/v1/decisions?customer_id=c1", role="agent")).json()["items"]
    assert (found["outcome"], found["gate"], found["event_id"]) == ("denied", "consent", "event-0")
    assert (found["rule_id"], found["reason"]) == ("rule-1", "turn-0")
    assert found["trace"][-1] == {
        "gate": "consent",
        "verdict": "deny",
        "detail": "never asked",
        "values": {"channel": "sms", "class": "marketing"},
    }
    one = await call("GET", f"/v1/decisions/{found['decision_id']}")
    assert one.json() == found
    assert (await call("GET", "/v1/decisions/5b1c2a60-6d0e-5a0e-9d3a-64616e676f6c")).status_code == 404
    assert (await call("GET", "/v1/decisions/none")).status_code == 422


async def test_decisions_are_found_by_what_is_known_of_them(call: Caller) -> None:
    await _decided(call, campaign(), count=5)
    for query, count in {
        "": 5,
        "campaign_id=spring": 5,
        "campaign_id=summer": 0,
        "person_id=person-of-c1": 5,
        "outcome=contact": 3,
        "outcome=denied&gate=cap": 2,
        "event_id=event-1": 1,
        "reason=turn-0": 3,
        "reason=turn-1&outcome=contact": 1,
        "reason=turn": 0,
        "reason=": 0,
        "from=2026-03-04T03:00:00Z": 5,
        "to=2026-03-04T03:00:00Z": 0,
        "from=2026-03-04T12:00:00%2B09:00&to=2026-03-04T04:00:00Z": 5,
    }.items():
        assert len(await _walk(call, f"/v1/decisions?{query}", "decision_id")) == count, query


async def test_a_question_that_makes_no_sense_is_refused(call: Caller) -> None:
    for query in (
        "outcome=maybe",
        "from=yesterday",
        "from=2026-01-01T00:00:00",
        "limit=0",
        "color=red",
        "cursor=x",
        f"cursor={encode_cursor('2026-01-01T00:00:00', '5b1c2a60-6d0e-5a0e-9d3a-64616e676f6c')}",
        f"cursor={encode_cursor(10**18, 'x')}",
        f"customer_id={'x' * 300}",
    ):
        refused = await call("GET", f"/v1/decisions?{query}")
        assert refused.status_code in (400, 422), query
        assert refused.headers["content-type"] == "application/problem+json"


async def test_no_odd_address_is_an_error_of_the_server(call: Caller) -> None:
    await call("POST", "/v1/campaigns", json=DOCUMENT)
    for path in (
        "decisions?from=0001-01-01T00:00:00%2B14:00",
        "decisions?to=9999-12-31T23:59:59-12:00",
        "decisions?gate=%F0%9F%98%80",
        f"campaigns?cursor={encode_cursor('x' * 400)}",
        f"campaigns/welcome/versions?cursor={encode_cursor(-(10**30))}",
        f"campaigns/welcome/changes?cursor={encode_cursor(10**30)}",
        "campaigns/welcome/versions/99999999999999999999999",
        "campaigns/welcome/versions/-1",
        "campaigns/%F0%9F%98%80",
        "campaigns/a%00b",
        "campaigns/welcome/diff?from=1&to=99999999999999",
    ):
        assert (await call("GET", f"/v1/{path}")).status_code < 500, path


async def test_results_count_what_was_decided_and_what_became_of_it(call: Caller) -> None:
    await call("POST", "/v1/campaigns", json=DOCUMENT | {"id": "spring"})
    await _decided(call, campaign(), count=5)
    results = (await call("GET", "/v1/campaigns/spring/results", role="viewer")).json()
    assert results == {
        "campaign_id": "spring",
        "decided": 5,
        "outcomes": {"contact": 3, "denied": 2},
        "denied_by_gate": {"cap": 2},
        "contacts": {"reserved": 3},
    }
    assert (await call("GET", "/v1/campaigns/none/results")).status_code == 404


async def test_an_operator_alone_sets_switches(call: Caller) -> None:
    url = "/v1/switches/channel:sms"
    assert (await call("PUT", url, json={"off": True})).status_code == 403
    first = await call("PUT", url, json={"off": True, "note": "wrong price"}, role="operator")
    assert (first.status_code, first.json()["version"], first.json()["actor"]) == (200, 1, "the-operator")
    async with call.database.transaction() as tx:
        assert await store.switched_off(tx) == {"channel:sms"}
    second = await call("PUT", url, json={"off": False}, role="operator")
    assert (second.json()["version"], second.json()["off"]) == (2, False)
    async with call.database.transaction() as tx:
        assert not await store.switched_off(tx)
    assert len((await call("GET", "/v1/switches", role="viewer")).json()["items"]) == 1
    assert (await call("PUT", "/v1/switches/everything", json={"off": True}, role="operator")).status_code == 422
    assert (await call("PUT", url, json={"off": "yes please"}, role="operator")).status_code == 422


async def test_every_endpoint_is_guarded_and_a_viewer_changes_nothing(call: Caller) -> None:
    assert unguarded(call.app) == []
    for access in routes(call.app):
        allowed = {role for roles in access.roles for role in roles}
        assert allowed <= set(ROLES)
        assert access.methods == ("GET",) or "viewer" not in allowed, access


async def test_a_contact_that_is_still_pending_counts_however_old_it_is(call: Caller) -> None:
    await _decided(call, campaign(valid_for=timedelta(days=1)))
    async with call.database.transaction() as tx:
        counted = await store.load_contacts(tx, ["c1"], NOON + timedelta(days=300))
    assert [each.pending for each in counted["c1"]] == [True]


async def test_a_campaign_shows_how_near_each_limit_is_and_says_who_paused_it(call: Caller) -> None:
    wrong = await call("POST", "/v1/campaigns", json=DOCUMENT | {"guards": {"bounce_percent": -1, "complaints": 1}})
    assert {each["pointer"] for each in wrong.json()["errors"]} == {"#/guards/bounce_percent", "#/guards/complaints"}
    await call("POST", "/v1/campaigns", json=DOCUMENT | {"guards": {"unsubscribe_percent": None, "after": 500}})
    early = await call("GET", "/v1/campaigns/welcome/guards")
    assert early.status_code == 409 and "activate one" in early.json()["detail"]
    assert (await call("GET", "/v1/campaigns/other/guards")).status_code == 404
    await call("POST", "/v1/campaigns/welcome/activate", json={"ramp_percent": 1})
    ramped = await call("POST", "/v1/campaigns/welcome/ramp", json={"percent": 25})
    assert (ramped.status_code, ramped.json()["ramp_percent"]) == (200, 25)
    assert call.library.require().content.by_id["welcome"].ramp_percent == 25
    found = (await call("GET", "/v1/campaigns/welcome/guards", role="viewer")).json()
    assert (found["ramp_percent"], found["after"], found["by_day"], found["paused"]) == (25, 500, [], None)
    limits = {each["name"]: (each["state"], each["own"], each["limit_percent"]) for each in found["limits"]}
    assert limits["unsubscribe"] == ("off", True, None)
    assert limits["complaint"] == ("too_few", False, 0.1)
    await call("POST", "/v1/campaigns/welcome/pause", json={"note": "a typo"})
    paused = (await call("GET", "/v1/campaigns/welcome")).json()
    assert (paused["paused_by"], paused["paused_because"]) == ("the-marketer", "a typo")
    stop = (await call("GET", "/v1/campaigns/welcome/guards")).json()["paused"]
    assert (stop["by"], stop["note"], stop["figures"]) == ("the-marketer", "a typo", [])


async def test_an_admin_sets_from_which_reach_on_a_campaign_needs_approval(call: Caller) -> None:
    await call("POST", "/v1/campaigns", json=DOCUMENT)
    wanted = (await call("GET", "/v1/company")).json()["document"] | {"approval_above_percent": 5}
    for role in ("marketer", "approver", "operator"):
        assert (await call("PUT", "/v1/company", role=role, json=wanted)).status_code == 403
    done = await call("PUT", "/v1/company", role="admin", json=wanted, headers={"If-Match": '"0"'})
    assert (done.status_code, done.headers["etag"]) == (200, '"2"')
    refused = await call("POST", "/v1/campaigns/welcome/activate", json={"reach_percent": 6})
    assert refused.status_code == 409 and "above 5 % it needs approval" in refused.json()["detail"]
    small = await call("POST", "/v1/campaigns/welcome/activate", json={"reach_percent": 6, "ramp_percent": 50})
    assert small.status_code == 200
    larger = await call("POST", "/v1/campaigns/welcome/ramp", json={"percent": 90, "reach_percent": 6})
    assert larger.status_code == 409, "a ramp is no way around it"

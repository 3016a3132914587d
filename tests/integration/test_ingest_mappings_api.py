"""How do owners write, try and switch mappings on the real service, and when does a change count at the door?"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio

from libs.common import clock
from libs.common.auth import issue_token
from services.ingest.mapping.shelf import shipped_documents
from tests.ingest_door import SECRET, Door, another, now, running
from tests.ingest_webhooks import shopify_order

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOOK_SECRET = "hush-hush-0123456789"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """One service for all tests; each has mappings of its own."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("ingest")) as door:
        yield door


def own(word: str = "mapping") -> str:
    return f"{word}-{clock.new_id().hex[-10:]}"


def document(name: str, /, **emit: Any) -> dict[str, Any]:
    whole = {
        "id": "concat('o-', body.no)",
        "type": "'purchase'",
        "time": "time(body.at)",
        "identifiers": {"email": "body.mail"},
        "data": {"amount": "money(body.sum)", "currency": {"value": "KRW"}},
    }
    return {"id": name, "description": "A till of ours.", "events": [{"when": "body.no", "emit": whole | emit}]}


def sample(**changes: Any) -> dict[str, Any]:
    return {"body": {"no": 7, "at": now(-60), "mail": "mina@example.com", "sum": "45000"} | changes}


async def edited(door: Door, path: str, version: int, body: Any) -> tuple[int, Any]:
    headers = door.admin | {"If-Match": f'"{version}"'}
    async with door.client.put(door.address + path, json=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


async def created(door: Door, mapping: dict[str, Any], *, active: bool = False) -> str:
    status, made = await door.call("POST", "/v1/mappings", mapping)
    assert status == 201, made
    if active:
        assert (await door.call("POST", f"/v1/mappings/{made['id']}/activate"))[0] == 200
    id: str = made["id"]
    return id


async def tried(door: Door, id: str, **order: Any) -> dict[str, Any]:
    status, trial = await door.call("POST", f"/v1/mappings/{id}/test", order)
    assert status == 200, trial
    whole: dict[str, Any] = trial
    return whole


async def test_a_mapping_is_written_tried_activated_and_rolled_back(door: Door) -> None:
    id = await created(door, document(own()))
    place = f"/v1/mappings/{id}"
    status, read = await door.call("GET", place)
    assert (status, read["status"], read["document"]["description"]) == (200, "draft", "A till of ours.")
    assert (await door.call("POST", f"{place}/activate"))[0] == 200
    second = document(id, data={"amount": "minor(body.sum, 'USD')", "currency": {"value": "USD"}})
    assert (await edited(door, place, 1, second))[0] == 200
    assert (await edited(door, place, 1, second))[0] == 412
    status, difference = await door.call("GET", f"{place}/diff?from=1&to=2")
    assert [each["pointer"] for each in difference["items"]] == [
        "/events/0/emit/data/amount",
        "/events/0/emit/data/currency/value",
    ]
    for version, status_now in ((2, "active"), (1, "active")):
        status, switched = await door.call("POST", f"{place}/activate", {"version": version, "note": "for a day"})
        assert (status, switched["version"], switched["status"]) == (200, version, status_now)
    assert (await door.call("POST", f"{place}/pause", {"note": "why"}))[1]["status"] == "paused"
    assert (await door.call("POST", f"{place}/resume"))[1]["status"] == "active"
    assert (await door.call("POST", f"{place}/retire"))[1]["status"] == "retired"
    status, changes = await door.call("GET", f"{place}/changes")
    assert [each["status"] for each in changes["items"]] == [
        "retired",
        "active",
        "paused",
        "active",
        "active",
        "active",
    ]
    status, versions = await door.call("GET", f"{place}/versions")
    assert [each["version"] for each in versions["items"]] == [2, 1]


async def test_what_is_wrong_with_a_mapping_is_said_with_places(door: Door) -> None:
    wrong = document(own(), type="purchase", data={"amount": "mony(body.sum)"})
    status, validity = await door.call("POST", "/v1/mappings/validate", wrong)
    assert (status, validity["valid"]) == (200, False)
    pointers = ["#/events/0/emit/type", "#/events/0/emit/data/amount"]
    assert [each["pointer"] for each in validity["errors"]] == pointers
    status, problem = await door.call("POST", "/v1/mappings", wrong)
    assert (status, [each["pointer"] for each in problem["errors"]]) == (422, pointers)
    assert (await door.call("POST", "/v1/mappings/validate", document(own())))[1] == {"valid": True, "errors": []}
    taken = document("shipped")
    assert (await door.call("POST", "/v1/mappings", taken))[0] == 422


async def test_a_sample_shows_the_events_with_their_verdicts_and_keeps_nothing(door: Door) -> None:
    id = await created(door, document(own()))
    trial = await tried(door, id, **sample())
    (event,) = trial["events"]
    assert event["event"]["id"] == "o-7"
    assert event["event"]["data"] == {"amount": "45000", "currency": "KRW"}
    assert (event["refused"], event["violations"]) == (None, [])
    assert (await tried(door, id, body={"other": 1}))["events"] == []


@pytest.mark.parametrize(
    ("body", "reason", "pointer"),
    [
        ({"sum": "a lot"}, "mapping-failed", "#/events/0/emit/data/amount"),
        ({"at": "tomorrow"}, "mapping-failed", "#/events/0/emit/time"),
    ],
)
async def test_a_sample_of_which_nothing_can_be_made_says_why(
    door: Door, body: dict[str, Any], reason: str, pointer: str
) -> None:
    id = await created(door, document(own()))
    trial = await tried(door, id, **sample(**body))
    assert trial["events"] == []
    assert (trial["failed"]["type"], trial["failed"]["pointer"]) == (reason, pointer)


@pytest.mark.parametrize(
    ("emit", "reason", "pointer"),
    [
        ({"type": "'never_heard_of'"}, "unknown-type", "#/type"),
        ({"data": {"amount": "body.sum"}}, "invalid-data", "#/data"),
        ({"time": "'2020-01-01T00:00:00Z'"}, "wrong-time", "#/time"),
        ({"source": "'somebody-else'"}, "source-not-allowed", "#/source"),
        ({"identifiers": "body.who"}, "unknown-identifier", "#/identifiers/shoe_size"),
    ],
)
async def test_a_sample_shows_what_the_intake_would_refuse(
    door: Door, emit: dict[str, Any], reason: str, pointer: str
) -> None:
    id = await created(door, document(own(), **emit))
    (event,) = (await tried(door, id, **sample(who={"shoe_size": "42"})))["events"]
    assert event["refused"]["type"] == reason
    assert event["refused"]["pointer"].startswith(pointer)


async def test_a_sample_goes_through_any_version_and_through_what_is_not_kept_yet(door: Door) -> None:
    id = await created(door, document(own()))
    second = document(id, id="concat('second-', body.no)")
    assert (await edited(door, f"/v1/mappings/{id}", 1, second))[0] == 200
    orders: dict[str, dict[str, Any]] = {
        "latest": {},
        "first": {"version": 1},
        "draft": {"document": document(id, id="concat('draft-', body.no)")},
    }
    shown = {
        name: (await tried(door, id, **sample(), **order))["events"][0]["event"]["id"] for name, order in orders.items()
    }
    assert shown == {"latest": "second-7", "first": "o-7", "draft": "draft-7"}
    assert (await door.call("POST", f"/v1/mappings/{id}/test", sample() | {"version": 9}))[0] == 404
    assert (await door.call("POST", f"/v1/mappings/{own()}/test", sample()))[0] == 404
    status, problem = await door.call("POST", f"/v1/mappings/{id}/test", sample() | {"document": {"events": []}})
    assert (status, problem["errors"][0]["pointer"]) == (422, "#/events")


async def test_what_ships_is_shown_and_can_be_tried_by_its_name(door: Door) -> None:
    status, shipped = await door.call("GET", "/v1/mappings/shipped")
    assert status == 200
    assert {each["id"]: each["document"] for each in shipped["items"]} == shipped_documents()
    headers = {"X-Shopify-Topic": "orders/paid"}
    trial = await tried(door, "shopify", body=shopify_order(processed_at=now(-60)), headers=headers, branch="gangnam")
    (event,) = trial["events"]
    assert event["refused"] is None
    assert (event["event"]["type"], event["event"]["branch"]) == ("purchase", "gangnam")


async def test_roles_of_mappings(door: Door) -> None:
    def acting(*roles: str) -> Door:
        token = issue_token(SECRET, subject="robin", roles=list(roles))
        return replace(door, admin={"Authorization": f"Bearer {token}"})

    id = own()
    assert (await acting("viewer").call("POST", "/v1/mappings", document(id)))[0] == 403
    assert (await acting("viewer").call("POST", "/v1/mappings", {"id": "wrong"}))[0] == 403
    assert (await acting("marketer").call("POST", "/v1/mappings", document(id)))[0] == 201
    assert (await acting("operator").call("POST", f"/v1/mappings/{id}/activate"))[0] == 403
    assert (await acting("approver").call("POST", f"/v1/mappings/{id}/activate"))[0] == 200
    assert (await acting("operator").call("POST", f"/v1/mappings/{id}/pause"))[0] == 200
    assert (await acting("agent").call("GET", f"/v1/mappings/{id}"))[0] == 403
    assert (await acting("viewer").call("GET", f"/v1/mappings/{id}"))[0] == 200
    assert (await acting("viewer").call("POST", f"/v1/mappings/{id}/test", sample()))[0] == 403


async def test_an_owners_mapping_stands_before_the_one_that_ships_until_it_is_retired(door: Door) -> None:
    """And each process learns of it within moments."""
    source = own("shop")
    order = {"provider": "shopify", "source": source, "channel": "web", "secret": HOOK_SECRET}
    assert (await door.call("POST", "/v1/hook-endpoints", order))[0] == 201
    assert await _ids(door, source) == (1, [])
    await created(door, document("shopify", id="body.nothing"), active=True)
    async with another(door, {}) as second:
        for each in (door, second):
            assert await _ids(each, source) == (0, [])
        refusing = document("shopify", id="body.nothing")
        refusing["events"][0].pop("when")
        assert (await edited(door, "/v1/mappings/shopify", 1, refusing))[0] == 200
        assert (await door.call("POST", "/v1/mappings/shopify/activate"))[0] == 200
        assert await _ids(door, source) == (0, ["mapping-failed"])
        async with asyncio.timeout(5):
            while await _ids(second, source) != (0, ["mapping-failed"]):
                await asyncio.sleep(0.1)
        assert (await door.call("POST", "/v1/mappings/shopify/retire"))[0] == 200
        assert await _ids(door, source) == (1, [])
        async with asyncio.timeout(5):
            while await _ids(second, source) != (1, []):
                await asyncio.sleep(0.1)


async def _ids(door: Door, source: str) -> tuple[int, list[str]]:
    """How many events a paid order makes at this source, and why others were refused."""
    raw = json.dumps(shopify_order(id=clock.new_id().int % 10**15, processed_at=now(-60))).encode()
    signature = base64.b64encode(hmac.new(HOOK_SECRET.encode(), raw, sha256).digest()).decode()
    headers = {"X-Shopify-Topic": "orders/paid", "X-Shopify-Hmac-SHA256": signature}
    async with door.client.post(f"{door.address}/v1/hooks/shopify/{source}", data=raw, headers=headers) as answer:
        receipt = json.loads(await answer.read())
        assert answer.status == 200, receipt
    return receipt["accepted"], [each["type"] for each in receipt["rejected"]]

"""Are events joined with products and branches as they come, and do traits from outside find whom they are about?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.auth import issue_token
from libs.common.events import EventReceived, EventResolved
from services.profile.store import reference as store
from tests.profile_place import SECRET, Profile, happened, running


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


PRODUCTS = b"""code,name,category,brand,margin
tea-12,Green tea,drinks/tea/green,Dawn,0.4
mug,Mug,home/kitchen,Clay,
"""
BRANCHES = b"""{"code": "gangnam", "parent": "capital", "zone": "Asia/Seoul", "opening_hours": ["mon-sat 10:00-20:00"]}
{"code": "capital", "kind": "region", "parent": "hq"}
{"code": "hq", "kind": "head_office"}
{"code": "lost", "parent": "nowhere"}
"""
CSV, NDJSON = {"Content-Type": "text/csv"}, {"Content-Type": "application/x-ndjson"}


async def sent(profile: Profile, path: str, body: bytes, headers: dict[str, str], role: str = "marketer") -> Any:
    token = issue_token(SECRET, subject=f"the-{role}", roles=[role])
    answer = await profile.client.request(
        "POST", path, content=body, headers={"Authorization": f"Bearer {token}", **headers}
    )
    assert answer.status_code < 300, answer.text
    return answer.json()


def bought(*products: str, card: str, branch: str | None = "gangnam") -> EventReceived:
    items = [{"product": each, "quantity": 1} for each in products]
    return happened("purchase", {"amount": 5, "currency": "KRW", "items": items}, branch=branch, loyalty_card=card)


async def resolved(profile: Profile, event_id: str) -> EventResolved:
    """Waits for it: that somebody is known says nothing of their events."""
    async with asyncio.timeout(60):
        while not (found := [each for each in await profile.resolved() if each.event_id == event_id]):
            await asyncio.sleep(0.1)
    return found[0]


async def known_soon(profile: Profile) -> None:
    """Until what was written counts in the process, as it tells itself."""
    number = await store.number(profile.connection)
    line = f'dangol_profile_snapshot_number{{kind="reference"}} {float(number)}'
    async with asyncio.timeout(20):
        while line not in (await profile.client.get("/metrics")).text.splitlines():
            await asyncio.sleep(0.05)


async def test_what_is_bought_is_known_by_category_brand_and_region(profile: Profile) -> None:
    assert await sent(profile, "/v1/products", PRODUCTS, CSV) == {"lines": 2, "changed": 2, "refused": 0, "errors": []}
    assert await sent(profile, "/v1/products", PRODUCTS, CSV) == {"lines": 2, "changed": 0, "refused": 0, "errors": []}
    answer = await sent(profile, "/v1/branches", BRANCHES, NDJSON)
    assert (answer["changed"], answer["refused"], answer["errors"][0]["line"]) == (3, 1, 4)
    found = await profile.told("GET", "/v1/branches/gangnam")
    assert [each["code"] for each in found["above"]] == ["capital", "hq"]
    assert found["opening_hours"] == ["mon-sat 10:00-20:00"]
    await known_soon(profile)
    event = bought("tea-12", "mug", card="c")
    await profile.send(event)
    seen = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    told = await resolved(profile, event.id)
    assert told.region == "capital"
    assert msgspec.json.decode(told.data)["items"] == [
        {"product": "tea-12", "quantity": 1, "category": "drinks/tea/green", "brand": "Dawn", "margin": 0.4},
        {"product": "mug", "quantity": 1, "category": "home/kitchen", "brand": "Clay"},
    ]
    # What the catalogue says later changes nothing of what was, also when it is folded again.
    await profile.told("PUT", "/v1/products/tea-12", {"category": "gone/elsewhere"}, role="marketer")
    await known_soon(profile)
    report = await profile.told("POST", f"/v1/customers/{seen['customer_id']}/refold", {}, role="operator")
    again = await profile.until("loyalty_card:c", lambda c: True)
    assert (again["version"], again["purchases"]) == (seen["version"], seen["purchases"]), report
    timeline = await profile.told("GET", f"/v1/customers/{seen['customer_id']}/timeline")
    assert timeline["items"][0]["data"]["items"][0] == {"product": "tea-12", "quantity": 1}


async def test_a_view_of_a_product_is_joined_though_no_profile_keeps_it(profile: Profile) -> None:
    await sent(profile, "/v1/products", PRODUCTS, CSV)
    await known_soon(profile)
    event = happened("product_view", {"product": "tea-12"}, cookie="k")
    await profile.send(event)
    await profile.until("cookie:k", lambda c: True)
    assert msgspec.json.decode((await resolved(profile, event.id)).data)["category"] == "drinks/tea/green"


async def test_codes_that_nobody_knows_are_listed_until_they_are_written(profile: Profile) -> None:
    await profile.send(bought("new-1", "new-2", card="c"), bought("new-1", branch=None, card="d"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    await profile.until("loyalty_card:d", lambda c: c["profile"]["purchase_count"] == 1)
    products = (await profile.told("GET", "/v1/unknown-codes"))["items"]
    assert {each["code"] for each in products} == {"new-1", "new-2"}
    assert products[0]["source"] == "store-1/pos-1"
    places = (await profile.told("GET", "/v1/unknown-codes", kind="place"))["items"]
    assert [(each["code"], each["events"]) for each in places] == [("gangnam", 1)]
    await profile.told("PUT", "/v1/products/new-1", {"category": "new"}, role="operator")
    left = (await profile.told("GET", "/v1/unknown-codes"))["items"]
    assert [each["code"] for each in left] == ["new-2"]


async def test_lists_are_written_one_by_one_read_page_by_page_and_cut(profile: Profile) -> None:
    lines = b"".join(b'{"code": "p/%03d", "category": "c%d/x"}\n' % (n, n % 2) for n in range(250))
    assert (await sent(profile, "/v1/products", lines, NDJSON))["changed"] == 250
    codes, cursor = [], None
    while True:
        query = {"limit": 60, "category": "c1"} | ({"cursor": cursor} if cursor else {})
        page = await profile.told("GET", "/v1/products", **query)
        codes += [each["code"] for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert codes == [f"p/{n:03d}" for n in range(250) if n % 2]
    await profile.told("PUT", "/v1/products/p/001", {"margin": 0.25, "brand": "B"}, role="marketer")
    assert (await profile.told("GET", "/v1/products/p/001"))["margin"] == 0.25
    assert (await profile.asked("DELETE", "/v1/products/p/001", role="marketer")).status_code == 204
    assert (await profile.asked("GET", "/v1/products/p/001")).status_code == 404
    confined = await profile.asked("PUT", "/v1/products/p/002", {"brand": "B"}, role="marketer", branch="gangnam")
    assert confined.status_code == 403
    beneath = await profile.asked("PUT", "/v1/branches/x", {"kind": "region", "parent": "x"}, role="operator")
    assert (beneath.status_code, beneath.json()["errors"][0]["pointer"]) == (422, "#/parent")


async def test_somebody_is_responsible_and_rules_hear_who(profile: Profile) -> None:
    await sent(profile, "/v1/branches", BRANCHES, NDJSON)
    await profile.told("PUT", "/v1/staff/s-1", {"name": "A", "branch": "gangnam"}, role="operator")
    nowhere = await profile.asked("PUT", "/v1/staff/s-2", {"branch": "moon"}, role="operator")
    assert nowhere.status_code == 422
    await profile.send(happened("visit", loyalty_card="c"))
    customer_id = (await profile.until("loyalty_card:c", lambda c: True))["customer_id"]
    path = f"/v1/customers/{customer_id}/responsible"
    told = await profile.told("PUT", path, {"staff": "s-1", "reason": "lives there"}, role="operator")
    assert (told["responsible"][0]["staff"], told["responsible"][0]["branch"]) == ("s-1", "gangnam")
    assert (await profile.asked("PUT", path, {"staff": "s-9"}, role="operator")).status_code == 422
    await profile.told("PUT", path, {"staff": None}, role="operator")
    seen = await profile.until("loyalty_card:c", lambda c: c["profile"]["responsible_staff"] is None)
    assert [each["staff"] for each in seen["care"]["history"]] == [None, "s-1"]
    changes = [
        each.changed["responsible_staff"].now for each in await profile.resolved() if each.type == "care.assigned"
    ]
    assert changes == ["s-1", None]


async def test_traits_from_outside_find_their_people_once_and_say_how_many_they_found(profile: Profile) -> None:
    await profile.send(happened("visit", loyalty_card="c", email="a@example.com"))
    seen = await profile.until("loyalty_card:c", lambda c: True)
    until = (clock.now() + timedelta(days=90)).date().isoformat()
    path = f"/v1/enrichments?source=panel&licence=2026-17&expires_on={until}"
    body = b"email,income_band,cars\nA@Example.com,c,2\nnobody@example.com,d,1\n,e,3\n"
    headers = CSV | {"Idempotency-Key": "k1"}
    first = await sent(profile, path, body, headers)
    assert {name: first[name] for name in ("lines", "matched", "unmatched", "refused", "match_rate")} == {
        "lines": 3,
        "matched": 1,
        "unmatched": 1,
        "refused": 1,
        "match_rate": 0.5,
    }
    assert first["errors"][0]["line"] == 4 and first["traits"] == {"cars": 1, "income_band": 1}
    seen = await profile.until("loyalty_card:c", lambda c: c["profile"].get("income_band") == "c")
    assert seen["enriched"]["income_band"]["licence"] == "2026-17"
    again = await sent(profile, path, body, headers)
    assert again["enrichment_id"] == first["enrichment_id"]
    # A command that is given afterwards is applied afterwards.
    await profile.told("POST", f"/v1/customers/{seen['customer_id']}/notes", {"note": "x"}, role="agent")
    assert (await profile.told("GET", f"/v1/enrichments/{first['enrichment_id']}"))["applied"] == 1
    assert (await profile.until("loyalty_card:c", lambda c: True))["version"] == seen["version"] + 1
    assert len([each for each in await profile.resolved() if each.type == "profile.enriched"]) == 1
    await profile.connection.execute("UPDATE enrichment SET received_at = received_at - interval '36 days'")
    shown = await profile.told("GET", f"/v1/enrichments/{first['enrichment_id']}")
    assert shown["applied"] is None, "what became of commands is forgotten by then"
    late = path.replace(until, "2020-01-01")
    answer = await profile.asked("POST", late, {}, role="marketer")
    assert answer.status_code == 422


async def test_thousands_of_lines_are_one_request(profile: Profile) -> None:
    body = b"".join(b'{"code": "p%05d", "category": "a/b", "brand": "x", "margin": 0.1}\n' % n for n in range(8_000))
    assert (await sent(profile, "/v1/products", body, NDJSON))["changed"] == 8_000

"""Does a profile that is folded again from its timeline equal the live one, and is a state that went wrong found?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from libs.common import clock
from services.profile import holding
from tests.profile_place import Profile, happened, purchase, running


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def filled(profile: Profile, customers: int) -> None:
    """People with a life: purchases late and in order, consents, traits, a complaint, and two records that are one."""
    for number in range(customers):
        card: dict[str, Any] = {"loyalty_card": f"c{number}"}
        mail: dict[str, Any] = {"email": f"c{number}@example.com"}
        await profile.send(
            purchase(f"a{number}", 1000 + number, minutes_ago=9, **card),
            purchase(f"b{number}", 500, minutes_ago=99, **card),
            happened("identify", {"traits": {"first_name": "Mina", "tier": f"t{number % 3}"}}, **mail),
            happened("consent_given", {"channel": "email"}, **mail),
            happened("complaint", {"case": "k"}, **card),
            happened("refund", {"amount": 10, "currency": "KRW"}, **card),
            happened("visit", {"page": "/"}, cookie=f"k{number}"),
            happened("complaint_resolved", {"case": "k"}, at=clock.now() + timedelta(seconds=1), **card, **mail),
        )
        if number % 3 == 0:
            await profile.send(purchase(f"j{number}", 1, loyalty_card=f"c{number}", email=f"c{number}@example.com"))
    for number in range(customers):
        count = 3 if number % 3 == 0 else 2
        await profile.until(f"loyalty_card:c{number}", partial(bought, count))
    # Only what is to be compared counts; a pause lets the last events of all units be applied.
    wanted = customers * 8 + (customers + 2) // 3
    async with asyncio.timeout(20):
        while (
            await profile.connection.fetchval("SELECT count(*) FROM timeline WHERE type <> 'profile.linked'") < wanted
        ):
            await asyncio.sleep(0.05)


def bought(count: int, customer: dict[str, Any]) -> bool:
    return bool(customer["profile"]["purchase_count"] == count)


async def finished(profile: Profile, **body: Any) -> dict[str, Any]:
    job = await profile.told("POST", "/v1/refolds", body)
    async with asyncio.timeout(30):
        while (found := await profile.told("GET", f"/v1/refolds/{job['job']}"))["state"] == "running":
            await asyncio.sleep(0.05)
    assert isinstance(found, dict)
    return found


async def bodies(profile: Profile) -> dict[str, Any]:
    """The states of all records, without what is not folded from events."""
    rows = await profile.connection.fetch("SELECT customer_id, body FROM customer")
    found = {}
    for row in rows:
        held = holding.restored(bytes(row["body"]))
        held.refold_job = held.version = held.due_day = held.passed_day = 0
        held.dues, held.filed, held.portrayed = {}, (0, 0), (0, 0)
        found[str(row["customer_id"])] = held
    return found


async def test_all_profiles_folded_again_are_what_they_were(profile: Profile) -> None:
    await filled(profile, 12)
    before = await bodies(profile)
    found = await finished(profile, verify=True, note="after the upgrade")
    assert (found["done"], found["differed"]) == (found["total"], 0)
    assert found["total"] == len(before) > 20
    assert await bodies(profile) == before
    again = await finished(profile)
    assert (again["done"], again["differed"]) == (found["total"], 0)
    assert await bodies(profile) == before


async def test_a_state_that_went_wrong_is_found_mended_and_told_as_history(profile: Profile) -> None:
    await filled(profile, 2)
    customer = await profile.until("loyalty_card:c1", lambda c: True)
    customer_id = customer["customer_id"]
    before = await bodies(profile)
    row = await profile.connection.fetchval("SELECT body FROM customer WHERE customer_id = $1", customer_id)
    wrong = holding.restored(bytes(row))
    assert wrong.purchases is not None
    wrong.purchases.money["KRW"].count += 5
    await profile.connection.execute(
        "UPDATE customer SET body = $2 WHERE customer_id = $1", customer_id, holding.stored(wrong)
    )
    # The units hold what they wrote themselves; they read the database again when they are taken anew.
    await profile.restart()
    assert (await finished(profile, verify=True))["differed"] == 1
    assert (await profile.told("GET", f"/v1/customers/{customer_id}"))["profile"]["purchase_count"] == 7
    mended = await profile.told("POST", f"/v1/customers/{customer_id}/refold", role="operator")
    assert mended["profile"]["purchase_count"] == 2
    assert await bodies(profile) == before
    assert (await finished(profile, verify=True))["differed"] == 0
    resolved = [each for each in await profile.resolved() if each.type == "profile.refolded"]
    assert [(each.customer_id, each.history, each.changed["purchase_count"].now) for each in resolved] == [
        (customer_id, True, 2)
    ]
    told = await profile.told("GET", f"/v1/customers/{customer_id}/timeline", type="profile.refolded")
    assert [line["changed"]["purchase_count"] for line in told["items"]] == [{"was": 7, "now": 2}]


async def test_the_timeline_can_be_asked_for_types_channels_and_times(profile: Profile) -> None:
    now = clock.now()
    await profile.send(
        *(happened("visit", at=now - timedelta(minutes=n), channel="web", loyalty_card="t") for n in range(5)),
        *(purchase(f"p{n}", n, minutes_ago=n, loyalty_card="t") for n in range(1, 4)),
    )
    found = await profile.until("loyalty_card:t", lambda c: c["profile"]["purchase_count"] == 3)
    path = f"/v1/customers/{found['customer_id']}/timeline"
    assert len((await profile.told("GET", path))["items"]) == 8
    assert len((await profile.told("GET", path, type="visit"))["items"]) == 5
    assert len((await profile.told("GET", path, type=["visit", "purchase"], limit=200))["items"]) == 8
    assert len((await profile.told("GET", path, channel="pos"))["items"]) == 3
    since = (now - timedelta(minutes=2)).isoformat()
    assert len((await profile.told("GET", path, type="visit", since=since))["items"]) == 3
    assert len((await profile.told("GET", path, type="visit", until=since))["items"]) == 2
    first = await profile.told("GET", path, limit=5)
    second = await profile.told("GET", path, limit=5, cursor=first["next"])
    times = [line["time"] for line in first["items"] + second["items"]]
    assert len(times) == 8 and times == sorted(times, reverse=True)
    assert (await profile.asked("GET", path, since="yesterday")).status_code == 422


async def test_a_new_definition_is_told_of_everybody_when_it_is_asked_for(profile: Profile) -> None:
    """Somebody who was lost to us by the old definition is still a customer by the new one, and rules hear of it."""
    await profile.send(purchase("old", 5, minutes_ago=60 * 24 * 28, loyalty_card="late"))
    found = await profile.until("loyalty_card:late", lambda c: c["profile"]["purchase_count"] == 1)
    number = (await profile.told("GET", "/v1/definitions/lifecycle"))["number"]
    change = {"body": {"new_days": 14, "at_risk_days": 20, "lapsed_days": 25}, "note": "fresh food"}
    await profile.told("PUT", "/v1/definitions/lifecycle", change, role="marketer", headers={"If-Match": '"0"'})

    async def lapsed() -> bool:
        shown = await profile.told("GET", f"/v1/customers/{found['customer_id']}")
        return bool(shown["profile"]["lifecycle"] == "lapsed")

    async with asyncio.timeout(10):
        while not await lapsed():
            await asyncio.sleep(0.1)
    assert (await finished(profile, since=number, announce=True))["differed"] == 0
    [told] = [each for each in await profile.resolved() if each.type == "profile.refolded"]
    assert (told.customer_id, told.history) == (found["customer_id"], False)
    assert (told.changed["lifecycle"].was, told.changed["lifecycle"].now) == (found["profile"]["lifecycle"], "lapsed")

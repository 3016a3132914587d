"""Does an event without a person reach every partition once, joined with what it is about, and nobody's profile?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventReceived, EventResolved
from libs.common.topics import EVENT_IDENTIFIED, EVENT_RESOLVED, everyone_of
from services.profile.everyone import EVERYONE
from services.profile.store import reference as store
from tests.profile_place import UNITS, Profile, purchase, running

HEADERS = [("channel", b"pos"), (EVERYONE, b"1")]


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


def about(id: str, kind: str = "price_dropped", data: dict[str, Any] | None = None, **more: Any) -> EventReceived:
    raw = msgspec.Raw(msgspec.json.encode(data if data is not None else {"product": "tea-12", "price": 39000}))
    return EventReceived(id, "erp", kind, clock.now(), data=raw, **more)


async def known_soon(profile: Profile) -> None:
    """Until what was written of products and branches counts in the process, as it tells itself."""
    line = f'dangol_profile_snapshot_number{{kind="reference"}} {float(await store.number(profile.connection))}'
    async with asyncio.timeout(60):
        while line not in (await profile.client.get("/metrics")).text.splitlines():
            await asyncio.sleep(0.05)


async def spread(profile: Profile, number: int) -> list[EventResolved]:
    return [each for each in await profile.resolved(number) if each.everyone]


async def test_each_partition_has_one_copy_and_a_repeat_or_another_body_none(profile: Profile) -> None:
    first = about("p-1")
    await profile.send(first, first, headers=HEADERS)
    await profile.send(first, headers=HEADERS)
    await profile.send(msgspec.structs.replace(first, data=msgspec.Raw(b'{"product": "mug"}')), headers=HEADERS)
    await profile.send(purchase("1", loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    found = await spread(profile, UNITS + 1)
    assert sorted(each.customer_id for each in found) == sorted(everyone_of(each, UNITS) for each in range(UNITS))
    assert {each.event_id for each in found} == {"p-1"}
    records = await profile.log(EVENT_RESOLVED)
    assert {record.partition for record in records if b'"everyone":true' in record.value} == set(range(UNITS))
    assert len(await profile.log(EVENT_IDENTIFIED)) == UNITS + 1
    kept = await profile.connection.fetchval("SELECT count(*) FROM customer")
    lines = await profile.connection.fetchval("SELECT count(*) FROM timeline")
    assert (kept, lines) == (1, 1), "only the buyer has a profile and a timeline"


async def test_it_is_joined_with_the_catalogue_and_its_branch_and_names_nobody(profile: Profile) -> None:
    for path, document in (
        ("/v1/branches/capital", {"kind": "region"}),
        ("/v1/branches/gangnam", {"kind": "branch", "parent": "capital"}),
        ("/v1/products/tea-12", {"category": "drinks/tea/green", "brand": "Dawn", "margin": 0.4}),
    ):
        await profile.told("PUT", path, document, role="marketer")
    await known_soon(profile)
    await profile.send(
        about("b-1", "branch_closing", {"branch": "gangnam", "reason": "ask sora.kim@example.org, 010-1234-5678"}),
        about("r-1", "restocked", {"product": "tea-12", "phone": "02-123-4567"}),
        headers=HEADERS,
    )
    found = {each.event_id: each for each in await spread(profile, 2 * UNITS)}
    assert (found["b-1"].branch, found["b-1"].region) == ("gangnam", "capital")
    assert msgspec.json.decode(found["r-1"].data)["category"] == "drinks/tea/green"
    assert b"example.org" not in bytes(found["b-1"].data) and b"1234" not in bytes(found["b-1"].data)
    assert b"123-4567" not in bytes(found["r-1"].data)


async def test_a_code_that_nobody_knows_is_counted_once_and_history_stays_history(profile: Profile) -> None:
    await profile.send(about("u-1", data={"product": "nobody-knows"}, history=True), headers=HEADERS)
    found = await spread(profile, UNITS)
    assert {each.history for each in found} == {True}
    rows = await profile.connection.fetch("SELECT code, sum(events) AS events FROM unknown_code GROUP BY code")
    assert [tuple(each) for each in rows] == [("nobody-knows", 1)]


async def test_what_the_door_did_not_mark_has_no_person_and_goes_nowhere(profile: Profile) -> None:
    await profile.send(about("p-1"), headers=HEADERS[:1])
    await profile.send(about("v-1", "visit"))
    await profile.send(purchase("1", loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    assert [each.type for each in await profile.resolved(1)] == ["purchase"]

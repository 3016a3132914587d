"""Are segments followed on the real servers: who is in, since when, who moved, and may a document lean on them?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec
import pytest

from libs.common import clock
from libs.common.events import Change, SegmentMoved
from libs.common.topics import SEGMENT_MOVED
from tests.integration.test_rules_service import new_customer, told
from tests.log_reading import everything
from tests.rules_place import UNITS, VISITS, Place, activate, opened, running

Document = dict[str, Any]
VIP: Document = {
    "id": "vip",
    "name": "Gold, or three visits in a week",
    "who": [
        {
            "any": [
                {"field": "profile.tier", "op": "is", "value": "gold"},
                {
                    "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}},
                    "op": "at_least",
                    "value": 3,
                },
            ]
        }
    ],
}
ENTERS: Document = {
    "id": "vip-welcome",
    "name": "Becomes a regular",
    "when": {"type": "segment", "segment": "vip", "moves": "in"},
    "emit": {"trigger": "vip.welcome"},
}
SECONDS = 60.0


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def put_in_force(client: httpx2.AsyncClient, *written: Document) -> None:
    for document in written:
        created = await client.post("/v1/segments", json=document)
        assert created.status_code == 201, created.text
        activated = await client.post(f"/v1/segments/{document['id']}/activate", json={})
        assert activated.status_code == 200, activated.text


async def until(client: httpx2.AsyncClient, path: str, wanted: Callable[[Any], bool]) -> Any:
    found: Any = None
    async with asyncio.timeout(SECONDS):
        while True:
            found = (await client.get(path)).json()
            if wanted(found):
                return found
            await asyncio.sleep(0.1)


async def members(client: httpx2.AsyncClient, *people: str) -> list[Document]:
    wanted = sorted(people)
    page = await until(
        client, "/v1/segments/vip/members", lambda found: [e["person_id"] for e in found["items"]] == wanted
    )
    found: list[Document] = page["items"]
    return found


async def moves(place: Place, number: int) -> list[tuple[str, str, bool]]:
    settings = place.settings
    raw = await everything(
        settings.kafka_bootstrap,
        settings.topic_prefix,
        SEGMENT_MOVED.name,
        range(UNITS),
        number=number,
        wanted=lambda each: bool(each.value),
    )
    found = [msgspec.json.decode(each.value or b"", type=SegmentMoved) for each in raw]
    return [(each.customer_id, each.moved, each.told) for each in sorted(found, key=lambda each: each.at)]


def gold(customer: str) -> Document:
    return {"profile": {"tier": "gold"}, "changed": {"tier": Change(None, "gold")}}


async def test_whoever_becomes_a_member_is_listed_told_of_and_fires_once(place: Place) -> None:
    one, other = new_customer(), new_customer()
    async with running(place) as client:
        await put_in_force(client, VIP)
        await activate(client, ENTERS)
        await place.give(one, "identify", event_id="e1", **gold(one))
        await place.give(one, "identify", event_id="e1", **gold(one))
        for _ in range(2):
            await place.give(other, "visit", profile={})
        assert told(await place.triggers(1)) == [("vip.welcome", one)]
        [listed] = await members(client, one)
        assert listed["customer_id"] == one and listed["version"] == 1
        assert (await client.get("/v1/segments/vip")).json()["people"] == 1
        await place.give(other, "visit", profile={})
        assert told(await place.triggers(1)) == [("vip.welcome", other)]
        await place.give(one, "identify", profile={"tier": "basic"}, changed={"tier": Change("gold", "basic")})
        await members(client, other)
        await place.give(one, "identify", **gold(one))
        assert told(await place.triggers(1)) == [("vip.welcome", one)], "who comes again has another moment"
        belongs = (await client.get(f"/v1/customers/{one}/segments")).json()["items"]
        assert [each["segment_id"] for each in belongs] == ["vip"]
        stats = await until(client, "/v1/segments/vip/stats", lambda found: found["days"][-1]["entered"] == 3)
        assert stats["people"] == 2 and stats["days"][-1]["left"] == 1
    assert await moves(place, 4) == [(one, "in", True), (other, "in", True), (one, "out", True), (one, "in", True)]


async def test_an_edit_is_live_within_moments_and_moves_people_without_a_word(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await put_in_force(client, VIP)
        await activate(client, ENTERS)
        await place.give(customer, "visit", profile={"tier": "silver"})
        assert await place.triggers(0) == []
        wider = {**VIP, "who": [{"field": "profile.tier", "op": "in", "value": ["gold", "silver"]}]}
        written = await client.put("/v1/segments/vip", json=wider, headers={"If-Match": '"1"'})
        assert written.status_code == 200, written.text
        assert (await client.post("/v1/segments/vip/activate", json={})).status_code == 200
        changed = {"tier": Change("silver", "gold")}
        await place.give(customer, "identify", profile={"tier": "gold"}, changed=changed)
        [listed] = await members(client, customer)
        assert listed["version"] == 2
        assert await place.triggers(0) == [], "they were in by the new words before anything happened"
    assert await moves(place, 1) == [(customer, "in", False)]


async def test_two_records_of_a_person_are_one_member_and_part_again(place: Place) -> None:
    one, other = new_customer(0), new_customer(1)
    linked: Document = {"person_id": one, "linked": sorted([one, other])}
    async with running(place) as client:
        await put_in_force(client, VIP)
        for customer in (one, other):
            await place.give(customer, "visit", profile={})
            await place.give(customer, "visit", profile={})
        assert await place.triggers(0) == []
        for customer in (one, other):
            await place.give(customer, "profile.linked", profile={}, **linked)
        await members(client, one)
        for customer in (one, other):
            await place.give(customer, "profile.unlinked", profile={}, person_id=customer, linked=[])
        await members(client)
    assert not any(was_told for *_, was_told in await moves(place, 4)), "nothing has happened to anybody"


async def test_an_erased_customer_is_in_no_list(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await put_in_force(client, VIP)
        await place.give(customer, "identify", **gold(customer))
        await members(client, customer)
        await place.give(customer, "profile.erased", profile={})
        await members(client)
        assert (await client.get(f"/v1/customers/{customer}/segments")).json()["items"] == []


async def test_a_retired_segment_leaves_no_list_and_what_it_knew_is_not_believed_later(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await put_in_force(client, VIP)
        await place.give(customer, "identify", **gold(customer))
        await members(client, customer)
        assert (await client.post("/v1/segments/vip/retire", json={})).status_code == 200
        assert (await client.get("/v1/segments/vip")).json()["people"] is None
        # Nothing is followed meanwhile.
        await place.give(customer, "identify", profile={"tier": "basic"}, changed={"tier": Change("gold", "basic")})
        await place.triggers(0)
        await members(client)
        assert (await client.post("/v1/segments/vip/activate", json={})).status_code == 200
        await place.give(customer, "visit", profile={"tier": "basic"})
        assert await place.triggers(0) == []
        await members(client)


async def test_documents_lean_on_segments_that_are_in_force_alone(place: Place) -> None:
    async with running(place) as client:
        refused = await client.post("/v1/rules", json=ENTERS)
        assert refused.status_code in (400, 422)
        assert refused.json()["errors"][0]["pointer"] == "#/when/segment"
        assert (await client.post("/v1/segments", json=VIP)).status_code == 201
        assert (await client.post("/v1/rules", json=ENTERS)).status_code == 201
        early = await client.post("/v1/rules/vip-welcome/activate", json={})
        assert early.json()["errors"] == [
            {"pointer": "#/when/segment", "detail": "vip is not in force; activate it first"}
        ]
        assert (await client.post("/v1/segments/vip/activate", json={})).status_code == 200
        assert (await client.post("/v1/rules/vip-welcome/activate", json={})).status_code == 200
        held = await client.post("/v1/segments/vip/retire", json={})
        assert held.status_code == 409 and "the rule vip-welcome" in held.json()["detail"]
        assert (await client.post("/v1/rules/vip-welcome/retire", json={})).status_code == 200
        better = {"id": "better-vip", "name": "x", "who": [{"in_segment": "vip"}]}
        await put_in_force(client, better)
        held = await client.post("/v1/segments/vip/retire", json={})
        assert held.status_code == 409 and "the segment better-vip" in held.json()["detail"]
        circle = {**VIP, "who": [{"not": {"in_segment": "better-vip"}}]}
        refused = await client.put("/v1/segments/vip", json=circle, headers={"If-Match": '"1"'})
        assert refused.json()["errors"][0]["pointer"] == "#/who/0/not/in_segment"
        assert "circle" in refused.json()["errors"][0]["detail"]
        assert (await client.post("/v1/rules/vip-welcome/rollback", json={})).status_code in (409, 422)


async def test_a_rule_asks_who_is_in_a_segment_by_its_conditions_at_that_moment(place: Place) -> None:
    customer = new_customer()
    rule = {**VISITS, "id": "vip-visits", "who": [{"in_segment": "vip"}], "emit": {"trigger": "vip.visits"}}
    async with running(place) as client:
        await put_in_force(client, VIP)
        await activate(client, rule)
        for number in range(3):
            await place.give(customer, "visit", profile={}, event_id=f"v{number}-{clock.new_id()}")
        assert told(await place.triggers(1)) == [("vip.visits", customer)]


async def test_somebody_falls_out_at_midnight_when_nothing_happens(place: Place) -> None:
    customer = new_customer()
    leaves: Document = {
        "id": "vip-lost",
        "name": "Is a regular no more",
        "when": {"type": "segment", "segment": "vip", "moves": "out"},
        "emit": {"trigger": "vip.lost"},
    }
    async with running(place) as client:
        await put_in_force(client, VIP)
        await activate(client, leaves)
        for _ in range(3):
            await place.give(customer, "visit", profile={})
        await members(client, customer)
        await place.tell_clock(ahead_seconds=5 * 86_400)
        assert await place.triggers(0) == [], "five days later the visits are still within the week"
        await place.tell_clock(ahead_seconds=9 * 86_400)
        [fired] = await place.triggers(1)
        assert fired.trigger == "vip.lost"
        await members(client)


async def test_whom_the_past_makes_a_member_is_told_of_as_somebody_to_whom_nothing_happened(place: Place) -> None:
    before, comes_later = new_customer(0), new_customer(1)
    regulars: Document = {**VIP, "who": VIP["who"][0]["any"][1:]}
    async with running(place) as client:
        # Units have to know what there was before.
        await activate(client, VISITS)
        for customer, number in ((before, 3), (comes_later, 2)):
            for _ in range(number):
                await place.give(customer, "visit", profile={})
        assert told(await place.triggers(1)) == [("call.adviser", before)]
        await put_in_force(client, regulars)
        await activate(client, ENTERS)
        # Of `before` no event comes any more.
        await members(client, before)
        await until(client, "/v1/segments/vip/stats", lambda found: found["days"][-1]["joined"] == 1)
        await place.give(comes_later, "visit", profile={})
        found = told(await place.triggers(1))
        assert ("vip.welcome", before) not in found and ("vip.welcome", comes_later) in found
        await members(client, before, comes_later)
    assert await moves(place, 2) == [(before, "in", False), (comes_later, "in", True)]

"""Do people become one, and two again, in the real service: with evidence, for everybody, in several units at once?"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.db import Tx
from libs.common.events import EventReceived, ProfileUpdated
from libs.common.topics import PROFILE_UPDATED
from services.profile.identity import components
from services.profile.person import Definitions
from services.profile.restoring import load
from tests.profile_place import UNITS, Profile, happened, purchase, running

PHONE = "+821012345678"


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name, more={"DANGOL_PROFILE_BATCH_MAX": "25"}) as place:
        yield place


async def seen(profile: Profile, customer_id: str) -> dict[str, Any]:
    """The customer without what counts changes or tells of the merge itself."""
    shown: dict[str, Any] = await profile.told("GET", f"/v1/customers/{customer_id}")
    timeline = await profile.told("GET", f"/v1/customers/{customer_id}/timeline")
    lines = [line["id"] for line in timeline["items"] if not line["type"].startswith("profile.")]
    return {name: value for name, value in shown.items() if name != "version"} | {"timeline": lines}


async def settled(profile: Profile, *keys: str) -> None:
    """Waits until what the units keep of these people says the same of their records as the tables of identity."""
    async with asyncio.timeout(30):
        while await disagreeing(profile):
            await asyncio.sleep(0.1)
    for key in keys:
        assert await profile.customer(key) is not None


async def disagreeing(profile: Profile) -> list[str]:
    rows = await profile.connection.fetch(
        "SELECT record_id::text, person_id::text, created_at FROM record ORDER BY created_at, record_id"
    )
    people: dict[str, list[str]] = {}
    for row in rows:
        people.setdefault(row["person_id"], []).append(row["record_id"])
    states = await load(Tx(profile.connection), [row["record_id"] for row in rows], Definitions())
    found = []
    for row in rows:
        records = people[row["person_id"]]
        customer = states.known.get(row["record_id"])
        expected = (row["person_id"], records if len(records) > 1 else [])
        if customer is None or (customer.person_id, customer.linked) != expected:
            found.append(row["record_id"])
    return found


async def hold_together(profile: Profile) -> dict[str, list[str]]:
    """Persons by id with their records: what hangs together by the links that stand, called after the eldest."""
    rows = await profile.connection.fetch(
        "SELECT record_id::text, person_id::text FROM record ORDER BY created_at, record_id"
    )
    links = await profile.connection.fetch("SELECT one::text, other::text FROM link WHERE ended_at IS NULL")
    people: dict[str, list[str]] = {}
    for row in rows:
        people.setdefault(row["person_id"], []).append(row["record_id"])
    parts = components([row["record_id"] for row in rows], [tuple(link) for link in links])
    assert {frozenset(records) for records in people.values()} == {frozenset(part) for part in parts}
    assert all(person_id == records[0] for person_id, records in people.items())
    apart = await profile.connection.fetch("SELECT record_id::text, other::text FROM kept_apart")
    person_of = {record: person_id for person_id, records in people.items() for record in records}
    assert not [pair for pair in apart if person_of[pair["record_id"]] == person_of[pair["other"]]]
    accounts = await profile.connection.fetch(
        "SELECT person_id FROM identifier JOIN record USING (record_id) WHERE key LIKE 'account:%'"
        " GROUP BY person_id HAVING count(*) > 1"
    )
    assert not accounts
    return people


async def two_customers(profile: Profile) -> tuple[dict[str, Any], dict[str, Any]]:
    await profile.send(
        purchase("1", 10, loyalty_card="8801-1"),
        purchase("2", 5, phone=PHONE),
        happened("consent_given", {"channels": ["sms"]}, loyalty_card="8801-1"),
        happened("consent_withdrawn", {"channels": ["sms"]}, phone=PHONE),
    )
    card = await profile.until("loyalty_card:88011", lambda c: c["profile"].get("consent_sms") is True)
    phone = await profile.until(f"phone:{PHONE}", lambda c: c["profile"].get("consent_sms") is False)
    return await seen(profile, card["customer_id"]), await seen(profile, phone["customer_id"])


async def test_a_merge_by_an_event_is_taken_back_exactly_and_the_same_evidence_joins_them_no_more(
    profile: Profile,
) -> None:
    card, phone = await two_customers(profile)
    first, second = card["customer_id"], phone["customer_id"]
    await profile.send(purchase("3", 1, loyalty_card="8801-1", phone="010-1234-5678"))
    merged = await profile.until(f"phone:{PHONE}", lambda c: c["profile"]["purchase_count"] == 3)
    assert set(merged["records"]) == {first, second} and merged["profile"]["consent_sms"] is False
    [link] = (await profile.told("GET", f"/v1/customers/{second}/links"))["items"]
    assert (link["kind"], set(link["records"]), link["event_id"]) == ("event", {first, second}, "3")
    assert link["identifiers"] == [
        {"type": "loyalty_card", "value": "88011"},
        {"type": "phone", "value": PHONE},
    ]
    parted = await profile.told(
        "POST", f"/v1/customers/{first}/unmerge", {"records": [second], "reason": "his father's phone"}
    )
    assert parted["records"] == [first] and parted["person_id"] == first
    await settled(profile)
    now = await seen(profile, first)
    assert now["timeline"] == ["3", *card["timeline"]], "what came in between is the card's"
    assert now["profile"]["purchase_count"] == 2 and now["profile"]["consent_sms"] is True
    assert await seen(profile, second) == phone
    await profile.send(purchase("4", 1, loyalty_card="8801-1", phone=PHONE), purchase("5", 1, loyalty_card="8801-1"))
    await profile.until("loyalty_card:88011", lambda c: c["profile"]["purchase_count"] == 4)
    assert await seen(profile, second) == phone
    [link] = (await profile.told("GET", f"/v1/customers/{second}/links"))["items"]
    assert (link["ended_by"], link["ended_reason"]) == ("the-admin", "his father's phone")
    await hold_together(profile)


async def test_a_merge_by_hand_gives_one_person_and_its_taking_back_exactly_the_two_of_before(profile: Profile) -> None:
    card, phone = await two_customers(profile)
    first, second = card["customer_id"], phone["customer_id"]
    merged = await profile.told(
        "POST", f"/v1/customers/{second}/merge", {"with": first, "reason": "said so at the desk"}, role="privacy"
    )
    assert merged["profile"]["purchase_count"] == 2 and set(merged["records"]) == {first, second}
    await settled(profile)
    [link] = (await profile.told("GET", f"/v1/customers/{first}/links", role="agent"))["items"]
    assert (link["kind"], link["actor"], link["reason"]) == ("hand", "the-privacy", "said so at the desk")
    await profile.told("POST", f"/v1/customers/{first}/unmerge", {"link_id": link["link_id"]}, role="operator")
    await settled(profile)
    assert (await seen(profile, first), await seen(profile, second)) == (card, phone)
    told = {each.type: each for each in await profile.resolved() if each.customer_id == merged["person_id"]}
    assert told["profile.linked"].changed["purchase_count"].now == 2
    assert told["profile.unlinked"].changed["purchase_count"].was == 2
    silent = [each for each in await profile.resolved() if each.type == "profile.linked" and not each.changed]
    assert len(silent) == 1, "what changed is told by one record of the person"


async def test_that_two_are_one_is_news_though_it_was_long_ago_or_a_test_that_showed_it(profile: Profile) -> None:
    """Rules look at no event of history and of tests, and are to know who is one person all the same."""
    for name in ("old", "test"):
        await profile.send(purchase(f"{name}-1", loyalty_card=name), purchase(f"{name}-2", email=f"{name}@x.kr"))
        await profile.until(f"loyalty_card:{name}", lambda c: c["profile"]["purchase_count"] == 1)
        await profile.until(f"email:{name}@x.kr", lambda c: c["profile"]["purchase_count"] == 1)
    long_ago = clock.now() - timedelta(days=400)
    old = happened("visit", {"page": "o"}, at=long_ago, loyalty_card="old", email="old@x.kr")
    await profile.send(msgspec.structs.replace(old, history=True))
    test = happened("visit", {"page": "t"}, loyalty_card="test", email="test@x.kr")
    await profile.send(test, headers=[("traffic", b"test")])
    for name in ("old", "test"):
        await profile.until(f"email:{name}@x.kr", lambda c: c["profile"]["purchase_count"] == 2)
    await settled(profile)
    told = await profile.resolved()
    merges = [each for each in told if "purchase_count" in each.changed and each.type != "purchase"]
    assert [(each.type, each.history, each.traffic) for each in merges] == [("profile.linked", False, "")] * 2
    assert [(each.changed["purchase_count"].was, each.changed["purchase_count"].now) for each in merges] == [(1, 2)] * 2
    assert [(each.history, each.traffic) for each in told if each.type == "visit"] in (
        [(True, ""), (False, "test")],
        [(False, "test"), (True, "")],
    )


async def test_delivery_learns_of_a_merge_and_of_its_end_by_growing_versions(profile: Profile) -> None:
    card, phone = await two_customers(profile)
    first, second = card["customer_id"], phone["customer_id"]
    await profile.told("POST", f"/v1/customers/{first}/merge", {"with": second})
    await settled(profile)
    await profile.told("POST", f"/v1/customers/{first}/unmerge", {"records": [second]})
    await settled(profile)
    for record in (first, second):
        said = await updates_until(profile, record, lambda said: [len(each.linked) for each in said[-2:]] == [2, 0])
        assert [each.version for each in said] == sorted({each.version for each in said})
        assert said[-1].person_id == record


async def updates_until(
    profile: Profile, record: str, condition: Callable[[list[ProfileUpdated]], bool]
) -> list[ProfileUpdated]:
    """What delivery was told of a record, once the condition holds."""
    async with asyncio.timeout(20):
        while True:
            told = [msgspec.json.decode(each.value, type=ProfileUpdated) for each in await profile.log(PROFILE_UPDATED)]
            said = [each for each in told if each.customer_id == record]
            if condition(said):
                return said


async def test_what_must_stay_apart_is_refused_with_the_reason(profile: Profile) -> None:
    await profile.send(purchase("1", account="one"), purchase("2", account="two"), purchase("3", phone=PHONE))
    one = (await profile.until("account:one", lambda c: True))["customer_id"]
    two = (await profile.until("account:two", lambda c: True))["customer_id"]
    other = (await profile.until(f"phone:{PHONE}", lambda c: True))["customer_id"]
    refused = await profile.asked("POST", f"/v1/customers/{one}/merge", {"with": two})
    assert refused.status_code == 409 and "account" in refused.json()["detail"]
    unknown = await profile.asked(
        "POST", f"/v1/customers/{one}/merge", {"with": "00000000-0000-4000-8000-000000000000"}
    )
    assert unknown.status_code == 404
    for body, pointer in (
        ({"records": [other]}, "/records/0"),
        ({"records": [one]}, "/records"),
        ({}, "/records"),
    ):
        answer = await profile.asked("POST", f"/v1/customers/{one}/unmerge", body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"#{pointer}")
    assert (await profile.asked("POST", f"/v1/customers/{one}/merge", {"with": two}, role="agent")).status_code == 403
    same = await profile.asked("POST", f"/v1/customers/{one}/merge", {"with": one})
    assert same.status_code == 422
    await profile.told("POST", f"/v1/customers/{one}/merge", {"with": other})
    both = await profile.told("POST", f"/v1/customers/{other}/merge", {"with": one})
    assert set(both["records"]) == {one, other}, "to ask for it twice is as once"


async def test_a_key_that_everybody_can_read_joins_nobody(profile: Profile) -> None:
    await profile.send(happened("visit", cookie="c"), happened("visit", device="d"))
    await profile.until("cookie:c", lambda c: True)
    await profile.until("device:d", lambda c: True)
    await profile.send(happened("visit", cookie="c", device="d"), headers=[("public", b"1")])
    await profile.send(happened("visit", cookie="c"), happened("visit", device="d"))
    async with asyncio.timeout(20):
        while await profile.connection.fetchval("SELECT count(*) FROM timeline") < 5:
            await asyncio.sleep(0.05)
    assert len(await hold_together(profile)) == 2


def visit(number: int, named: Mapping[str, str]) -> EventReceived:
    return msgspec.structs.replace(happened("visit", {"n": number}), identifiers=dict(named))


async def test_units_that_meet_the_same_people_at_once_agree_with_whoever_knows_all_events(profile: Profile) -> None:
    """Hundreds of events that link a dozen people, in both units, while people are merged and parted by hand."""
    chance = random.Random(7)
    kinds = ("loyalty_card", "phone", "email", "partner:mall", "partner:air")
    events: list[EventReceived] = []
    groups: list[set[str]] = []
    for _ in range(500):
        who = chance.randrange(12)
        named = {
            kind: f"{kind[-1]}{who}x{chance.randrange(3)}" for kind in chance.sample(kinds, chance.choice((1, 2, 2)))
        }
        events.append(visit(len(events), named))
        groups.append({f"{kind}:{value}" for kind, value in named.items()})
    for start in range(0, len(events), 50):
        await profile.send(*events[start : start + 50])
    async with asyncio.timeout(90):
        while await profile.connection.fetchval("SELECT count(*) FROM timeline WHERE type = 'visit'") < len(events):
            await asyncio.sleep(0.2)
    people = await hold_together(profile)
    assert await identifiers_by_person(profile) == united(groups)
    await settled(profile)
    assert 1 < len(people) <= 36 and max(map(len, people.values())) > 2
    stored = await profile.connection.fetch("SELECT unit, count(*) FROM customer GROUP BY unit")
    assert len(stored) == UNITS


async def test_accounts_behind_one_phone_stay_apart_however_many_units_meet_them_at_once(profile: Profile) -> None:
    chance = random.Random(11)
    events = []
    for number in range(300):
        named = {"phone": f"+82101234567{chance.randrange(10)}"}
        named |= {"account": f"a{chance.randrange(12)}"} if chance.random() < 0.3 else {}
        named |= {"email": f"m{chance.randrange(8)}@x.kr"} if chance.random() < 0.5 else {}
        events.append(visit(number, named))
    orders = asyncio.create_task(_meddle(profile, random.Random(13)))
    for start in range(0, len(events), 20):
        await profile.send(*events[start : start + 20])
        await asyncio.sleep(0.05)
    done = await orders
    async with asyncio.timeout(90):
        while await profile.connection.fetchval("SELECT count(*) FROM timeline WHERE type = 'visit'") < len(events):
            await asyncio.sleep(0.2)
    await settled(profile)
    await hold_together(profile)
    assert done[200] > 3


async def _meddle(profile: Profile, chance: random.Random) -> dict[int, int]:
    """People who merge and part customers meanwhile, until a few of it was done; the answers by their status."""
    found: dict[int, int] = {}
    for attempt in range(200):
        await asyncio.sleep(0.01)
        rows = await profile.connection.fetch("SELECT record_id::text, person_id::text FROM record ORDER BY record_id")
        pairs = [
            (one["record_id"], other["record_id"])
            for one, other in permutations(rows, 2)
            if (one["person_id"] == other["person_id"]) is (attempt % 2 == 1)
        ]
        if not pairs or found.get(200, 0) > 5:
            continue
        one, other = chance.choice(pairs)
        path, body = ("unmerge", {"records": [other]}) if attempt % 2 else ("merge", {"with": other})
        answer = await profile.asked("POST", f"/v1/customers/{one}/{path}", body)
        assert answer.status_code in (200, 409, 422, 503), answer.text
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
    return found


async def identifiers_by_person(profile: Profile) -> set[frozenset[str]]:
    rows = await profile.connection.fetch(
        "SELECT array_agg(key) AS keys FROM identifier JOIN record USING (record_id) GROUP BY person_id"
    )
    return {frozenset(row["keys"]) for row in rows}


def united(groups: list[set[str]]) -> set[frozenset[str]]:
    found: list[set[str]] = []
    for each in groups:
        keys = set(each)
        for group in [group for group in found if group & keys]:
            found.remove(group)
            keys |= group
        found.append(keys)
    return {frozenset(group) for group in found}

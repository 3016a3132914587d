"""Do people who are in two become one, and are they asked about who might be two?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.profile_place import Profile, happened, running
from tests.unit.test_profile_duplicates_quality import Town, pairs_of

KIM = {
    "name": "김하늘",
    "birth_date": "1988-04-17",
    "address": "서울 마포구 양화로 45",
    "city": "서울",
    "postal_code": "04036",
    "phone": "010-7182-8182",
}


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def met(profile: Profile, card: str, traits: dict[str, Any], **more: Any) -> None:
    await profile.send(happened("identify", {"traits": traits}, loyalty_card=card, **more))


async def one_person(profile: Profile, *cards: str) -> dict[str, Any]:
    return await profile.until(f"loyalty_card:{cards[0]}", lambda c: len(c["records"]) == len(cards))


async def looked_at(profile: Profile) -> None:
    """Until nobody waits for a look, and what was applied before has been looked at."""
    async with asyncio.timeout(20):
        while await profile.connection.fetchval("SELECT count(*) FROM duplicate_look"):
            await asyncio.sleep(0.05)


async def pairs(profile: Profile, until: Callable[[list[dict[str, Any]]], bool], **query: Any) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while True:
            found = (await profile.told("GET", "/v1/duplicates", role="agent", **query))["items"]
            if until(found):
                return list(found)
            await asyncio.sleep(0.05)


async def test_a_typing_error_leaves_nobody_in_two(profile: Profile) -> None:
    await met(profile, "a", KIM)
    await met(profile, "b", {**KIM, "address": "서울 마포구 양화로 46", "phone": "010-7182-8183"})
    found = await one_person(profile, "a", "b")
    [link] = (await profile.told("GET", f"/v1/customers/{found['customer_id']}/links", role="agent"))["items"]
    assert (link["kind"], link["rule"], link["actor"]) == ("score", "probable_duplicate", "dangol/duplicates")
    assert link["score"] >= 0.99
    assert link["details"]["phone"]["level"] == "slip"
    await looked_at(profile)
    assert await pairs(profile, lambda found: True) == []


async def test_twins_are_asked_about_and_whoever_says_no_is_not_asked_again(profile: Profile) -> None:
    await met(profile, "a", {**KIM, "name": "김하늘"})
    await met(profile, "b", {**KIM, "name": "김하은"})
    [pair] = await pairs(profile, lambda found: len(found) == 1)
    assert (pair["state"], pair["guards"]) == ("open", ["given_name"])
    assert {pair["left"]["name"], pair["right"]["name"]} == {"김하늘", "김하은"}
    assert pair["left"]["phone"] == "***8182"

    seen = await profile.told("GET", f"/v1/duplicates/{pair['id']}", role="agent")
    lines = {line["field"]: line for line in seen["evidence"]}
    assert lines["phone"]["weight"] > 10
    assert lines["household"]["weight"] < 0
    assert {lines["given"]["left"], lines["given"]["right"]} == {"하늘", "하은"}

    body = {"same": False, "reason": "twin sisters, both called"}
    decided = await profile.told("POST", f"/v1/duplicates/{pair['id']}/decide", body, role="agent")
    assert (decided["state"], decided["decided_by"], decided["reason"]) == ("different", "the-agent", body["reason"])
    assert await profile.told("POST", f"/v1/duplicates/{pair['id']}/decide", body, role="agent") == decided
    answer = await profile.asked("POST", f"/v1/duplicates/{pair['id']}/decide", {"same": True}, role="agent")
    assert answer.status_code == 409

    # What they have in common is more than before, and a whole pass goes by.
    await met(profile, "b", {"email": "sky@naver.com", "name": "김하늘"})
    await met(profile, "a", {"email": "sky@naver.com"})
    assert (await passed(profile))["total"] == 2
    assert await pairs(profile, lambda found: True) == []
    for card in ("a", "b"):
        assert len((await profile.until(f"loyalty_card:{card}", lambda c: True))["records"]) == 1


async def passed(profile: Profile) -> dict[str, Any]:
    job = await profile.told("POST", "/v1/duplicates/passes", {"note": "again"}, role="operator")
    async with asyncio.timeout(30):
        while (found := await profile.told("GET", f"/v1/duplicates/passes/{job['job']}"))["state"] == "running":
            await asyncio.sleep(0.05)
    assert (found["marked"], found["waiting"]) == (found["total"], 0)
    assert found["actor"] == "the-operator"
    return dict(found)


async def test_whoever_says_yes_links_them(profile: Profile) -> None:
    await met(profile, "a", {**KIM, "name": "김하늘"})
    await met(profile, "b", {**KIM, "name": "김하날"})
    [pair] = await pairs(profile, lambda found: len(found) == 1)
    body = {"same": True, "reason": "she spells it both ways"}
    decided = await profile.told("POST", f"/v1/duplicates/{pair['id']}/decide", body, role="privacy")
    assert (decided["state"], decided["one_person"]) == ("same", True)
    found = await one_person(profile, "a", "b")
    [link] = (await profile.told("GET", f"/v1/customers/{found['customer_id']}/links", role="agent"))["items"]
    assert (link["kind"], link["actor"], link["reason"]) == ("hand", "the-privacy", body["reason"])
    assert await pairs(profile, lambda found: True) == []


async def test_whoever_is_confined_to_a_branch_decides_about_its_customers(profile: Profile) -> None:
    await met(profile, "a", {**KIM, "name": "김하늘", "home_branch": "mapo"})
    await met(profile, "b", {**KIM, "name": "김하은", "home_branch": "mapo"})
    await met(profile, "c", {"name": "Ann Hart", "phone": "+821055550001", "birth_date": "1990-01-01", "city": "Busan"})
    eve = {"name": "Eve Hart", "phone": "+821055550001", "birth_date": "1990-01-01", "city": "Busan"}
    await met(profile, "d", {**eve, "home_branch": "mapo"})
    both = await pairs(profile, lambda found: len(found) == 2)
    [mapo] = await pairs(profile, lambda found: True, branch="mapo")
    assert {mapo["left"]["branch"], mapo["right"]["branch"]} == {"mapo"}
    assert await pairs(profile, lambda found: True, branch="gangnam") == []
    [other] = [pair["id"] for pair in both if pair["id"] != mapo["id"]]
    for path, body in ((f"/v1/duplicates/{other}", None), (f"/v1/duplicates/{other}/decide", {"same": True})):
        answer = await profile.asked("POST" if body else "GET", path, body, role="agent", branch="mapo")
        assert answer.status_code == 404
    body = {"same": True}
    decided = await profile.told("POST", f"/v1/duplicates/{mapo['id']}/decide", body, role="agent", branch="mapo")
    assert decided["state"] == "same"
    first = await profile.told("GET", "/v1/duplicates", role="agent", limit=1)
    assert (len(first["items"]), first["next"]) == (1, None)
    missing = await profile.asked("GET", f"/v1/duplicates/{decided['left']['record']}", role="agent")
    assert missing.status_code == 404


async def test_who_was_linked_otherwise_or_ceased_to_be_alike_leaves_the_queue(profile: Profile) -> None:
    await met(profile, "a", {**KIM, "name": "김하늘"})
    await met(profile, "b", {**KIM, "name": "김하은"})
    await met(profile, "c", {"name": "Ann Hart", "phone": "+821055550001", "birth_date": "1990-01-01", "city": "Busan"})
    await met(profile, "d", {"name": "Eve Hart", "phone": "+821055550001", "birth_date": "1990-01-01", "city": "Busan"})
    [_, _] = await pairs(profile, lambda found: len(found) == 2)
    await profile.send(
        happened("visit", loyalty_card="a", email="x@y.kr"), happened("visit", loyalty_card="b", email="x@y.kr")
    )
    await one_person(profile, "a", "b")
    later = {"name": "Joe Bauer", "phone": "+821055550009", "birth_date": "1950-07-09", "city": "Daegu"}
    await met(profile, "d", later)
    await pairs(profile, lambda found: not found)
    await pairs(profile, lambda found: len(found) == 2, state="gone")


async def test_who_has_an_account_of_their_own_is_nobody_elses_double(profile: Profile) -> None:
    await profile.send(happened("identify", {"traits": KIM}, account="one"))
    await profile.send(happened("identify", {"traits": KIM}, account="two"))
    for account in ("one", "two"):
        await profile.until(f"account:{account}", lambda c: c["version"] > 0)
    await passed(profile)
    assert await pairs(profile, lambda found: True) == []
    assert len((await profile.until("account:one", lambda c: True))["records"]) == 1


async def test_what_comes_again_is_looked_at_no_more(profile: Profile) -> None:
    event = happened("identify", {"traits": KIM}, loyalty_card="a", phone="+821071828182")
    await profile.send(event)
    await profile.until("loyalty_card:a", lambda c: "phone" in c["contacts"])
    await looked_at(profile)
    last = await profile.connection.fetchval("SELECT last_value FROM duplicate_look_number_seq")
    before = await profile.connection.fetch("SELECT * FROM portrait")
    await profile.restart()
    again = happened("identify", {"traits": KIM}, loyalty_card="a", phone="+821071828182")
    await profile.send(event, again, happened("visit", loyalty_card="a", phone="010-7182-8182"))
    async with asyncio.timeout(20):
        while await profile.connection.fetchval("SELECT count(*) FROM timeline") < 3:
            await asyncio.sleep(0.05)
    await profile.told("POST", "/v1/refolds", {})
    async with asyncio.timeout(20):
        while (await profile.told("GET", "/v1/refolds"))["items"][0]["state"] == "running":
            await asyncio.sleep(0.05)
    assert await profile.connection.fetchval("SELECT last_value FROM duplicate_look_number_seq") == last
    assert await profile.connection.fetch("SELECT * FROM portrait") == before


async def test_a_look_that_died_is_taken_over(profile: Profile) -> None:
    await met(profile, "a", KIM)
    await profile.until("loyalty_card:a", lambda c: True)
    await looked_at(profile)
    # Somebody took it and was never heard of again.
    taken = "INSERT INTO duplicate_look (record_id, taken_until) SELECT record_id, now() + interval '1 s' FROM portrait"
    await profile.connection.execute(taken)
    await looked_at(profile)


async def test_a_link_that_takes_long_is_not_forgotten(profile: Profile) -> None:
    await met(profile, "a", KIM)
    await profile.until("loyalty_card:a", lambda c: c["version"] > 0)
    await looked_at(profile)
    async with profile.connection.transaction():
        # Somebody else is changing whose the record is, for longer than anybody waits for an order.
        await profile.connection.execute("SELECT record_id FROM record FOR UPDATE")
        await met(profile, "b", KIM)
        # It was taken for half a minute, and is given back for a few seconds.
        given_back = (
            "SELECT count(*) FROM duplicate_look"
            " WHERE taken_until > '-infinity' AND taken_until < clock_timestamp() + interval '6 s'"
        )
        async with asyncio.timeout(20):
            while not await profile.connection.fetchval(given_back):
                await asyncio.sleep(0.05)
    await one_person(profile, "a", "b")


async def test_nothing_is_kept_of_a_customer_who_is_erased(profile: Profile) -> None:
    await met(profile, "a", {**KIM, "name": "김하늘"})
    await met(profile, "b", {**KIM, "name": "김하은"})
    await pairs(profile, lambda found: len(found) == 1)
    customer = await profile.until("loyalty_card:a", lambda c: True)
    body = {"reason": "asked for it", "request_id": "r1"}
    await profile.told("POST", f"/v1/customers/{customer['customer_id']}/erase", body, role="privacy")
    tables = {"portrait": "record_id", "portrait_key": "record", "portrait_term": "record"}
    async with asyncio.timeout(30):
        while any([await rows_of(profile, table, column, customer["customer_id"]) for table, column in tables.items()]):
            await asyncio.sleep(0.05)
    assert await pairs(profile, lambda found: True) == []


async def rows_of(profile: Profile, table: str, column: str, record: str) -> int:
    return int(await profile.connection.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", record))


async def test_nobody_is_looked_for_where_the_owners_do_not_want_it(profile: Profile) -> None:
    await profile.told(
        "PUT", "/v1/definitions/duplicates", {"body": {"enabled": False}}, role="operator", headers={"If-Match": '"0"'}
    )
    await met(profile, "a", KIM)
    await met(profile, "b", KIM)
    await profile.until("loyalty_card:b", lambda c: True)
    await looked_at(profile)
    assert len((await profile.until("loyalty_card:a", lambda c: True))["records"]) == 1


async def test_a_town_finds_together_in_a_minute_or_two(profile: Profile) -> None:
    """Two thousand people, a third of them known twice: moved, misspelt, in families who share what families do."""
    town = Town(7, korean=True)
    everybody = [person for _ in range(640) for person in town.household()][:2_000]
    truth: dict[str, int] = {}
    events = []
    for whose, person in enumerate(everybody):
        for _ in range(1 + (town.random.random() < 0.3) + (town.random.random() < 0.1)):
            card = f"t{len(truth)}"
            truth[card] = whose
            events.append(happened("identify", {"traits": town.row(person)}, loyalty_card=card))
    town.random.shuffle(events)
    began = time.monotonic()
    for at in range(0, len(events), 200):
        await profile.send(*events[at : at + 200])
    async with asyncio.timeout(120):
        while await profile.connection.fetchval("SELECT count(*) FROM timeline") < len(events):
            await asyncio.sleep(0.2)
        while await profile.connection.fetchval("SELECT count(*) FROM duplicate_look"):
            await asyncio.sleep(0.2)
    seconds = time.monotonic() - began

    rows = await profile.connection.fetch(
        "SELECT substr(key, 14) AS card, person_id::text FROM identifier JOIN record USING (record_id)"
        " WHERE key LIKE 'loyalty_card:%'"
    )
    people: dict[str, list[str]] = {}
    for row in rows:
        people.setdefault(row["person_id"], []).append(row["card"])
    merged = pairs_of(people.values())
    true = pairs_of([[card for card in truth if truth[card] == whose] for whose in set(truth.values())])
    asked = await profile.connection.fetchval("SELECT count(*) FROM duplicate_pair WHERE state = 'open'")
    precision, recall = len(merged & true) / len(merged), len(merged & true) / len(true)
    print(f"{len(truth)} records in {seconds:.0f} s: precision {precision:.4f}, recall {recall:.3f}, {asked} asked")
    assert precision >= 0.99
    assert recall >= 0.7


async def test_what_is_learned_from_the_customers_counts_from_then_on(profile: Profile) -> None:
    town = Town(5, korean=True)
    people = [person for _ in range(60) for person in town.household()]
    await profile.send(
        *(
            happened("identify", {"traits": town.row(person)}, loyalty_card=f"l{at}")
            for at, person in enumerate(people)
        ),
        *(
            happened("identify", {"traits": town.row(person)}, loyalty_card=f"m{at}")
            for at, person in enumerate(people[:60])
        ),
    )
    async with asyncio.timeout(30):
        while await profile.connection.fetchval("SELECT count(*) FROM portrait") < len(people) + 50:
            await asyncio.sleep(0.05)
    job = await profile.told("POST", "/v1/duplicates/learning", {"note": "first"}, role="operator")
    async with asyncio.timeout(60):
        while (found := await profile.told("GET", f"/v1/duplicates/learning/{job['job']}"))["state"] == "running":
            await asyncio.sleep(0.05)
    assert found["version"] == 1
    assert found["pairs_compared"] > 100
    assert 0.02 < found["duplicates_per_customer"] < 0.4
    assert found["weights"]["phone"]["same"] > 8
    assert found["weights"]["phone"]["different"] < 0
    listed = await profile.told("GET", "/v1/duplicates/learning")
    assert [(each["version"], each["note"]) for each in listed["items"]] == [(1, "first")]
    await passed(profile)
    versions = await profile.connection.fetch("SELECT DISTINCT weights FROM duplicate_pair WHERE state = 'open'")
    assert {row["weights"] for row in versions} <= {1}

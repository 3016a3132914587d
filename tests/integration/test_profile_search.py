"""Does an agent find the customer who is at the telephone, and nobody of another branch?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.events import EventReceived
from tests.profile_place import Profile, happened, purchase, running

MINSU = {"name": "김민수", "birth_date": "1990-03-15", "email": "minsu.kim@naver.com", "home_branch": "gangnam"}
MARY = {"first_name": "Mary", "last_name": "O'Brien", "phone": "02-555-0199", "home_branch": "mapo"}


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def known(profile: Profile, *events: EventReceived) -> None:
    """Until these have had their effect."""
    before = await profile.connection.fetchval("SELECT count(*) FROM timeline")
    await profile.send(*events)
    async with asyncio.timeout(20):
        while await profile.connection.fetchval("SELECT count(*) FROM timeline") < before + len(events):
            await asyncio.sleep(0.05)


async def found(
    profile: Profile, query: str, *, role: str = "agent", branch: str | None = None
) -> list[dict[str, Any]]:
    answer = await profile.told("GET", "/v1/customers/search", role=role, branch=branch, q=query)
    assert answer["next"] is None
    return list(answer["items"])


async def names(profile: Profile, query: str, **how: Any) -> list[str | None]:
    return [each["name"] for each in await found(profile, query, **how)]


def minsu() -> EventReceived:
    return happened("identify", {"traits": MINSU}, loyalty_card="8801-1234-5678", phone="010-1234-5678")


def mary() -> EventReceived:
    return happened("identify", {"traits": MARY}, loyalty_card="M-77")


async def test_a_customer_is_found_by_whatever_is_remembered_of_them(profile: Profile) -> None:
    await known(profile, minsu(), mary())
    [line] = await found(profile, "김민수")
    customer = await profile.until("loyalty_card:880112345678", lambda c: True)
    assert line == {
        "customer_id": customer["person_id"],
        "name": "김민수",
        "birth_year": "1990",
        "phone": "***5678",
        "email": "m***@naver.com",
        "branch": "gangnam",
        "matched": ["name"],
    }
    by = {
        "phone": ["5678", "010-1234", "01012345678", "+82 10 1234 5678"],
        "name": ["민수", "김민", "ㄱㅁㅅ", "김 민수"],
        "email": ["minsu.k", "MINSU.KIM@naver.com", "minsu"],
        "card": ["8801", "880112", "8801-1234-5678", "345678"],
        "birth": ["1990-03-15", "900315"],
    }
    for what, queries in by.items():
        for query in queries:
            lines = await found(profile, query)
            assert [each["name"] for each in lines] == ["김민수"], query
            assert what in lines[0]["matched"], query
    for query in ("mary", "O'Brien", "obrien mary", "0199", "02-555", "M-77"):
        assert await names(profile, query) == ["Mary O'Brien"], query
    for query in ("민수 5678", "5678 김", "minsu 1990-03-15"):
        assert await names(profile, query) == ["김민수"], query
    for query in ("민수 9999", "mary 5678", "이민수"):
        assert await names(profile, query) == [], query


async def test_what_was_corrected_is_found_and_what_was_wrong_is_not(profile: Profile) -> None:
    await known(profile, minsu())
    customer = await profile.until("loyalty_card:880112345678", lambda c: True)
    body = {"traits": {"name": "김민준"}}
    await profile.told("PATCH", f"/v1/customers/{customer['customer_id']}/traits", body, role="agent")
    assert await names(profile, "민준") == ["김민준"]
    assert await names(profile, "민수") == []


async def test_a_person_with_several_records_is_one_line(profile: Profile) -> None:
    await known(profile, minsu(), happened("identify", {"traits": {"email": "second@daum.net"}}, loyalty_card="99-1"))
    await profile.send(purchase("joint", loyalty_card="99-1", phone="010-1234-5678"))
    customer = await profile.until("loyalty_card:991", lambda c: len(c["records"]) == 2)
    for query in ("second@daum", "민수 second", "5678 second"):
        [line] = await found(profile, query)
        assert (line["customer_id"], line["name"]) == (customer["person_id"], "김민수")


async def test_whoever_is_confined_to_a_branch_finds_its_customers_alone(profile: Profile) -> None:
    sora = {"traits": {"name": "김소라"}}
    bought = happened("purchase", {"amount": 1000, "currency": "KRW"}, branch="mapo", loyalty_card="S-1")
    await known(profile, minsu(), mary(), happened("identify", sora, loyalty_card="S-1"), bought)
    assert await names(profile, "김") == ["김민수", "김소라"]
    assert await names(profile, "김", branch="gangnam") == ["김민수"]
    assert await names(profile, "5678", branch="mapo") == []
    assert await names(profile, "880112345678", branch="mapo") == []
    # Where no branch was named, the home is where they bought last.
    assert await names(profile, "김", branch="mapo") == ["김소라"]
    assert await names(profile, "mary", branch="mapo") == ["Mary O'Brien"]
    # Of several records the newest word counts, and none is a way around it.
    moved = happened("identify", {"traits": {"home_branch": "mapo"}}, loyalty_card="99-1")
    await known(profile, moved, purchase("joint", loyalty_card="99-1", phone="010-1234-5678"))
    await profile.until("loyalty_card:991", lambda c: len(c["records"]) == 2)
    homes = [branch for branch in ("gangnam", "mapo") if await names(profile, "민수", branch=branch)]
    assert len(homes) == 1


async def test_a_vague_question_has_fifty_answers_and_says_that_there_are_more(profile: Profile) -> None:
    people = [
        happened("identify", {"traits": {"name": f"박{chr(0xAC00 + 28 * at)}나"}}, loyalty_card=f"p{at}")
        for at in range(60)
    ]
    await known(profile, *people)
    answer = await profile.told("GET", "/v1/customers/search", role="privacy", q="박")
    assert (len(answer["items"]), answer["complete"]) == (50, False)
    assert (await profile.told("GET", "/v1/customers/search", role="privacy", q="박가나"))["complete"] is True


@pytest.mark.parametrize("query", ["a", "12", "   ", "%", "x" * 101])
async def test_too_little_is_refused_with_what_to_do(profile: Profile, query: str) -> None:
    answer = await profile.asked("GET", "/v1/customers/search", role="agent", q=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["detail"]
    for role in ("viewer", "marketer", "approver"):
        assert (await profile.asked("GET", "/v1/customers/search", role=role, q="김민수")).status_code == 403

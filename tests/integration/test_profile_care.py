"""Does what people write about a customer hold on the real service, and do branches see whose data to put right?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from libs.common import clock
from libs.common.addresses import address_mark
from libs.common.auth import issue_token
from libs.common.events import ProfileUpdated, ResponseReceived
from libs.common.kafka import Record
from libs.common.topics import PROFILE_UPDATED, RESPONSE_RECEIVED, partition_of
from tests.profile_place import SECRET, UNITS, Profile, happened, running


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def known(profile: Profile, **identifiers: str) -> str:
    """A customer of these identifiers, by their id."""
    event = happened("identify", {"traits": {"tier": "gold"}})
    await profile.send(msgspec.structs.replace(event, identifiers=identifiers))
    [(kind, value), *_] = identifiers.items()
    found = await profile.until(f"{kind}:{value}", lambda c: c["profile"].get("tier") == "gold")
    return str(found["customer_id"])


async def delivery(profile: Profile, customer_id: str) -> ProfileUpdated:
    """What delivery was told last."""
    told = [msgspec.json.decode(each.value, type=ProfileUpdated) for each in await profile.log(PROFILE_UPDATED)]
    return max((each for each in told if each.customer_id == customer_id), key=lambda each: each.version)


async def bounce(profile: Profile, customer_id: str, address: str) -> None:
    """As notify tells it."""
    fact = ResponseReceived(
        str(clock.new_id()),
        "message.bounced",
        "m",
        "d",
        "c",
        customer_id,
        customer_id,
        "email",
        clock.now(),
        {"hard": True, "address_mark": address_mark(address)},
    )
    key = customer_id.encode()
    unit = partition_of(key, UNITS)
    await profile.publisher.publish([Record(RESPONSE_RECEIVED.name, unit, key, msgspec.json.encode(fact))])


async def asked(profile: Profile, path: str, *, of_branch: str | None = None, **query: Any) -> httpx2.Response:
    """A branch in the query and one in the token are two things."""
    token = issue_token(SECRET, subject="the-agent", roles=["agent"], branch=of_branch)
    return await profile.client.get(path, params=query, headers={"Authorization": f"Bearer {token}"})


async def until(read: Callable[[], Any], condition: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(20):
        while not condition(found := await read()):
            await asyncio.sleep(0.05)
    return found


async def test_a_restriction_set_by_the_api_reaches_delivery_and_lifting_it_as_well(profile: Profile) -> None:
    customer_id = await known(profile, account="a", phone="+821012345678")
    path = f"/v1/customers/{customer_id}/restrictions/call"
    found = await profile.told("PUT", path, {"reason": "night shifts"}, role="agent")
    assert found["suppressed"] == ["restricted:call"]
    assert (found["restrictions"][0]["channel"], found["restrictions"][0]["reason"]) == ("call", "night shifts")
    assert (await delivery(profile, customer_id)).suppressed == ["restricted:call"]
    event = max(await profile.resolved(), key=lambda each: each.received_ms)
    assert (event.type, event.changed["restricted_call"].now) == ("restriction.set", True)
    assert (await profile.asked("DELETE", path, role="agent", purpose="marketing")).status_code == 404
    found = await profile.told("DELETE", path, role="agent")
    assert found["suppressed"] == [] and (await delivery(profile, customer_id)).suppressed == []


async def test_a_new_address_clears_the_bounce_of_the_old_one(profile: Profile) -> None:
    customer_id = await known(profile, account="a", email="old@example.com")
    await bounce(profile, customer_id, "old@example.com")
    found = await profile.until("account:a", lambda c: c["suppressed"] == ["bounced:email"])
    assert found["deliverability"]["email"]["status"] == "bounced"
    await profile.send(happened("identify", {"traits": {"email": "new@example.com"}}, account="a"))
    found = await profile.until("account:a", lambda c: c["suppressed"] == [])
    assert (found["contacts"]["email"], found["profile"]["email_status"]) == ("new@example.com", "unverified")
    told = await delivery(profile, customer_id)
    assert (told.suppressed, told.contacts["email"]) == ([], "new@example.com")
    await bounce(profile, customer_id, "old@example.com")
    await profile.send(happened("visit", account="a"))

    async def seen() -> int:
        query = "SELECT count(*) FROM timeline WHERE type IN ('message.bounced', 'visit')"
        return int(await profile.connection.fetchval(query))

    await until(seen, lambda count: count == 3)
    assert (await profile.customer("account:a") or {})["suppressed"] == []
    assert not any(b"address_mark" in bytes(each.data) for each in await profile.resolved())


async def test_a_note_is_written_once_and_taken_back(profile: Profile) -> None:
    customer_id = await known(profile, account="a")
    path, again = f"/v1/customers/{customer_id}/notes", {"Idempotency-Key": "n-1"}
    body = {"note": "Prefers mornings, says her sister."}
    note = await profile.told("POST", path, body, role="agent", headers=again)
    assert (note["note"], note["author"]) == (body["note"], "the-agent")
    assert (await profile.told("POST", path, body, role="agent", headers=again))["note_id"] == note["note_id"]
    assert len((await profile.told("GET", path))["items"]) == 1
    await profile.told("POST", path, {"note": "Moved."}, role="agent")
    gone = await profile.told("DELETE", f"{path}/{note['note_id']}", role="agent")
    assert (gone["note"], gone["retracted_by"]) == (None, "the-agent")
    assert [each["note"] for each in (await profile.told("GET", path))["items"]] == ["Moved.", None]
    assert not any(b"mornings" in each.value for each in await profile.log("profile.event-resolved.v1"))
    assert (await profile.asked("DELETE", f"{path}/nothing", role="agent")).status_code == 404
    assert (await profile.asked("POST", path, {"note": ""}, role="agent")).status_code == 422
    assert (await profile.asked("POST", path, body, role="viewer")).status_code == 403


async def test_relations_are_seen_by_people_and_felt_by_rules(profile: Profile) -> None:
    customer_id = await known(profile, account="a")
    path = f"/v1/customers/{customer_id}/relations"
    body = {"role": "spouse", "other_party": {"name": "Anna"}, "since": "2019-05-01"}
    found = await profile.told("POST", path, body, role="agent")
    [relation] = found["relations"]["relations"]
    assert (relation["name"], found["profile"]["household_size"]) == ("Anna", 2)
    assert not any(b"Anna" in each.value for each in await profile.log("profile.event-resolved.v1"))
    ended = await profile.told("DELETE", f"{path}/{relation['relation']}", role="agent", until="2026-01-31")
    assert ended["relations"]["relations"][0]["until"] == "2026-01-31"
    assert ended["profile"]["has_spouse"] is False
    nobody = await profile.asked("POST", path, {"role": "spouse", "other_party": {}}, role="agent")
    assert nobody.status_code == 422


async def test_branches_see_whose_data_to_put_right(profile: Profile) -> None:
    def bought(branch: str, **identifiers: str) -> Any:
        event = happened("purchase", {"amount": 1, "currency": "KRW"}, branch=branch)
        return msgspec.structs.replace(event, identifiers=identifiers)

    old = clock.now() - timedelta(days=400)
    await profile.send(
        bought("gangnam", loyalty_card="nobody"),
        bought("gangnam", loyalty_card="bounced", email="b@example.com"),
        bought("mapo", loyalty_card="fine", email="f@example.com"),
        happened("visit", cookie="a browser"),
    )
    stale = msgspec.structs.replace(happened("purchase", at=old, branch="mapo", phone="+821099998888"), history=True)
    consent = happened("consent_given", {"channel": "email"}, loyalty_card="fine")
    await profile.send(stale, consent)
    bounced = await profile.until("loyalty_card:bounced", lambda c: True)
    await bounce(profile, bounced["customer_id"], "b@example.com")

    async def counts() -> dict[str, Any]:
        found = await profile.told("GET", "/v1/quality")
        return {each["branch"]: each for each in found["items"]}

    def settled(found: dict[str, Any]) -> bool:
        there = found.get("gangnam", {}).get("problems", {}).get("bounced_email")
        return bool(there) and found.get("mapo", {}).get("customers") == 2 and found["mapo"]["with_problems"] == 1

    found = await until(counts, settled)
    assert set(found) == {"gangnam", "mapo"}
    assert {name: n for name, n in found["gangnam"]["problems"].items() if n} == {
        "bounced_email": 1,
        "missing_contact": 1,
        "missing_consent": 2,
    }
    assert {name: n for name, n in found["mapo"]["problems"].items() if n} == {"missing_consent": 1, "stale": 1}
    path = "/v1/quality/customers"
    page = (await asked(profile, path, branch="gangnam", problem="bounced_email")).json()
    assert [each["customer_id"] for each in page["items"]] == [bounced["customer_id"]]
    first = (await asked(profile, path, branch="gangnam", limit=1)).json()
    rest = (await asked(profile, path, branch="gangnam", limit=1, cursor=first["next"])).json()
    assert {*first["items"][0]["problems"], *rest["items"][0]["problems"]} == {
        "bounced_email",
        "missing_contact",
        "missing_consent",
    }
    assert rest["next"] is None


async def test_whoever_is_of_one_branch_sees_that_one(profile: Profile) -> None:
    for branch in ("gangnam", "mapo"):
        await profile.send(happened("purchase", branch=branch, loyalty_card=branch))
        await profile.until(f"loyalty_card:{branch}", lambda c: c["profile"]["purchase_count"] == 1)
    found = await profile.told("GET", "/v1/quality", role="agent", branch="mapo")
    assert {each["branch"] for each in found["items"]} == {"mapo"}
    page = await profile.told("GET", "/v1/quality/customers", role="agent", branch="mapo")
    assert {each["branch"] for each in page["items"]} == {"mapo"}
    assert (await asked(profile, "/v1/quality", of_branch="mapo", branch="gangnam")).status_code == 403
    assert (await asked(profile, "/v1/quality", of_branch="mapo", branch="mapo")).status_code == 200
    assert (await asked(profile, "/v1/quality/customers", cursor="WyJ4Il0")).status_code == 400


async def test_a_person_has_the_problem_that_no_record_of_theirs_refutes(profile: Profile) -> None:
    await profile.send(happened("purchase", branch="mapo", loyalty_card="c"))
    card = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    await profile.send(happened("identify", {"traits": {"tier": "gold"}}, email="a@example.com"))
    await profile.until("email:a@example.com", lambda c: c["profile"].get("tier") == "gold")
    await profile.send(happened("visit", loyalty_card="c", email="a@example.com"))
    await profile.until("loyalty_card:c", lambda c: len(c["records"]) == 2)

    async def counts() -> Any:
        return (await profile.told("GET", "/v1/quality"))["items"]

    [found] = await until(counts, lambda items: len(items) == 1)
    assert (found["branch"], found["customers"], found["problems"]["missing_contact"]) == ("mapo", 1, 0)
    path = f"/v1/customers/{card['customer_id']}/addresses"
    told = await profile.told("POST", path, {"point": "email", "verdict": "wrong"}, role="agent")
    assert told["deliverability"]["email"]["status"] == "wrong"

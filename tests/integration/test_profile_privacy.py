"""Is a person really gone when they are erased, also while events of theirs come in, and left alone if they return?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import msgspec
import pytest

from libs.common import clock, kafka
from libs.common.events import ERASED, CampaignErased, EventReceived, NotifyErased, RulesErased
from libs.common.kafka import Received, Record
from libs.common.topics import (
    CAMPAIGN_ERASED,
    EVENT_IDENTIFIED,
    EVENT_RECEIVED,
    NOTIFY_ERASED,
    PROFILE_UPDATED,
    RULES_ERASED,
    dead_letters,
    partition_of,
    strongest_identifier,
)
from services.profile.privacy import erasing, sweeping
from tests.profile_place import UNITS, Profile, happened, purchase, running

CARD, PHONE, EMAIL = "canary-card-7741", "+821077417741", "canary.bird@mail.example"
NAME = "Serinus Canaria"
HELD: dict[str, Any] = {"loyalty_card": CARD, "phone": PHONE, "email": EMAIL}
T = TypeVar("T")


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as made:
        yield made


async def until(ask: Callable[[], Awaitable[T | None]], what: str, seconds: float = 60.0) -> T:
    try:
        async with asyncio.timeout(seconds):
            while True:
                if found := await ask():
                    return found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s in vain for {what}") from None


async def canary(profile: Profile) -> str:
    """Somebody with two records, a name, a consent, and a note in which they are named."""
    await profile.send(purchase("1", loyalty_card=CARD), purchase("2", phone=PHONE))
    await profile.until(f"phone:{PHONE}", lambda c: c["profile"]["purchase_count"] == 1)
    await profile.send(
        happened("identify", {"traits": {"name": NAME, "zone": "Asia/Seoul"}}, **HELD),
        happened("consent_given", {"channels": ["email"]}, **HELD),
        happened("inquiry", {"topic": "a cage", "text": f"{NAME} asks for a cage, call 010-7741-7741"}, **HELD),
    )
    found = await profile.until(f"email:{EMAIL}", lambda c: "name" in c["traits"] and len(c["records"]) == 2)
    return str(found["customer_id"])


def asked_by(request_id: str) -> dict[str, Any]:
    return {"reason": "asked by letter", "request_id": request_id}


async def erased(profile: Profile, customer_id: str, **how: Any) -> dict[str, Any]:
    body = asked_by(f"case {customer_id}") | how
    answer: dict[str, Any] = await profile.told("POST", f"/v1/customers/{customer_id}/erase", body, role="privacy")
    return answer


async def stage(profile: Profile, erasure_id: str, wanted: set[str], seconds: float = 60.0) -> dict[str, Any]:
    async def reached() -> dict[str, Any] | None:
        found: dict[str, Any] = await profile.told("GET", f"/v1/erasures/{erasure_id}", role="privacy")
        return found if found["stage"] in wanted else None

    return await until(reached, f"an erasure that is {wanted}", seconds)


async def speak_for_the_others(profile: Profile, records: list[str]) -> None:
    """As the other services do, when they have forgotten their copies."""
    told = []
    for topic, kind in ((RULES_ERASED, RulesErased), (CAMPAIGN_ERASED, CampaignErased), (NOTIFY_ERASED, NotifyErased)):
        for record in records:
            fact = kind(record, clock.now(), {"message": 2})
            key = record.encode()
            told.append(Record(topic.name, partition_of(key, UNITS), key, msgspec.json.encode(fact)))
    await profile.publisher.publish(told)


async def rows_with(connection: Any, *words: str) -> list[str]:
    """Every table and column of the database in which one of these stands, in any form that bytes can be looked at."""
    columns = await connection.fetch(
        "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
        " AND c.data_type IN ('text', 'bytea', 'jsonb', 'ARRAY', 'character varying', 'json')"
    )
    found = []
    for table, column, kind in columns:
        looked = f"encode({column}, 'escape')" if kind == "bytea" else f"{column}::text"
        for word in words:
            if await connection.fetchval(f'SELECT count(*) FROM "{table}" WHERE position($1 IN {looked}) > 0', word):
                found.append(f"{table}.{column}: {word}")
    return found


async def test_an_erased_person_is_found_nowhere_and_every_place_is_told(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = readings(monkeypatch)
    monkeypatch.setattr(erasing, "ANSWER_SECONDS", 1.0)
    customer_id = await canary(profile)
    records = (await profile.told("GET", f"/v1/customers/{customer_id}"))["records"]
    conflict = msgspec.structs.replace(purchase("1", 99, loyalty_card=CARD), data=msgspec.Raw(b'{"amount": 1}'))
    await profile.send(conflict)
    stale = EventReceived("old", "s", "visit", clock.from_ms(0), "pos", {"phone": "010-7741-7741"})
    await profile.send(stale)
    connection = profile.connection

    async def both() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM conflict")) and bool(
            await profile.log(dead_letters("profile"))
        )

    await until(both, "a conflict and a dead letter")
    assert await rows_with(connection, CARD, "77417741", EMAIL), "there is something to erase"

    begun = clock.now()
    asked = await erased(profile, customer_id)
    assert asked["state"] == "running"
    found = await stage(profile, asked["erasure_id"], {"compacted", "done"})
    assert (clock.now() - begun).total_seconds() < 60
    assert found["waits_for"] == ["campaign", "notify", "rules"] and found["waits_since"] == found["stage_at"]
    assert looked_at and max(looked_at.values()) == 1, "no message of any topic is read twice for one person"
    await said_again_while_nobody_answers(profile, asked["erasure_id"], len(records))
    await speak_for_the_others(profile, records)
    found = await stage(profile, asked["erasure_id"], {"done"})
    assert (found["waits_for"], found["waits_since"], found["trouble"]) == ([], None, None)
    again = await erased(profile, customer_id, request_id="another letter")
    assert again == found, "who asks again gets the proof"

    assert await rows_with(connection, CARD, "77417741", "7741-7741", EMAIL, NAME) == []
    for topic in (PROFILE_UPDATED, dead_letters("profile")):
        assert not [each for each in await profile.log(topic) if each.value and (b"7741" in each.value)]
    counts = {each["where"]: each["count"] for each in found["erased"]}
    assert counts["profile.identifier"] == 3 and counts["profile.record"] == counts["profile.customer"] == 2
    assert counts["profile.timeline"] >= 5 and counts["profile.conflict"] == 1
    assert counts["topic profile.dead-letter.v1"] == 1 and counts["notify.message"] == 4
    remaining = {each["where"] for each in found["remains"]}
    assert {EVENT_RECEIVED.name, EVENT_IDENTIFIED.name, "ingest.reject"} <= remaining
    answer = await profile.asked("GET", f"/v1/customers/{customer_id}")
    assert answer.status_code == 404
    assert (await profile.told("GET", "/v1/customers", phone=PHONE))["items"] == []


def readings(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int, int]]:
    """How often a sweep has been given a message, by its topic, partition and offset."""
    counted: Counter[tuple[str, int, int]] = Counter()

    async def through(*args: Any, name: str, **how: Any) -> AsyncIterator[tuple[int, Received]]:
        async for partition, message in kafka.through(*args, name=name, **how):
            counted[name, partition, message.offset] += 1
            yield partition, message

    monkeypatch.setattr(sweeping, "through", through)
    return counted


async def said_again_while_nobody_answers(profile: Profile, erasure_id: str, records: int) -> None:
    """One of the others may have failed over what it was told; it is named, and told once more."""

    async def troubled() -> str | None:
        found: dict[str, Any] = await profile.told("GET", f"/v1/erasures/{erasure_id}", role="privacy")
        return found["trouble"] and str(found["trouble"])

    assert "campaign, notify, rules" in await until(troubled, "what is waited for")

    async def again() -> bool:
        return sum(each.type == ERASED for each in await profile.resolved()) >= 2 * records

    await until(again, "the last event of each record once more")


async def test_the_history_says_what_happened_and_names_nobody(profile: Profile) -> None:
    customer_id = await canary(profile)
    await erased(profile, customer_id)

    async def last() -> list[Any]:
        return [each for each in await profile.resolved() if each.type == ERASED]

    told = await until(last, "the last event of both records")
    assert {bytes(each.profile) for each in told} == {b"{}"}
    whole = b"\n".join(msgspec.json.encode(each) for each in await profile.resolved())
    assert b"a cage" in whole and b"zone" in whole
    for word in (NAME, "Canaria", CARD, "77417741", "7741-7741", EMAIL, "canary.bird"):
        assert word.encode() not in whole


async def test_who_comes_back_is_left_alone_until_they_consent_anew(profile: Profile) -> None:
    customer_id = await canary(profile)
    asked = await erased(profile, customer_id)
    await stage(profile, asked["erasure_id"], {"deleted", "compacted"})
    back = purchase("5", phone=PHONE)
    await profile.send(back)
    found = await profile.until(f"phone:{PHONE}", lambda c: c["profile"].get("purchase_count") == 1)
    assert found["customer_id"] != customer_id
    assert found["suppressed"] == ["erased"] and found["profile"]["erased"] is True
    await profile.send(happened("consent_given", {"channels": ["sms"]}, phone=PHONE))
    found = await profile.until(f"phone:{PHONE}", lambda c: c["suppressed"] == [])
    assert "erased" not in found["profile"]
    await of_conflicts_only_the_later_is_kept(profile, back)


async def of_conflicts_only_the_later_is_kept(profile: Profile, back: EventReceived) -> None:
    """What tells of the time before the erasure comes too late to be erased, so it must not be written down."""
    first = purchase("6", minutes_ago=60, loyalty_card="somebodyelse")
    await profile.send(first, msgspec.structs.replace(first, identifiers={"phone": "010-7741-7741"}))
    await profile.send(msgspec.structs.replace(back, data=msgspec.Raw(b'{"amount": 7}')))

    async def both() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = (await profile.told("GET", "/v1/conflicts", role="operator"))["items"]
        return found if len(found) == 2 else None

    found = {each["id"]: each["event"] for each in await until(both, "two conflicts")}
    assert found["6"] is None and found["5"]["identifiers"] == {"phone": PHONE}


async def test_events_that_had_come_before_the_erasure_bring_nobody_back(profile: Profile) -> None:
    """As if they had waited in the log meanwhile: their time of arrival is what counts."""
    customer_id = await canary(profile)
    late = happened("visit", loyalty_card=CARD)
    key = strongest_identifier(late).encode()
    asked = await erased(profile, customer_id)
    await stage(profile, asked["erasure_id"], {"deleted", "compacted"})
    await profile.connection.execute("UPDATE erasure_mark SET erased_at = now() + interval '1 hour'")
    await profile.publisher.publish(
        [Record(EVENT_RECEIVED.name, partition_of(key, UNITS), key, msgspec.json.encode(late))]
    )
    await profile.send(purchase("9", loyalty_card="somebodyelse"))
    await profile.until("loyalty_card:somebodyelse", lambda c: c["profile"]["purchase_count"] == 1)

    async def read() -> bool:
        lag = [await worker_lag(profile)]
        return not any(lag)

    await until(read, "everything to be read")
    assert await profile.customer(f"loyalty_card:{CARD}") is None
    assert await rows_with(profile.connection, CARD) == []


async def worker_lag(profile: Profile) -> int:
    found = await profile.told("GET", "/v1/workers")
    return sum(count for worker in found["items"] for count in worker["unread"].values())


async def test_a_wish_that_comes_as_an_event_waits_for_somebody_to_confirm_it(profile: Profile) -> None:
    customer_id = await canary(profile)
    asked = {"request": "erasure", "of": "customer"}
    await profile.send(*(happened("privacy.request", asked, **HELD) for _ in range(2)))

    async def listed() -> Any:
        found = await profile.told("GET", "/v1/privacy-requests", role="privacy", state="open")
        return found["items"] if len(found["items"]) == 2 else None

    [wish, second] = await until(listed, "the wishes in the list")
    assert wish["kind"] == "erasure" and await profile.customer(f"phone:{PHONE}") is not None
    path = f"/v1/privacy-requests/{wish['request_id']}/confirm"
    confirmed = await profile.told("POST", path, {"note": "passport seen"}, role="privacy")
    await stage(profile, confirmed["erasure_id"], {"deleted", "compacted"})
    assert (await profile.asked("GET", f"/v1/customers/{customer_id}")).status_code == 404
    assert (await profile.asked("POST", path, {}, role="privacy")).status_code == 409
    path = f"/v1/privacy-requests/{second['request_id']}/confirm"
    again = await profile.told("POST", path, {"note": "has it in writing"}, role="privacy")
    assert (again["state"], again["erasure_id"]) == ("confirmed", confirmed["erasure_id"])
    nobody = await profile.asked("POST", f"/v1/customers/{clock.new_id()}/erase", asked_by("x"), role="privacy")
    assert nobody.status_code == 404


async def test_what_was_audited_stays(profile: Profile) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await profile.connection.execute("DELETE FROM audit")


async def audited(profile: Profile, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await profile.told("GET", "/v1/audit", role="privacy", **query))["items"]
    return found


async def test_whoever_looks_at_a_person_is_on_record_before_they_get_an_answer(profile: Profile) -> None:
    customer_id = await canary(profile)
    reason = {"X-Access-Reason": f"called from {PHONE}"}
    await profile.told("GET", f"/v1/customers/{customer_id}", role="agent", headers=reason)
    await profile.told("GET", "/v1/customers", role="viewer", email=EMAIL)
    await profile.told("GET", "/v1/customers/search", role="agent", q="Serinus")
    await profile.told("PATCH", f"/v1/customers/{customer_id}/traits", {"traits": {"tier": "gold"}}, role="agent")
    await profile.asked("GET", f"/v1/customers/{clock.new_id()}", role="agent")
    found = await audited(profile, customer_id=customer_id)
    assert [(each["actor"], each["kind"]) for each in found] == [
        ("the-agent", "change"),
        ("the-agent", "search"),
        ("the-viewer", "look-up"),
        ("the-agent", "view"),
    ]
    assert found[-1]["what"] == "GET /v1/customers/{customer_id}"
    assert found[-1]["reason"] == "called from [masked]", "a reason must not keep whom it names"
    assert {each["kind"] for each in await audited(profile, actor="the-privacy")} == {"audit"}
    assert (await profile.asked("GET", "/v1/audit", role="agent")).status_code == 403


async def test_without_a_record_of_it_nobody_gets_an_answer(profile: Profile) -> None:
    customer_id = await canary(profile)
    await profile.connection.execute("ALTER TABLE audit RENAME TO audit_away")
    answer = await profile.asked("GET", f"/v1/customers/{customer_id}")
    assert answer.status_code == 503 and NAME not in answer.text
    await profile.connection.execute("ALTER TABLE audit_away RENAME TO audit")
    assert (await profile.asked("GET", f"/v1/customers/{customer_id}")).status_code == 200


async def test_a_token_of_a_branch_sees_those_who_live_or_have_bought_there(profile: Profile) -> None:
    await profile.send(
        happened("purchase", {"amount": 1, "currency": "KRW"}, branch="gangnam", phone="+821011112222"),
        happened("purchase", {"amount": 1, "currency": "KRW"}, branch="jongno", phone="+821033334444"),
        happened("purchase", {"amount": 1, "currency": "KRW"}, branch="gangnam", phone="+821033334444"),
    )
    both = await profile.until("phone:+821033334444", lambda c: c["profile"]["purchase_count"] == 2)
    one = await profile.until("phone:+821011112222", lambda c: c["profile"]["purchase_count"] == 1)

    async def seen(customer: dict[str, Any], branch: str, path: str = "") -> int:
        url = f"/v1/customers/{customer['customer_id']}{path}"
        return (await profile.asked("GET", url, role="agent", branch=branch)).status_code

    assert [await seen(each, "gangnam") for each in (one, both)] == [200, 200]
    assert [await seen(each, "jongno") for each in (one, both)] == [404, 200]
    assert await seen(one, "jongno", "/timeline") == 404
    trait = {"traits": {"tier": "gold"}}
    path = f"/v1/customers/{one['customer_id']}/traits"
    assert (await profile.asked("PATCH", path, trait, role="agent", branch="jongno")).status_code == 404
    found = await profile.told("GET", "/v1/customers", role="agent", branch="jongno", phone="+821011112222")
    assert found["items"] == []

    async def merged(path: dict[str, Any], other: dict[str, Any], branch: str) -> int:
        url = f"/v1/customers/{path['customer_id']}/merge"
        body = {"with": other["customer_id"]}
        return (await profile.asked("POST", url, body, role="operator", branch=branch)).status_code

    assert await merged(one, both, "jongno") == 404, "the one in the path is not theirs"
    assert await merged(both, one, "jongno") == 404, "and neither is the one in the body"
    assert await merged(both, one, "gangnam") == 200


async def test_an_export_holds_all_there_is_and_says_who_has_looked(profile: Profile) -> None:
    customer_id = await canary(profile)
    await profile.send(*(happened("visit", {"page": f"p{at}"}, **HELD) for at in range(1_200)))
    await profile.until(f"email:{EMAIL}", lambda c: c["profile"].get("visit_count", 1_200) >= 1_200)

    async def whole() -> dict[str, Any] | None:
        found: dict[str, Any] = await profile.told("GET", f"/v1/customers/{customer_id}/export", role="privacy")
        return found if len(found["timeline"]) >= 1_205 else None

    found = await until(whole, "all lines in the export")
    assert found["customer"]["traits"]["name"]["value"] == NAME
    assert {each["key"] for each in found["identifiers"]} == {f"{kind}:{_plain(value)}" for kind, value in HELD.items()}
    assert len(found["links"]) >= 1 and len(found["records"]) == 2
    assert {each["channel"] for each in found["tables"]["consent_ledger"]} == {"email"}
    texts = [each["data"].get("text", "") for each in found["timeline"]]
    assert any(NAME in text for text in texts), "to the person their own words are given as they were"
    assert len({each["id"] for each in found["timeline"]}) == len(found["timeline"])
    assert any(each["kind"] == "export" for each in found["seen_by"])


def _plain(value: str) -> str:
    return value.replace("-", "") if value == CARD else value

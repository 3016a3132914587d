"""Is what customers say of consent on record once, answered in time, and known to whoever delivers?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.db import Tx
from libs.common.events import EventReceived, ProfileUpdated
from libs.common.topics import PROFILE_UPDATED
from services.profile.store import consents as store
from services.profile.store.consents import Entry
from tests.profile_place import Profile, happened, purchase, running

CARD = "loyalty_card:c"


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def known(profile: Profile, bought: EventReceived | None = None) -> str:
    """The customer id of somebody who has just bought something."""
    event = bought or purchase("known", loyalty_card="c")
    await profile.send(event)
    [(kind, value)] = event.identifiers.items()
    return str((await profile.until(f"{kind}:{value}", lambda c: c["profile"]["purchase_count"] == 1))["customer_id"])


async def ledger(profile: Profile, customer_id: str, **query: Any) -> list[dict[str, Any]]:
    path = f"/v1/customers/{customer_id}/consents/ledger"
    return list((await profile.told("GET", path, role="privacy", **query))["items"])


def today() -> date:
    """In Seoul, which has no summer time."""
    return (clock.now() + timedelta(hours=9)).date()


async def test_a_statement_is_on_record_once_however_often_it_comes(profile: Profile) -> None:
    said = happened(
        "consent_given",
        {"channels": ["sms", "email"], "wording": "join@4", "proof": "form-7", "reason": "joined"},
        at=clock.now() - timedelta(minutes=1),
        loyalty_card="c",
    )
    again = happened("consent_withdrawn", {"channel": "sms"}, loyalty_card="c")
    await profile.send(said, said)
    await profile.until(CARD, lambda c: "consent_sms" in c["profile"])
    await profile.restart()
    await profile.send(said, again, said, again)
    found = await profile.until(CARD, lambda c: c["profile"].get("consent_sms") is False)
    rows = await ledger(profile, found["customer_id"])
    assert [(row["channel"], row["purpose"], row["status"]) for row in rows] == [
        ("sms", "*", "withdrawn"),
        ("sms", "marketing", "granted"),
        ("email", "marketing", "granted"),
    ]
    assert {(row["wording"], row["wording_known"], row["proof"], row["reason"], row["source"]) for row in rows[1:]} == {
        ("join@4", False, "form-7", "joined", "store-1/pos-1")
    }
    assert rows[1]["event_id"] == said.id and rows[1]["received_at"]
    first = await profile.told("GET", f"/v1/customers/{found['customer_id']}/consents/ledger", limit=2)
    rest = await ledger(profile, found["customer_id"], limit=2, cursor=first["next"])
    assert [*first["items"], *rest] == rows


async def test_a_batch_that_is_applied_again_adds_no_row_and_counts_no_wording_twice(profile: Profile) -> None:
    now = clock.now()
    row = ("consent_given", "sms", "marketing", "granted", "join@9", "", "", now, now)
    entries = [Entry(str(clock.new_id()), "e-1", source, *row) for source in ("till", "web")]
    for taken in (entries[:1], entries, entries):
        async with profile.connection.transaction():
            await store.add_entries(Tx(profile.connection), 0, taken)
    assert await profile.connection.fetchval("SELECT count(*) FROM consent_ledger") == 2
    [used] = await store.unknown_wordings(profile.connection, "", 10)
    assert (used["wording"], used["statements"]) == ("join@9", 2)


async def test_what_nobody_understands_is_on_record_and_without_effect(profile: Profile) -> None:
    await profile.send(
        happened("consent_given", {"channel": "pigeon"}, loyalty_card="c"), purchase("1", loyalty_card="c")
    )
    found = await profile.until(CARD, lambda c: c["profile"]["purchase_count"] == 1)
    assert not [name for name in found["profile"] if name.startswith("consent_email")]
    assert [(row["channel"], row["status"]) for row in await ledger(profile, found["customer_id"])] == [
        (None, "unclear")
    ]


async def test_an_agent_states_what_a_customer_says_and_delivery_hears_of_it(profile: Profile) -> None:
    customer_id = await known(profile)
    path = f"/v1/customers/{customer_id}/consents"
    plain = await profile.told("PUT", path, {"channels": ["sms"], "granted": True}, role="agent")
    assert plain["consents"]["sms"]["granted"] is True and plain["profile"]["consent_level"] == "customer"
    night = {"channels": ["sms"], "granted": True, "purpose": "night", "wording": "night@1", "proof": "call-9"}
    await profile.told("PUT", path, night, role="agent")
    await profile.told("PUT", path, {"channels": ["email"], "granted": True, "pending": True}, role="agent")
    found = await profile.told("GET", path, role="viewer")
    shown = {(each["channel"], each["purpose"]): each for each in found["consents"]}
    assert {key: (each["status"], each["granted"]) for key, each in shown.items()} == {
        ("sms", "marketing"): ("granted", True),
        ("sms", "night"): ("granted", True),
        ("email", "marketing"): ("pending", False),
    }
    assert (shown["sms", "night"]["wording"], shown["sms", "night"]["wording_known"]) == ("night@1", False)
    assert shown["sms", "night"]["source"] == "dangol/api/the-agent"
    assert found["level"] == "customer"
    await profile.told("PUT", path, {"channels": ["sms"], "granted": False, "reason": "too many"}, role="agent")
    deliveries = [msgspec.json.decode(each.value, type=ProfileUpdated) for each in await profile.log(PROFILE_UPDATED)]
    told = [{key: each.granted for key, each in delivery.consents.items()} for delivery in deliveries]
    assert {"email": False, "sms": True, "sms:night": True} in told
    assert told[-1] == {"email": False, "sms": False, "sms:night": False}
    assert (await ledger(profile, customer_id))[0]["reason"] == "too many"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"channels": ["pigeon"], "granted": True}, "#/channels/0"),
        ({"channels": [], "granted": True}, "#/channels"),
        ({"channels": ["sms"], "granted": True, "purpose": "At night"}, "#/purpose"),
        ({"channels": ["sms"], "granted": True, "wording": "night"}, "#/wording"),
        ({"channels": ["sms"], "granted": False, "pending": True}, "#/pending"),
        ({"channels": ["sms"], "granted": True, "colour": "red"}, "#/colour"),
    ],
)
async def test_a_statement_that_says_nothing_usable_is_refused_with_its_place(
    profile: Profile, body: dict[str, Any], pointer: str
) -> None:
    answer = await profile.asked("PUT", f"/v1/customers/{clock.new_id()}/consents", body, role="agent")
    assert answer.status_code == 422
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


async def test_a_wording_is_kept_version_by_version_and_one_that_is_missing_is_listed(profile: Profile) -> None:
    await known(profile)
    await profile.send(
        *(happened("consent_given", {"channel": "sms", "wording": name}, loyalty_card="c") for name in ("join@2", "x")),
        happened("consent_given", {"channel": "email", "wording": "join@1"}, loyalty_card="c"),
    )
    await profile.until(CARD, lambda c: c["profile"].get("consent_email") is True)
    path = "/v1/consent-wordings/join"
    first = {"language": "en", "channels": ["sms", "email"], "text": "May we write to you?"}
    made = await profile.asked("PUT", path, first, role="privacy")
    assert (made.status_code, made.headers["ETag"], made.json()["reference"]) == (200, '"1"', "join@1")
    same = await profile.asked("PUT", path, first, role="privacy", headers={"If-Match": '"1"'})
    assert same.json() == made.json()
    unknown = (await profile.told("GET", "/v1/consent-wordings/unknown", role="privacy"))["items"]
    assert [(each["wording"], each["statements"]) for each in unknown] == [("join@2", 1), ("x", 1)]
    second = await profile.told("PUT", path, {**first, "text": "May we write to you again?"}, role="privacy")
    assert second["version"] == 2
    stale = await profile.asked("PUT", path, first, role="privacy", headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    unknown = (await profile.told("GET", "/v1/consent-wordings/unknown", role="privacy"))["items"]
    assert [each["wording"] for each in unknown] == ["x"]
    versions = (await profile.told("GET", f"{path}/versions"))["items"]
    assert [each["text"] for each in versions] == ["May we write to you again?", "May we write to you?"]
    assert (await profile.told("GET", f"{path}/versions/1"))["text"] == first["text"]
    assert [each["reference"] for each in (await profile.told("GET", "/v1/consent-wordings"))["items"]] == ["join@2"]
    assert (await profile.asked("GET", "/v1/consent-wordings/leave")).status_code == 404
    assert (await profile.asked("PUT", path, first, role="marketer")).status_code == 403
    assert (await profile.asked("PUT", "/v1/consent-wordings/unknown", first, role="privacy")).status_code == 422


async def duties(profile: Profile, **query: Any) -> list[tuple[str, str, str]]:
    items = (await profile.told("GET", "/v1/consent-duties", role="operator", **query))["items"]
    return [(each["customer_id"], each["duty"], each["due_on"]) for each in items]


async def test_what_is_owed_appears_and_is_done(profile: Profile) -> None:
    customer_id = await known(profile)
    path = f"/v1/customers/{customer_id}"
    await profile.told("PUT", f"{path}/consents", {"channels": ["sms", "email"], "granted": True}, role="agent")
    notice_on = (today() + timedelta(days=14)).isoformat()
    found = await profile.told("GET", path)
    assert found["profile"]["consent_notice_due_on"] == notice_on
    assert await duties(profile) == [(customer_id, "notice", notice_on)]
    assert await duties(profile, due_before=notice_on) == []
    far = (today() + timedelta(days=800)).isoformat()
    [_, (_, kind, reconfirm_on)] = await duties(profile, due_before=far)
    assert kind == "reconfirm" and reconfirm_on == found["profile"]["consent_reconfirm_due_on"]
    await profile.told("POST", f"{path}/consent-duties/notice", {"channels": ["sms"]}, role="privacy")
    assert await duties(profile) == [(customer_id, "notice", notice_on)]
    await profile.send(happened("consent_notice_sent", {"channel": "email"}, loyalty_card="c"))
    after = await profile.until(CARD, lambda c: "consent_notice_due_on" not in c["profile"])
    assert "consent_reconfirm_due_on" in after["profile"]
    assert await duties(profile) == []
    shown = (await profile.told("GET", f"{path}/consents"))["duties"]
    assert [(each["duty"], each["due_on"], bool(each["done_at"])) for each in shown] == [
        ("notice", None, True),
        ("reconfirm", reconfirm_on, False),
    ]
    await profile.told("PUT", f"{path}/consents", {"channels": ["sms", "email"], "granted": False}, role="agent")
    assert [kind for _, kind, _ in await duties(profile, due_before=far)] == ["notice"]


async def test_what_was_said_folded_again_is_the_same_and_on_record_as_often_as_before(profile: Profile) -> None:
    await profile.send(
        happened("consent_given", {"channels": ["sms", "email"], "wording": "join@1"}, loyalty_card="c"),
        happened("consent_given", {"channel": "call", "pending": True, "token": "t"}, loyalty_card="c"),
        happened("consent_confirmed", {"channel": "call", "token": "t"}, loyalty_card="c"),
        happened("consent_withdrawn", {"channel": "email"}, loyalty_card="c"),
        happened("consent_notice_sent", {"channel": "sms"}, loyalty_card="c"),
        purchase("last", loyalty_card="c"),
    )
    customer_id = (await profile.until(CARD, lambda c: c["profile"]["purchase_count"] == 1))["customer_id"]
    path = f"/v1/customers/{customer_id}/consents"
    before, said, due = await profile.told("GET", path), await ledger(profile, customer_id), await duties(profile)
    await profile.connection.execute("UPDATE consent_duty SET due_on = NULL")
    await profile.told("POST", f"/v1/customers/{customer_id}/refold", role="operator")
    assert (await profile.told("GET", path), await ledger(profile, customer_id)) == (before, said)
    assert {each["channel"]: each["status"] for each in before["consents"]} == {
        "call": "granted",
        "email": "withdrawn",
        "sms": "granted",
    }
    assert due and await duties(profile) == due


async def test_it_is_said_when_the_time_comes_to_confirm_a_consent_anew(profile: Profile) -> None:
    """Given two years ago but 29 days: the day on which it became time has passed already."""
    given = today().replace(year=today().year - 2, day=min(today().day, 28)) + timedelta(days=29)
    old = happened(
        "consent_given",
        {"channel": "sms"},
        at=datetime(given.year, given.month, given.day, 3, tzinfo=UTC),
        loyalty_card="c",
    )
    await profile.send(msgspec.structs.replace(old, history=True))
    await profile.until(CARD, lambda c: c["profile"].get("consent_sms") is True)
    async for _ in _seconds(30):
        passed = [each for each in await profile.resolved() if each.type == "profile.time_passed"]
        if passed:
            break
    assert passed[0].changed["consent_reconfirm_due"].now is True
    assert [kind for _, kind, _ in await duties(profile)] == ["reconfirm"]


async def test_whoever_sends_is_told_of_a_consent_that_was_confirmed_anew(profile: Profile) -> None:
    given = clock.now() - timedelta(days=720)
    old = happened("consent_given", {"channels": ["sms", "email"]}, at=given, loyalty_card="c")
    await profile.send(msgspec.structs.replace(old, history=True))
    found = await profile.until(CARD, lambda c: c["profile"].get("consent_sms") is True)
    path = f"/v1/customers/{found['customer_id']}/consent-duties/reconfirm"
    await profile.told("POST", path, {"channels": ["sms"]}, role="privacy")
    told = [msgspec.json.decode(each.value, type=ProfileUpdated) for each in await profile.log(PROFILE_UPDATED)]
    was, now = told[-2].consents, told[-1].consents
    assert was["sms"].renewed_at is None and now["email"] == was["email"]
    assert now["sms"].at == was["sms"].at and now["sms"].granted
    assert now["sms"].renewed_at is not None and clock.now() - now["sms"].renewed_at < timedelta(minutes=1)


async def _seconds(count: int) -> AsyncIterator[int]:
    for second in range(count):
        yield second
        await asyncio.sleep(1)


async def test_people_of_several_records_are_owed_once_and_answered_by_any(profile: Profile) -> None:
    one, two = await known(profile), await known(profile, purchase("other", phone="+821012345678"))
    await profile.send(
        happened("consent_given", {"channel": "sms"}, loyalty_card="c"),
        happened("consent_given", {"channel": "sms"}, phone="+821012345678"),
    )
    await profile.until(CARD, lambda c: "consent_sms" in c["profile"])
    await profile.until("phone:+821012345678", lambda c: "consent_sms" in c["profile"])
    assert {customer for customer, _, _ in await duties(profile)} == {one, two}
    await profile.send(purchase("x", loyalty_card="c", phone="+821012345678"))
    await profile.until(CARD, lambda c: len(c["records"]) == 2 and c["profile"]["purchase_count"] == 3)
    assert len(await duties(profile)) == 1
    await profile.told("POST", f"/v1/customers/{two}/consent-duties/notice", {}, role="privacy")
    assert await duties(profile) == []
    assert len(await ledger(profile, one)) == 2 + 5

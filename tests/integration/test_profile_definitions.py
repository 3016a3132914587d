"""Can owners change what is defined of their customers, one at a time, and do profiles follow at the next event?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventResolved, RuleTriggered
from libs.common.kafka import Record
from libs.common.topics import TRIGGERED, partition_of
from services.profile.defining import defined_at
from services.profile.person import Definitions
from tests.profile_place import UNITS, Profile, happened, purchase, running

EDITED = {"If-Match": '"0"'}
ZONE = Definitions().zone


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def seen(profile: Profile, card: str) -> dict[str, Any]:
    """The customer as the API shows them, under the definitions in force."""
    [found] = (await profile.told("GET", "/v1/customers", loyalty_card=card))["items"]
    whole: dict[str, Any] = found
    return whole


async def resolved(profile: Profile, kind: str, count: int) -> list[EventResolved]:
    async with asyncio.timeout(20):
        while True:
            found = [each for each in await profile.resolved() if each.type == kind]
            if len(found) >= count:
                return sorted(found, key=lambda each: each.time)


def ladder(name: str, least: int) -> dict[str, Any]:
    return {"ladder": [{"name": name, "spend_min": {"KRW": least}}]}


async def test_what_is_shipped_counts_until_somebody_defines_something_else(profile: Profile) -> None:
    items = (await profile.told("GET", "/v1/definitions", role="viewer"))["items"]
    listed = {each["subject"]: each["version"] for each in items}
    assert {"lifecycle", "rfm", "grades", "life_stages", "traits"} <= listed.keys()
    assert set(listed.values()) == {0}
    answer = await profile.asked("GET", "/v1/definitions/lifecycle", role="agent")
    assert answer.headers["ETag"] == '"0"'
    shipped = answer.json()
    assert (shipped["body"]["at_risk_days"], shipped["actor"]) == (90, None)
    assert shipped["schema"]["properties"]["at_risk_days"]["maximum"] == 36_500
    assert (await profile.asked("GET", "/v1/definitions/moods")).status_code == 404


async def test_a_definition_is_changed_by_who_has_read_it_and_every_version_says_who_and_why(profile: Profile) -> None:
    path, change = "/v1/definitions/lifecycle", {"body": {"at_risk_days": 60}, "note": "groceries"}
    assert (await profile.asked("PUT", path, change)).status_code == 428
    first = await profile.asked("PUT", path, change, role="marketer", headers=EDITED)
    assert (first.status_code, first.headers["ETag"]) == (200, '"1"')
    assert (await profile.asked("PUT", path, change, headers=EDITED)).status_code == 412
    await profile.told("PUT", path, {"body": {}}, headers={"If-Match": '"1"'})
    page = await profile.told("GET", f"{path}/versions", limit=1)
    older = await profile.told("GET", f"{path}/versions", cursor=page["next"])
    assert [each["version"] for each in page["items"] + older["items"]] == [2, 1]
    [oldest] = older["items"]
    assert (oldest["actor"], oldest["note"], oldest["body"]["at_risk_days"]) == ("the-marketer", "groceries", 60)
    assert clock.now() - datetime.fromisoformat(oldest["at"]) < timedelta(minutes=1)
    assert (await profile.told("GET", path))["body"]["at_risk_days"] == 90


async def test_of_two_who_change_the_same_one_is_refused_and_no_number_is_lost(profile: Profile) -> None:
    answers = await asyncio.gather(
        *(
            profile.asked("PUT", "/v1/definitions/grades", {"body": ladder("gold", least)}, headers=EDITED)
            for least in range(1, 5)
        )
    )
    assert sorted(each.status_code for each in answers) == [200, 412, 412, 412]
    assert await profile.connection.fetchval("SELECT number FROM definition_number") == 1


async def test_a_definition_that_cannot_hold_is_refused_with_its_places(profile: Profile) -> None:
    body = {"body": {"at_risk_days": 300, "at_risk_hours": 5}}
    answer = await profile.asked("PUT", "/v1/definitions/lifecycle", body, headers=EDITED)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["#/body/at_risk_hours"]
    answer = await profile.asked("PUT", "/v1/definitions/lifecycle", {"body": {"at_risk_days": 300}}, headers=EDITED)
    assert [each["pointer"] for each in answer.json()["errors"]] == ["#/body/lapsed_days"]


async def test_only_the_roles_of_a_subject_change_it(profile: Profile) -> None:
    change: dict[str, Any] = {"body": {}}
    for role, status in (("viewer", 403), ("agent", 403), ("privacy", 403), ("operator", 403), ("marketer", 200)):
        answer = await profile.asked("PUT", "/v1/definitions/rfm", change, role=role, headers=EDITED)
        assert answer.status_code == status, role


async def test_a_profile_follows_a_new_definition_at_the_next_event_and_its_unit_never_goes_back(
    profile: Profile,
) -> None:
    await profile.send(purchase("1", 5_000, loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    assert "grade" not in (await seen(profile, "c"))["profile"]
    await profile.told("PUT", "/v1/definitions/grades", {"body": ladder("regular", 5_000)}, headers=EDITED)
    await profile.send(purchase("2", 1_000, loyalty_card="c"))
    last = (await resolved(profile, "purchase", 2))[-1]
    assert msgspec.json.decode(last.profile)["grade"] == "regular"
    shown = await seen(profile, "c")
    assert (shown["profile"]["grade"], shown["grade"]["grade"]) == ("regular", "regular")
    rows = await profile.connection.fetch("SELECT progress FROM worker_unit WHERE worker = 'profile.apply'")
    assert max(msgspec.json.decode(row["progress"]).get("snapshot", 0) for row in rows) == 1
    before = await defined_at(profile.connection, ZONE, 0)
    assert (before.number, before) == (0, Definitions())
    assert (await defined_at(profile.connection, ZONE)).grades.ladder[0].name == "regular"


async def test_a_change_of_another_process_counts_within_seconds(profile: Profile) -> None:
    await profile.connection.execute(
        "WITH next AS (UPDATE definition_number SET number = number + 1 RETURNING number)"
        " INSERT INTO definition SELECT 'grades', 1, number, $1, 'somebody', now(), '' FROM next",
        msgspec.json.encode(ladder("elsewhere", 1)).decode(),
    )
    await profile.send(purchase("1", 5_000, loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    async with asyncio.timeout(10):
        while (await seen(profile, "c"))["profile"].get("grade") != "elsewhere":
            await asyncio.sleep(0.1)


async def test_what_does_not_fit_is_not_taken_and_readiness_says_so(profile: Profile) -> None:
    await profile.connection.execute(
        "WITH next AS (UPDATE definition_number SET number = number + 1 RETURNING number)"
        """ INSERT INTO definition SELECT 'lifecycle', 1, number, '{"new_days": "x"}', 'a', now(), '' FROM next"""
    )
    async with asyncio.timeout(10):
        while "definitions" not in (answer := await profile.asked("GET", "/readyz")).text:
            await asyncio.sleep(0.1)
    assert answer.status_code == 503
    await profile.send(purchase("1", 5_000, loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["lifecycle"] == "new")


async def test_somebody_who_stays_away_lapses_without_an_event_of_theirs_and_is_won_back(profile: Profile) -> None:
    old = msgspec.structs.replace(purchase("1", loyalty_card="c", minutes_ago=60 * 24 * 200), history=True)
    await profile.send(old)
    told = await resolved(profile, "profile.time_passed", 3)
    stages = [each.changed["lifecycle"].now for each in told if "lifecycle" in each.changed]
    assert stages == ["active", "at_risk", "lapsed"]
    assert all(each.history for each in told)
    await profile.send(purchase("2", loyalty_card="c"))
    last = (await resolved(profile, "purchase", 2))[-1]
    change = last.changed["lifecycle"]
    assert (change.was, change.now) == ("lapsed", "won_back")
    history = (await seen(profile, "c"))["lifecycle"]["history"]
    assert [each["stage"] for each in history] == ["new", "active", "at_risk", "lapsed", "won_back"]


async def test_a_rule_sets_the_stage_of_life_and_a_hand_corrects_it(profile: Profile) -> None:
    await profile.send(happened("identify", {"traits": {"life_stage": "single"}}, loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"].get("life_stage") == "single")
    trigger = RuleTriggered(
        str(clock.new_id()),
        "stage.married",
        "just-married",
        1,
        found["customer_id"],
        found["person_id"],
        clock.now(),
        sets={"life_stage": "married"},
        received_ms=clock.now_ms(),
    )
    key = found["customer_id"].encode()
    body = msgspec.json.encode(trigger)
    await profile.publisher.publish([Record(TRIGGERED.name, partition_of(key, UNITS), key, body, [])])
    await profile.until("loyalty_card:c", lambda c: c["profile"].get("life_stage") == "married")
    path = f"/v1/customers/{found['customer_id']}/traits"
    await profile.told("PATCH", path, {"traits": {"life_stage": "divorced"}}, role="agent")
    shown = (await seen(profile, "c"))["life_stage"]
    kinds = [(each["stage"], each["evidence"]["kind"]) for each in shown["history"]]
    assert kinds == [("single", "said"), ("married", "rule"), ("divorced", "hand")]
    assert shown["now"]["evidence"]["source"] == "dangol/api/the-agent"


def _has(name: str, value: Any, customer: dict[str, Any]) -> bool:
    return bool(customer["profile"].get(name) == value)


async def test_a_correction_says_who_made_it_and_why_and_what_cannot_be_kept_is_refused(profile: Profile) -> None:
    await profile.send(happened("identify", {"traits": {"tier": "gold"}}, loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"].get("tier") == "gold")
    path = f"/v1/customers/{found['customer_id']}/traits"
    body = {"traits": {"tier": "silver"}, "reason": "Asked at the desk by 김민아."}
    await profile.told("PATCH", path, body, role="agent")
    await profile.told("PATCH", path, {"traits": {"size": 3}}, role="agent")
    lines = (await profile.told("GET", f"/v1/customers/{found['customer_id']}/timeline", role="viewer"))["items"]
    told = [(each["type"], each["by"], each["reason"], each["data"]) for each in lines]
    assert told == [
        ("profile.changed", "the-agent", None, {"size": 3}),
        ("profile.changed", "the-agent", body["reason"], body["traits"]),
        ("identify", None, None, {"traits": {"tier": "gold"}}),
    ]
    assert lines[1]["changed"]["tier"] == {"was": "gold", "now": "silver"}
    assert not [each for each in await profile.resolved() if "desk" in msgspec.json.encode(each).decode()]
    answer = await profile.asked("PATCH", path, {"traits": {"a/b": "x" * 3_000, "tier": "vip"}}, role="agent")
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, ["#/traits/a~1b"])
    many = {f"t{number}": number for number in range(299)}
    answer = await profile.asked("PATCH", path, {"traits": many}, role="agent")
    assert (answer.status_code, "at most 300" in answer.text) == (422, True)
    answer = await profile.asked("PATCH", path, {"traits": {f"t{at}": "x" * 2_000 for at in range(40)}}, role="agent")
    assert (answer.status_code, "65,536" in answer.text) == (422, True)
    for length in (2_000, 1):
        text = "x" * length
        await profile.send(happened("identify", {"traits": {f"t{at}": text for at in range(32)}}, loyalty_card="c"))
        await profile.until("loyalty_card:c", partial(_has, "t31", text))
    answer = await profile.asked("PATCH", path, {"traits": {"grown": "x" * 1_900}}, role="agent")
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, ["#/traits/grown"])
    await profile.told("PATCH", path, {"traits": {"t1": "y" * 2_000}}, role="agent")
    assert (await seen(profile, "c"))["traits"]["tier"]["value"] == "silver"


async def test_what_is_defined_of_identity_quality_consent_and_points_counts_at_once(profile: Profile) -> None:
    rules: list[dict[str, Any]] = (await profile.told("GET", "/v1/definitions/identity"))["body"]["types"]
    strict = [{**each, "limit": 1} if each["type"] == "email" else each for each in rules]
    changes: dict[str, dict[str, Any]] = {
        "identity": {"types": strict},
        "quality": {"expected": {"tier": ["tier"]}},
        "consents": {"double_opt_in": {"email": "2020-01-01"}},
        "points": {"earn": [{"business_unit": "cafe", "amount": "100", "points": 2}]},
    }
    for subject, body in changes.items():
        answer = await profile.asked("PUT", f"/v1/definitions/{subject}", {"body": body}, role="agent", headers=EDITED)
        assert answer.status_code == 403
        await profile.told("PUT", f"/v1/definitions/{subject}", {"body": body}, headers=EDITED)
    await profile.send(
        purchase("1", 500, loyalty_card="c", email="a@mail.example"),
        happened("identify", {"traits": {"tier": "gold"}}, loyalty_card="c", email="b@mail.example"),
        happened("consent_given", {"channel": "email"}, loyalty_card="c"),
        happened("visit", {}, loyalty_card="d", email="b@mail.example"),
    )
    wanted = {"points_balance": 10, "quality_completeness": 1.0, "consent_email": False, "consent_pending": True}
    await profile.until("loyalty_card:c", lambda c: c["version"] >= 3)
    async with asyncio.timeout(20):
        while not wanted.items() <= (found := await seen(profile, "c"))["profile"].items():
            await asyncio.sleep(0.05)
    other = await profile.until("loyalty_card:d", lambda c: c["version"] > 0)
    assert found["records"] == [found["customer_id"]] != other["records"]

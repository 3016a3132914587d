"""Does a rule that comes into force learn of what was before it, on the real servers, and fire only from then on?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from libs.common import clock
from libs.common.errors import BrokerAway
from libs.common.events import Change
from libs.common.topics import partition_of
from services.rules.warming import jobs as warming_jobs
from services.rules.warming import reading
from tests.rules_place import UNITS, VISITS, Place, activate, opened, running

DAY = 86_400.0
SECONDS_MAX = 60.0
EMIT = {"emit": {"trigger": "a.b"}}
DORMANT: dict[str, Any] = {
    "id": "silent-for-long",
    "name": "Nothing bought for thirty days",
    "when": {"type": "dormancy", "no": {"event": "purchase"}, "for": "30d"},
} | EMIT
ENDING: dict[str, Any] = {
    "id": "contract-ends",
    "name": "A contract ends today",
    "when": {"type": "date", "field": "profile.contract_end"},
    "time": {"zone": "UTC"},
} | EMIT
QUOTED: dict[str, Any] = {
    "id": "quote-then-visit",
    "name": "A visit after a quote",
    "when": {"type": "sequence", "steps": [{"event": "quote"}, {"event": "visit"}], "within": "14d"},
} | EMIT
FALLEN: dict[str, Any] = {
    "id": "spends-less",
    "name": "Spends less than usual",
    "when": {
        "type": "deviation",
        "measure": {"of": "sum", "event": "purchase", "field": "event.amount", "over": {"last": "7d"}},
        "against": {"periods": 2},
        "by_percent": 50,
        "direction": "rise",
        "check": "on_event",
    },
} | EMIT


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def learned(client: httpx2.AsyncClient, place: Place, *rule_ids: str) -> None:
    """Waits until every unit has been told of the past of these rules."""
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        async with asyncio.timeout(SECONDS_MAX):
            for rule_id in rule_ids:
                while not await connection.fetchval(
                    "SELECT count(*) = 2 AND bool_and(state = 'ready') FROM warming WHERE rules @> $1::jsonb",
                    f'[{{"id": "{rule_id}"}}]',
                ):
                    await asyncio.sleep(0.05)
    finally:
        await connection.close()


def new_customer(unit: int) -> str:
    while partition_of((customer := str(clock.new_id())).encode(), UNITS) != unit:
        pass
    return customer


@asynccontextmanager
async def questions(place: Place, count: int, state: str = "asked") -> AsyncIterator[None]:
    """From when so many units have asked, whatever has become of it; or have come so far as is said."""
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        async with asyncio.timeout(SECONDS_MAX):
            wanted = "TRUE" if state == "asked" else f"state = '{state}'"
            while await connection.fetchval(f"SELECT count(DISTINCT unit) FROM warming WHERE {wanted}") < count:
                await asyncio.sleep(0.02)
        yield
    finally:
        await connection.close()


def told(found: Any) -> list[tuple[str, str]]:
    return sorted((each.rule_id, each.customer_id) for each in found)


async def given(place: Place) -> dict[str, str]:
    """A history of weeks, of one customer for each kind of rule."""
    names = ("visits", "quiet", "ends", "quoted", "habits")
    who = {name: new_customer(number % UNITS) for number, name in enumerate(names)}
    for number in (3, 2):
        await place.give(who["visits"], "visit", ago_seconds=number * 3600)
    await place.give(who["quiet"], "purchase", ago_seconds=30 * DAY - 30, data={"amount": 10})
    ends = (clock.now() + timedelta(days=1)).date().isoformat()
    await place.give(who["ends"], "signed", ago_seconds=DAY, changed={"contract_end": Change(None, ends)})
    await place.give(who["quoted"], "quote", ago_seconds=3 * DAY)
    for number in range(20, 7, -1):
        await place.give(who["habits"], "purchase", ago_seconds=number * DAY, data={"amount": 10})
    return who


async def test_rules_of_every_kind_fire_as_if_they_had_always_been_watched(place: Place) -> None:
    who = await given(place)
    async with running(place) as client:
        await activate(client, VISITS, DORMANT, ENDING, QUOTED, FALLEN)
        await learned(client, place, *(str(each["id"]) for each in (VISITS, DORMANT, ENDING, QUOTED, FALLEN)))
        assert await place.triggers(0) == [], "what lies before the activation is not fired"
        await place.give(who["visits"], "visit")
        await place.give(who["quoted"], "visit")
        await place.give(who["habits"], "purchase", data={"amount": 500})
        assert told(await place.triggers(3)) == sorted(
            [("three-visits", who["visits"]), ("quote-then-visit", who["quoted"]), ("spends-less", who["habits"])]
        )
        await place.tell_clock(ahead_seconds=2 * DAY)
        found = told(await place.triggers(2))
        assert ("silent-for-long", who["quiet"]) in found and ("contract-ends", who["ends"]) in found


async def test_what_comes_in_while_the_past_is_read_counts_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, which is slow enough for a visit to come in meanwhile."""
    monkeypatch.setattr(warming_jobs, "BESIDE_MESSAGES_MAX", 0)
    who = await given(place)
    async with running(place) as client:
        await activate(client, VISITS)
        async with questions(place, 2):
            await place.give(who["visits"], "profile.updated", profile={"consent_email": False})
        await learned(client, place, "three-visits")
        stats = (await client.get("/v1/rules/three-visits/stats")).json()["warming"]
        assert (stats["version"], stats["units_ready"], stats["units"], stats["read"]) == (1, 2, 2, 1.0)
        assert stats["since"] is not None and stats["error"] == ""
        assert await place.triggers(0) == []
        await place.give(who["visits"], "visit")
        assert told(await place.triggers(1)) == [("three-visits", who["visits"])]
        await place.give(who["visits"], "visit")
        assert await place.triggers(0) == [], "the fourth"


async def test_what_comes_due_while_the_past_is_read_fires_when_it_is_known(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming_jobs, "BESIDE_MESSAGES_MAX", 0)
    who = await given(place)
    await place.tell_clock()
    async with running(place) as client:
        await activate(client, DORMANT)
        async with questions(place, 2):
            await place.tell_clock(ahead_seconds=60)
        await learned(client, place, "silent-for-long")
        assert told(await place.triggers(1)) == [("silent-for-long", who["quiet"])]
        await place.tell_clock(ahead_seconds=120)
        assert await place.triggers(0) == [], "it is told once"


async def test_rules_that_are_read_for_together_know_whoever_came_between_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming_jobs, "RETRY_SECONDS", (0.1, 0.2))
    whole, is_there = reading.read, False

    async def unlucky(*given: Any) -> None:
        if not is_there:
            raise BrokerAway("nobody there")
        await whole(*given)

    monkeypatch.setattr(warming_jobs, "read", unlucky)
    who, later, between = await given(place), {**QUOTED, "id": "quote-then-call"}, new_customer(0)
    later["when"] = {**QUOTED["when"], "steps": [{"event": "quote"}, {"event": "call"}]}
    async with running(place) as client:
        await activate(client, QUOTED)
        async with questions(place, 2):
            await place.give(between, "quote")
            await place.give(new_customer(1), "quote")
        await asyncio.sleep(1)
        await activate(client, later)
        async with asyncio.timeout(SECONDS_MAX):
            while "dangol_rules_warming_failing_units 2.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.05)
        await asyncio.sleep(3)
        is_there = True
        await learned(client, place, "quote-then-visit", "quote-then-call")
        for customer in (between, who["quoted"]):
            await place.give(customer, "call")
        assert told(await place.triggers(2)) == sorted(
            ("quote-then-call", customer) for customer in (between, who["quoted"])
        )


async def test_a_rule_that_was_paused_or_only_edited_has_nothing_to_learn(place: Place) -> None:
    who = await given(place)
    async with running(place) as client:
        await activate(client, VISITS)
        await learned(client, place, "three-visits")
        assert (await client.post("/v1/rules/three-visits/pause")).status_code == 200
        assert (await client.post("/v1/rules/three-visits/resume")).status_code == 200
        edited = {**VISITS, "name": "Edited"}
        assert (await client.put("/v1/rules/three-visits", json=edited, headers={"If-Match": '"1"'})).status_code == 200
        assert (await client.post("/v1/rules/three-visits/activate", json={})).status_code == 200
        await place.give(who["visits"], "visit")
        [fired] = await place.triggers(1)
        assert fired.rule_version == 2
        assert (await client.get("/v1/rules/three-visits/stats")).json()["warming"] is None


async def test_what_cannot_be_read_is_said_and_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming_jobs, "RETRY_SECONDS", (0.1, 0.2))
    whole = reading.read
    attempts = []

    async def unlucky(*given: Any) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise BrokerAway("nobody there")
        await whole(*given)

    monkeypatch.setattr(warming_jobs, "read", unlucky)
    who = await given(place)
    async with running(place) as client:
        await activate(client, QUOTED)
        await learned(client, place, "quote-then-visit")
        measured = (await client.get("/metrics")).text
        assert 'dangol_rules_warmings_total{state="failed"} 2.0' in measured
        await place.give(who["quoted"], "visit")
        assert told(await place.triggers(1)) == [("quote-then-visit", who["quoted"])]


async def test_a_rule_that_is_retired_before_it_has_learned_asks_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming_jobs, "RETRY_SECONDS", (600.0, 600.0))

    async def unlucky(*given: Any) -> None:
        raise BrokerAway("nobody there")

    monkeypatch.setattr(warming_jobs, "read", unlucky)
    await given(place)
    async with running(place) as client:
        await activate(client, QUOTED)
        async with questions(place, 2):
            pass
        assert (await client.post("/v1/rules/quote-then-visit/retire")).status_code == 200
        async with questions(place, 2, "cancelled"):
            pass


async def test_states_of_another_form_are_learned_anew_from_the_log(place: Place) -> None:
    once = {**VISITS, "limits": {"repeat": "once"}}
    customer, other = new_customer(0), new_customer(1)
    async with running(place) as client:
        await activate(client, once)
        for each in (customer, other):
            await place.give(each, "visit")
            await place.give(each, "visit")
        await place.give(customer, "visit")
        assert told(await place.triggers(1)) == [("three-visits", customer)]
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    await connection.execute("UPDATE rule_form SET form = 9")
    await connection.execute("UPDATE rule_state SET form = 9, body = 'of another release'::bytea")
    await connection.execute("DELETE FROM warming")
    await connection.close()
    async with running(place) as client:
        await learned(client, place, "three-visits")
        await place.give(customer, "visit", ago_seconds=8 * DAY)
        await place.give(customer, "visit")
        await place.give(other, "visit")
        assert told(await place.triggers(1)) == [("three-visits", other)], "and who was told once is known"


async def test_a_segment_knows_its_members_from_before(place: Place) -> None:
    visits = {"of": "count", "event": "visit", "over": {"last": "30d"}}
    regulars = {"id": "regulars", "name": "Twice a month", "who": [{"measure": visits, "op": "at_least", "value": 2}]}
    who = await given(place)
    async with running(place) as client:
        # Units have to know what there was before.
        await activate(client, VISITS)
        await learned(client, place, "three-visits")
        assert (await client.post("/v1/segments", json=regulars)).status_code == 201
        assert (await client.post("/v1/segments/regulars/activate", json={})).status_code == 200
        await learned(client, place, "segment:regulars")
        connection = await asyncpg.connect(place.settings.database_url_of("rules"))
        listed = await connection.fetch(
            "SELECT customer_id FROM segment_member WHERE segment_id = 'regulars' AND inside"
        )
        await connection.close()
        assert [row["customer_id"] for row in listed] == [who["visits"]]

"""Does a unit go on with its work, and within bounds, while its rules learn of the past?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from libs.common import clock, timers
from libs.common.db import Database
from libs.common.errors import BrokerAway, StoreAway
from libs.common.timers import Timer
from libs.common.unit import UnitTx
from services.rules.engine import state
from services.rules.engine.absorbing import Way
from services.rules.engine.snapshot import compile_snapshot
from services.rules.engine.state import State
from services.rules.warming import jobs as warming_jobs
from services.rules.warming import store
from services.rules.warming.needs import Wanted
from services.rules.warming.unit import TIMER_KEY, Warming
from tests.integration.test_rules_warming import SECONDS_MAX, given, learned, new_customer, questions
from tests.rules_place import VISITS, Place, activate, opened, running

REGULARS: dict[str, Any] = {
    "id": "regulars",
    "name": "Twice a month",
    "who": [{"measure": {"of": "count", "event": "visit", "over": {"last": "30d"}}, "op": "at_least", "value": 2}],
}


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        yield connection
    finally:
        await connection.close()


async def members(place: Place) -> list[str]:
    async with connected(place) as connection:
        return [row["customer_id"] for row in await connection.fetch("SELECT customer_id FROM segment_member")]


async def test_customers_who_cost_much_are_taken_over_a_few_at_a_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seconds together: the server ends a transaction in which nothing is asked for two."""
    arrive = Way.arrive

    def slow(self: Way) -> None:
        time.sleep(0.25)
        arrive(self)

    monkeypatch.setattr(Way, "arrive", slow)
    customers = [new_customer(0) for _ in range(12)]
    for customer in customers:
        for _ in range(2):
            await place.give(customer, "visit")
    await place.give(new_customer(1), "visit")
    async with running(place) as client:
        await activate(client, VISITS)
        await learned(client, place, "three-visits")
        for customer in customers:
            await place.give(customer, "visit")
        assert sorted(each.customer_id for each in await place.triggers(12)) == sorted(customers)


async def test_somebody_of_whom_much_was_heard_is_led_through_in_one_go(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = Way.hear

    def slow(self: Way, heard: Any) -> None:
        time.sleep(0.25)
        hear(self, heard)

    monkeypatch.setattr(Way, "hear", slow)
    monkeypatch.setattr("services.rules.warming.unit.HEARD_AT_ONCE", 10)
    monkeypatch.setattr("services.rules.warming.unit._HEARD_IN_A_BREATH", 3)
    monkeypatch.setattr(warming_jobs, "BESIDE_MESSAGES_MAX", 0)
    who = await given(place)
    async with running(place) as client:
        await activate(client, VISITS)
        async with questions(place, 2):
            for _ in range(30):
                await place.give(who["visits"], "profile.updated", profile={"consent_email": False})
        await learned(client, place, "three-visits")
        await place.give(who["visits"], "visit")
        assert [each.customer_id for each in await place.triggers(1)] == [who["visits"]]


async def test_a_reading_that_fails_for_ever_lets_nothing_pile_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming_jobs, "RETRY_SECONDS", (0.1, 0.2))

    async def unlucky(*given: Any) -> None:
        raise BrokerAway("nobody there")

    monkeypatch.setattr(warming_jobs, "read", unlucky)
    who = await given(place)
    async with running(place) as client:
        await activate(client, VISITS)
        async with questions(place, 2), connected(place) as connection:
            began = dict(await connection.fetch("SELECT unit, position FROM warming"))
            for customer in who.values():
                await place.give(customer, "visit")
            async with asyncio.timeout(SECONDS_MAX):
                while not await connection.fetchval(
                    "SELECT bool_and(position > o.began) AND NOT EXISTS (SELECT FROM warming_event) FROM warming w"
                    " JOIN unnest($1::integer[], $2::bigint[]) AS o (unit, began) ON o.unit = w.unit",
                    list(began),
                    list(began.values()),
                ):
                    await asyncio.sleep(0.05)


async def test_what_is_due_fires_before_anything_is_taken_over(place: Place) -> None:
    database = Database(place.settings.database_url_of("rules"), application="test")
    await database.start()
    now, customer = clock.now(), new_customer(0)
    warming, live = Warming("UTC", 2.0), compile_snapshot([], "UTC")
    try:
        async with database.transaction() as plain:
            tx = UnitTx(plain.connection, worker="w", unit=0, cache={}, clock=now, now=now, snapshot=0)
            await store.ask(tx, 0, [Wanted("some-rule", 1)], 5, now)
            await tx.execute("UPDATE warming SET state = 'read'")
            await tx.copy("warmed", ("unit", "customer_id", "body"), [(0, customer, state.encode(State(customer)))])
            await tx.set_timers([Timer("of-a-rule", now - timedelta(seconds=3))])
            assert await warming.take(tx, live) is None
            assert [each.key for each in await timers.pop(tx, "w", 0, now, now, 9)] == ["of-a-rule", TIMER_KEY]
            taken = await warming.take(tx, live)
            assert taken is not None and list(taken.states) == [customer]
    finally:
        await database.stop()


async def test_a_segment_is_asked_about_although_a_transaction_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await given(place)
    follow, failed = Warming.follow, set[int]()

    async def flaky(self: Warming, tx: UnitTx, *given: Any) -> None:
        await follow(self, tx, *given)
        if "regulars" in given[-1].segments and tx.unit not in failed:
            failed.add(tx.unit)
            raise StoreAway("lost for a moment")

    monkeypatch.setattr(Warming, "follow", flaky)
    async with running(place) as client:
        await activate(client, VISITS)
        await learned(client, place, "three-visits")
        assert (await client.post("/v1/segments", json=REGULARS)).status_code == 201
        assert (await client.post("/v1/segments/regulars/activate", json={})).status_code == 200
        await learned(client, place, "segment:regulars")
        assert len(failed) == 2
        assert await members(place) == [who["visits"]]


async def test_members_by_states_of_another_form_are_found_again_and_may_leave(place: Place) -> None:
    """One by the log, and one of whom the log knows nothing that would make them a member."""
    who = await given(place)
    await place.give(who["quoted"], "visit")
    async with running(place) as client:
        assert (await client.post("/v1/segments", json=REGULARS)).status_code == 201
        assert (await client.post("/v1/segments/regulars/activate", json={})).status_code == 200
        await learned(client, place, "segment:regulars")
    async with connected(place) as connection:
        await connection.execute("UPDATE rule_form SET form = 9")
        await connection.execute("UPDATE rule_state SET form = 9, body = 'of another release'::bytea")
        await connection.execute("DELETE FROM warming")
        await connection.execute(
            "INSERT INTO segment_member (unit, segment_id, customer_id, person_id, inside, since, judged_ms, version)"
            " SELECT unit, 'regulars', customer_id, customer_id, true, now(), 1, 1"
            " FROM rule_state WHERE customer_id = $1",
            who["quoted"],
        )
        if not await connection.fetchval("SELECT count(*) FROM segment_member WHERE customer_id = $1", who["quoted"]):
            pytest.fail("nothing was remembered of them")
    async with running(place) as client:
        await learned(client, place, "segment:regulars")
        assert await members(place) == [who["visits"]]

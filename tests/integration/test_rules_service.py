"""Does the rules service turn events into triggers on the real servers, through restarts, edits and linked records?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from libs.common import clock
from libs.common.events import RuleTriggered
from libs.common.topics import partition_of
from tests.rules_place import BASKET, UNITS, VISITS, Place, activate, opened, running


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


def new_customer(unit: int | None = None) -> str:
    while True:
        customer = str(clock.new_id())
        if unit is None or partition_of(customer.encode(), UNITS) == unit:
            return customer


def told(triggers: Sequence[RuleTriggered]) -> list[tuple[str, str]]:
    return sorted((trigger.trigger, trigger.customer_id) for trigger in triggers)


async def test_a_measure_fires_on_the_crossing_and_goes_on_after_a_restart(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await activate(client, VISITS)
        await place.give(customer, "visit")
        await place.give(customer, "visit")
        assert await place.triggers(0) == []
    async with running(place):
        await place.give(customer, "visit")
        await place.give(customer, "visit")
        found = await place.triggers(1)
    assert told(found) == [("call.adviser", customer)]
    assert found[0].include == {"visits": 3}


async def test_an_absence_waits_for_the_clock_and_ends_with_a_purchase_in_time(place: Place) -> None:
    left, bought, unwilling = new_customer(), new_customer(), new_customer()
    async with running(place) as client:
        await activate(client, BASKET)
        for customer in (left, bought, unwilling):
            await place.give(customer, "cart_add", ago_seconds=7200, data={"basket_id": "b7"})
        await place.give(bought, "purchase", ago_seconds=4000)
        await place.give(unwilling, "visit", profile={"consent_email": False})
        assert await place.triggers(0) == [], "it is due by the wall clock, but nobody has vouched for that time"
        await place.tell_clock()
        found = await place.triggers(1)
    assert told(found) == [("mail.basket", left)]
    assert found[0].include == {"basket": "b7"}


async def test_a_wait_outlives_the_process_that_began_it(place: Place) -> None:
    left, bought = new_customer(), new_customer()
    async with running(place) as client:
        await activate(client, BASKET)
        await place.give(left, "cart_add", ago_seconds=7200)
        await place.give(bought, "cart_add", ago_seconds=7200)
        assert await place.triggers(0, quiet_seconds=2.0) == []
    async with running(place):
        await place.give(bought, "purchase", ago_seconds=7000)
        assert await place.triggers(0) == []
        await place.tell_clock()
        assert told(await place.triggers(1)) == [("mail.basket", left)]


async def test_two_records_of_a_person_in_different_units_count_together(place: Place) -> None:
    one, other = new_customer(0), new_customer(1)
    linked: dict[str, Any] = {"person_id": one, "linked": sorted([one, other])}
    async with running(place) as client:
        await activate(client, VISITS, BASKET)
        await place.give(one, "cart_add", ago_seconds=7200, **linked)
        await place.give(other, "purchase", ago_seconds=7000, **linked)
        await place.give(one, "visit", **linked)
        await place.give(one, "visit", **linked)
        assert await place.triggers(0) == []
        await place.give(other, "visit", **linked)
        await place.tell_clock()
        assert told(await place.triggers(1)) == [("call.adviser", other)]


async def test_after_people_were_taken_apart_each_has_their_own_counts_and_waits(place: Place) -> None:
    one, other = new_customer(0), new_customer(1)
    linked: dict[str, Any] = {"person_id": one, "linked": sorted([one, other])}
    async with running(place) as client:
        await activate(client, VISITS, BASKET)
        await place.give(one, "cart_add", ago_seconds=7200, **linked)
        await place.give(other, "purchase", ago_seconds=7000, **linked)
        for customer in (one, other):
            await place.give(customer, "visit", **linked)
        assert await place.triggers(0) == [], "and both units have taken it up"
        for customer in (one, other):
            await place.give(customer, "profile.unlinked", person_id=customer, linked=[])
        for customer in (one, other):
            await place.give(customer, "visit")
        assert told(await place.triggers(0)) == [], "two visits of each are three of nobody"
        await place.tell_clock()
        [basket] = await place.triggers(1)
        assert (basket.trigger, basket.customer_id, basket.person_id) == ("mail.basket", one, one)
        await place.give(other, "visit")
        assert told(await place.triggers(1)) == [("call.adviser", other)]


async def test_a_paused_rule_is_silent_and_has_missed_nothing_when_it_resumes(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await activate(client, VISITS)
        await place.give(customer, "visit")
        assert await place.triggers(0) == []
        assert (await client.post("/v1/rules/three-visits/pause")).status_code == 200
        await place.give(customer, "visit")
        assert await place.triggers(0) == []
        assert (await client.post("/v1/rules/three-visits/resume")).status_code == 200
        await place.give(customer, "visit")
        assert told(await place.triggers(1)) == [("call.adviser", customer)]


async def test_history_is_counted_and_fires_nothing(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await activate(client, VISITS)
        for _ in range(2):
            await place.give(customer, "visit", ago_seconds=60, history=True)
        assert await place.triggers(0) == []
        await place.give(customer, "visit")
        assert told(await place.triggers(1)) == [("call.adviser", customer)]


async def test_what_crawlers_and_tests_do_counts_for_nobody_and_is_counted(place: Place) -> None:
    customer = new_customer()
    async with running(place) as client:
        await activate(client, VISITS)
        for flag in ("bot", "test"):
            await place.give(customer, "visit", traffic=flag)
        for _ in range(2):
            await place.give(customer, "visit")
        assert await place.triggers(0) == []
        await place.give(customer, "visit")
        assert told(await place.triggers(1)) == [("call.adviser", customer)]
        measured = (await client.get("/metrics")).text
    assert 'dangol_rules_rule_outcomes_total{outcome="flagged_traffic",rule="*"} 2.0' in measured

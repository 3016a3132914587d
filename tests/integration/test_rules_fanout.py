"""Does an event without a person reach those whom it concerns, each once, at its pace, and nobody who is not to be?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from libs.common import clock
from libs.common.events import ERASED, RuleTriggered
from libs.common.kafka import History
from libs.common.topics import EVENT_RESOLVED, partition_of
from services.rules.backtest.shapes import Question
from services.rules.backtest.simulation import Simulation
from tests.rules_everyone import CLOSING, SECONDS_MAX, closes, customers, database, listed, seen, tell
from tests.rules_place import UNITS, Place, activate, opened, running


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


def at_pace(place: Place, customers_per_second: float, **settings: Any) -> None:
    changed = {"fanout_customers_per_second": customers_per_second, **settings}
    place.settings = place.settings.model_copy(update=changed)


async def until(
    client: httpx2.AsyncClient, is_so: Callable[[dict[str, Any]], bool], **query: Any
) -> list[dict[str, Any]]:
    """All fan-outs once each of them, of all units, is as wanted."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            answer = await client.get("/v1/rules/fanouts", params=query)
            assert answer.status_code == 200, answer.text
            items: list[dict[str, Any]] = answer.json()["items"]
            if items and all(sum(each["units"].values()) == UNITS and is_so(each) for each in items):
                return items
            await asyncio.sleep(0.05)


def is_over(fanout: dict[str, Any]) -> bool:
    return bool(fanout["status"] != "running")


def who(triggers: Sequence[RuleTriggered]) -> list[str]:
    return sorted(each.customer_id for each in triggers)


async def test_each_whom_it_concerns_fires_once_and_it_is_told_how_far_it_is(place: Place) -> None:
    at_pace(place, 40)
    gold, elsewhere, silver = customers(120), customers(30), customers(5)
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, gold), *(seen(each, "jongno") for each in elsewhere))
        await tell(place, *(seen(each, grade="silver") for each in silver))
        await listed(place, 150)
        event = closes(id="closing-1")
        await tell(place, *event)
        [going] = await until(client, lambda each: 0 < each["seen"] < each["selected"])
        assert (going["status"], going["selected"], going["event_id"]) == ("running", 150, "closing-1")
        # The same event again while it is under way begins nothing.
        await tell(place, *event)
        found = await place.triggers(120)
        [over] = await until(client, is_over)
    assert who(found) == gold
    assert {(each.event_id, each.reason) for each in found} == {("closing-1", "service")}
    assert (over["status"], over["units"], over["left"]) == ("done", {"done": UNITS}, 0)
    assert (over["seen"], over["fired"]) == (150, 120)


async def test_a_cancelled_one_gives_nobody_else_a_turn(place: Place) -> None:
    at_pace(place, 3)
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, customers(200)))
        await listed(place, 200)
        await tell(place, *closes())
        [going] = await until(client, lambda each: each["seen"] > 0)
        address = f"/v1/rules/fanouts/{going['id']}"
        answer = await client.post(f"{address}/cancel")
        assert answer.status_code == 200, answer.text
        assert answer.json()["cancelled_by"] == "marketer"
        [over] = await until(client, is_over)
        assert (over["status"], set(over["units"])) == ("ended", {"cancelled"})
        assert over["seen"] < 200 and over["left"] == 200 - over["seen"]
        assert len(await place.triggers(over["fired"], quiet_seconds=3.0)) == over["fired"]
        assert (await client.post(f"{address}/cancel")).status_code == 200, "to ask again changes nothing"
        assert (await client.get(f"{address}")).json()["fired"] == over["fired"]
        stats = (await client.get("/v1/rules/branch-closing/stats")).json()
        assert stats["outcomes"]["fanout_cancelled"] == over["left"]
        assert (await client.get(f"/v1/rules/fanouts/{clock.new_id()}")).status_code == 404


async def test_a_paused_rule_ends_what_is_under_way_and_an_edited_one_goes_on_in_its_new_words(place: Place) -> None:
    at_pace(place, 30)
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, customers(200)))
        await listed(place, 200)
        await tell(place, *closes(id="edited"))
        [going] = await until(client, lambda each: each["seen"] > 0)
        document = {**CLOSING, "emit": {"trigger": "branch.closing", "reason": "moved"}}
        answer = await client.put("/v1/rules/branch-closing", json=document, headers={"If-Match": '"1"'})
        assert answer.status_code == 200, answer.text
        assert (await client.post("/v1/rules/branch-closing/activate", json={})).status_code == 200
        found = await place.triggers(200)
        assert len({each.customer_id for each in found}) == len(found) == 200
        assert {(each.rule_version, each.reason) for each in found} == {(1, "service"), (2, "moved")}
        await tell(place, *closes(id="paused"))
        await until(client, lambda each: each["event_id"] == "edited" or each["seen"] > 0)
        assert (await client.post("/v1/rules/branch-closing/pause")).status_code == 200
        over = {each["event_id"]: each for each in await until(client, is_over)}
        assert over["paused"]["units"] == {"paused": UNITS}
        assert len(await place.triggers(over["paused"]["fired"])) == over["paused"]["fired"] < 200


async def test_yesterdays_news_are_dropped_and_counted(place: Place) -> None:
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, customers(4)))
        await listed(place, 4)
        await tell(place, *closes(ago=timedelta(hours=25)))
        [over] = await until(client, is_over)
        assert (over["units"], over["left"], over["fired"]) == ({"expired": UNITS}, 4, 0)
        # What may not begin at all: history, and the traffic of tests.
        await tell(place, *closes(history=True), *closes(traffic="test"), *closes("jongno", id="other"))
        await until(client, lambda each: is_over(each) and each["event_id"] != "none")
        assert {each["event_id"] for each in (await client.get("/v1/rules/fanouts")).json()["items"]} == {
            over["event_id"],
            "other",
        }
        assert await place.triggers(0) == []


async def test_as_long_as_a_unit_learns_of_the_past_for_the_rule_its_events_wait_and_then_reach_all(
    place: Place,
) -> None:
    at_pace(place, 1000)
    before, learned = customers(40), customers(60)
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, before))
        await listed(place, 40)
        async with database(place) as connection:
            await connection.execute(
                "INSERT INTO warming (unit, number, state, rules, position, asked_at, owner, job, lease_until)"
                " SELECT unit, 1000, 'reading', $1::jsonb, 1, now(), 'test', gen_random_uuid(), 'infinity'"
                " FROM generate_series(0, $2 - 1) AS unit",
                '[{"id": "branch-closing", "version": 1}]',
                UNITS,
            )
            await tell(place, *closes())
            await until(client, lambda each: not is_over(each))
            await tell(place, *map(seen, learned))
            await listed(place, 100)
            # Several turns have passed by then, none of them for anybody.
            await asyncio.sleep(1.5)
            [waiting] = await until(client, lambda each: True)
            assert (waiting["status"], waiting["seen"]) == ("running", 0)
            await connection.execute("DELETE FROM warming WHERE number = 1000")
        [over] = await until(client, is_over)
        found = await place.triggers(100)
    assert who(found) == sorted(before + learned)
    assert (over["status"], over["selected"], over["seen"]) == ("done", 100, 100)


async def test_of_a_person_with_records_in_two_units_one_fires_and_the_erased_have_no_turn(place: Place) -> None:
    at_pace(place, 1000)
    names = customers(400)
    pairs = [
        sorted(pair)
        for pair in zip(
            [each for each in names if partition_of(each.encode(), UNITS) == 0][:60],
            [each for each in names if partition_of(each.encode(), UNITS) == 1][:60],
            strict=True,
        )
    ]
    gone = customers(3)
    async with running(place) as client:
        await activate(client, CLOSING)
        for pair in pairs:
            await tell(place, *(seen(each, person_id=pair[0], linked=pair, kind="profile.linked") for each in pair))
        await tell(place, *map(seen, gone))
        await tell(place, *(msgspec.structs.replace(seen(each), type=ERASED, changed={}) for each in gone))
        await listed(place, 2 * len(pairs))
        await tell(place, *closes())
        found = await place.triggers(len(pairs))
        [over] = await until(client, is_over)
    assert sorted(each.person_id for each in found) == sorted(pair[0] for pair in pairs)
    assert over["seen"] == 2 * len(pairs)


async def test_what_is_under_way_outlives_the_process_and_goes_on_where_it_was(place: Place) -> None:
    at_pace(place, 25)
    names = customers(150)
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, names))
        await listed(place, 150)
        await tell(place, *closes())
        await until(client, lambda each: each["seen"] > 0)
    at_pace(place, 1000)
    async with running(place) as client:
        [over] = await until(client, is_over)
        # What the first one had sent may be sent again under its number; readers know it by that, and by its id.
        found = {each.trigger_id: each for each in await place.triggers(150)}
    assert who(list(found.values())) == names
    assert (over["seen"], over["fired"]) == (150, 150)


async def test_the_page_is_the_newest_first_and_goes_on(place: Place) -> None:
    async with running(place) as client:
        await activate(client, CLOSING)
        for number in range(5):
            await tell(place, *closes(id=f"e-{number}", ago=timedelta(minutes=10 - number)))
        await until(client, lambda each: is_over(each), rule_id="branch-closing")
        async with asyncio.timeout(SECONDS_MAX):
            while len((await client.get("/v1/rules/fanouts")).json()["items"]) < 5:
                await asyncio.sleep(0.05)
        found, cursor = [], None
        while True:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/rules/fanouts", params=query)).json()
            found += [each["event_id"] for each in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == ["e-4", "e-3", "e-2", "e-1", "e-0"]
        assert (await client.get("/v1/rules/fanouts", params={"rule_id": "another"})).json()["items"] == []
        await until(client, is_over)
        assert (await client.get("/v1/rules/fanouts", params={"running": True})).json()["items"] == []
        refused = await client.post(f"/v1/rules/fanouts/{(await until(client, is_over))[0]['id']}/cancel")
        assert refused.status_code == 409


async def test_a_rule_that_says_of_nobody_whom_it_concerns_needs_a_second_person(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"approval_above_percent": 50.0})
    everybody = {**CLOSING, "who": []}
    async with running(place) as client:
        warned = (await client.post("/v1/rules/validate", json=everybody)).json()
        assert "would reach everyone" in {each["pointer"]: each["detail"] for each in warned["warnings"]}["#/who"]
        assert (await client.post("/v1/rules", json=everybody)).status_code == 201
        refused = await client.post("/v1/rules/branch-closing/activate", json={"reach_percent": 1})
        assert refused.status_code == 409 and "would reach 100 % of the customers" in refused.json()["detail"]


async def test_a_backtest_over_the_log_says_what_live_has_fired(place: Place) -> None:
    limited = {**CLOSING, "limits": {"cooldown": "7d"}}
    names = customers(40)
    async with running(place) as client:
        await activate(client, limited)
        await tell(place, *(seen(each, "gangnam" if at % 3 else "jongno") for at, each in enumerate(names)))
        await listed(place, 40)
        for branch in ("gangnam", "jongno", "gangnam", "mapo"):
            await tell(place, *closes(branch))
            await until(client, is_over)
        live = await place.triggers(40)
        since, until_at = clock.now() - timedelta(days=1), clock.now() + timedelta(minutes=1)
        question = Question(
            rule=msgspec.Raw(msgspec.json.encode(limited)),
            since=since,
            until=until_at,
            company_zone=place.settings.company_zone,
            live=[],
            grace_seconds=0.0,
            examples=10_000,
        )
        simulation = Simulation(question, UNITS, 1 << 28)
        async with History(
            place.settings.kafka_bootstrap,
            prefix=place.settings.topic_prefix,
            name=EVENT_RESOLVED.name,
            partitions=UNITS,
            since_ms=0,
            until_ms=clock.to_ms(until_at),
        ) as history:
            async for chunk in history.chunks():
                simulation.take(chunk)
    told = [(each.trigger_id, each.customer_id, each.event_id) for each in simulation.examples()]
    assert sorted(told) == sorted((each.trigger_id, each.customer_id, each.event_id) for each in live)
    assert len(told) == 40

"""Can people see what fired, on what grounds, and why a rule does not fire for a customer, on the real servers?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest

from libs.common import clock
from libs.common.auth import issue_token
from libs.common.db import Database, Tx
from libs.common.errors import Transient
from libs.common.events import ERASED, RulesErased
from libs.common.metrics import Metrics
from libs.common.runtime import App
from libs.common.topics import RULES_ERASED, partition_of
from services.rules import keeping, store
from services.rules.explaining import progress as explaining
from services.rules.explaining.recording import LoggedTrigger
from tests.log_reading import everything
from tests.rules_place import BASKET, SECRET, UNITS, VISITS, Place, activate, client_of, opened, running

BIG: dict[str, Any] = {
    "id": "big-basket",
    "name": "Big basket",
    "when": {
        "type": "event",
        "event": "purchase",
        "where": [{"field": "event.amount", "op": "at_least", "value": 500}],
    },
    "who": [{"field": "profile.tier", "op": "is", "value": "gold"}],
    "emit": {"trigger": "offer.warranty", "include": {"amount": "event.amount"}},
}
GOLD = {"tier": "gold", "phone": "+821012345678"}


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


def new_customer(unit: int) -> str:
    while True:
        customer = str(clock.new_id())
        if partition_of(customer.encode(), UNITS) == unit:
            return customer


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        yield connection
    finally:
        await connection.close()


async def get(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_trigger_is_shown_with_the_events_and_values_behind_it(place: Place) -> None:
    mina, other = str(clock.new_id()), str(clock.new_id())
    async with running(place) as client:
        await activate(client, BIG)
        await place.give(mina, "purchase", data={"amount": 620, "card": "4111"}, profile=GOLD)
        await place.give(other, "purchase", data={"amount": 620}, profile=GOLD)
        await place.give(mina, "purchase", data={"amount": 20}, profile=GOLD)
        told = {each.customer_id: each for each in await place.triggers(2)}
        [listed] = (await get(client, f"/v1/triggers?customer_id={mina}"))["items"]
        assert listed["trigger_id"] == told[mina].trigger_id
        assert listed["events"] == [{"event_id": told[mina].event_id, "time": listed["occurred_at"]}]
        found = await get(client, f"/v1/triggers/{listed['trigger_id']}")
        assert (found["rule_version"], found["include"]) == (1, {"amount": 620})
        assert [(each["found"], each["holds"]) for each in found["because"]["where"]] == [(620, True)]
        assert [(each["found"], each["holds"]) for each in found["because"]["who"]] == [("gold", True)]
        assert "4111" not in str(found) and "+8210" not in str(found)
        assert (await client.get(f"/v1/triggers/{clock.new_id()}")).status_code == 404


async def test_triggers_are_listed_newest_first_by_rule_and_time_and_page_by_page(place: Place) -> None:
    customers = [str(clock.new_id()) for _ in range(5)]
    async with running(place) as client:
        await activate(client, BIG, {**BIG, "id": "big-too"})
        for number, customer in enumerate(customers):
            await place.give(customer, "purchase", 3600 * number, data={"amount": 600}, profile=GOLD)
        await place.triggers(10)
        path, seen = "/v1/triggers?rule_id=big-basket&limit=2", []
        page = await get(client, path)
        while True:
            seen += [each["customer_id"] for each in page["items"]]
            if page["next"] is None:
                break
            page = await get(client, f"{path}&cursor={page['next']}")
        assert seen == customers
        assert len((await get(client, "/v1/triggers"))["items"]) == 10
        since = f"{clock.now() - timedelta(minutes=90):%Y-%m-%dT%H:%M:%SZ}"
        within = await get(client, f"/v1/triggers?rule_id=big-basket&from={since}")
        assert [each["customer_id"] for each in within["items"]] == customers[:2]
        before = await get(client, f"/v1/triggers?rule_id=big-basket&to={since}")
        assert [each["customer_id"] for each in before["items"]] == customers[2:]
        for wrong in ("from=yesterday", "from=2026-01-01T00:00:00", "cursor=x", "limit=0", "customer_id=%00"):
            assert (await client.get(f"/v1/triggers?{wrong}")).status_code in (400, 422), wrong


async def test_a_trigger_that_is_found_twice_is_logged_once(place: Place) -> None:
    customer = str(clock.new_id())
    async with running(place) as client:
        await activate(client, BIG)
        now = clock.now()
        told = []
        for _ in range(2):
            # Within one batch or another.
            for _ in range(2):
                await place.give(customer, "purchase", data={"amount": 620}, profile=GOLD, event_id="e1", time=now)
            told += await place.triggers(2)
        assert (len(told), len({each.trigger_id for each in told})) == (4, 1)
        assert len((await get(client, f"/v1/triggers?customer_id={customer}"))["items"]) == 1


async def test_it_says_how_much_is_missing_and_what_has_fired(place: Place) -> None:
    customer = str(clock.new_id())
    async with running(place) as client:
        await activate(client, VISITS)
        for _ in range(2):
            await place.give(customer, "visit")
        assert await place.triggers(0) == []
        path = f"/v1/rules/three-visits/customers/{customer}"
        found = await get(client, path)
        explanation = found["explanation"]
        assert explanation["would_fire"] is False
        assert explanation["because"][0].startswith("2 of 3 visit events in the last 7 days; one more by ")
        assert (found["firings"], found["profile"]) == ([], "nothing")
        await place.give(customer, "visit")
        [trigger] = await place.triggers(1)
        found = await get(client, path)
        assert [each["trigger_id"] for each in found["firings"]] == [trigger.trigger_id]
        assert found["explanation"]["when"]["measure"]["value"] == 3
        stranger = (await get(client, f"/v1/rules/three-visits/customers/{clock.new_id()}"))["explanation"]
        assert (stranger["known"], stranger["when"]["measure"]["value"]) == (False, 0)
        assert (await client.get(f"/v1/rules/not-there/customers/{customer}")).status_code == 404


async def test_a_wait_is_seen_with_the_profile_that_it_will_be_judged_by(place: Place) -> None:
    customer = str(clock.new_id())
    async with running(place) as client:
        await activate(client, BASKET)
        await place.give(customer, "cart_add", data={"basket_id": "b7"}, profile={"consent_email": False})
        assert await place.triggers(0) == []
        path = f"/v1/rules/basket-left/customers/{customer}"
        found = await get(client, path)
        explanation = found["explanation"]
        assert [each["customer_id"] for each in explanation["when"]["waits"]] == [customer]
        assert found["profile"] == "last_seen"
        assert explanation["because"] == ["profile.consent_email is false; wanted: is true"]
        answer = await client.post(f"{path}/explain", json={"profile": {"consent_email": True}})
        assert answer.json()["explanation"]["would_fire"] is True
        assert (await client.post(f"{path}/explain", json={"profil": {}})).status_code == 422
        assert (await client.post("/v1/rules/basket-left/pause")).status_code == 200
        assert (await get(client, path))["explanation"]["because"][0] == "the rule is paused"


async def test_a_draft_is_explained_although_nothing_runs_it(place: Place) -> None:
    async with running(place) as client:
        assert (await client.post("/v1/rules", json=BIG)).status_code == 201
        path = f"/v1/rules/big-basket/customers/{clock.new_id()}/explain"
        event = {"type": "purchase", "amount": 620}
        found = (await client.post(path, json={"profile": GOLD, "event": event})).json()["explanation"]
    assert found["because"] == ["the rule is draft"]
    assert (found["when"]["holds"], found["who"][0]["holds"]) == (True, True)


async def test_linked_records_count_together_in_an_explanation(place: Place) -> None:
    one, other = str(clock.new_id()), str(clock.new_id())
    linked: dict[str, Any] = {"person_id": one, "linked": sorted([one, other])}
    async with running(place) as client:
        await activate(client, VISITS)
        for customer in (one, other):
            await place.give(customer, "visit", **linked)
        assert await place.triggers(0) == []
        found = (await get(client, f"/v1/rules/three-visits/customers/{other}"))["explanation"]
    assert (found["when"]["measure"]["value"], found["person_id"]) == (2, one)


async def test_figures_tell_what_became_of_a_rule_and_which_values_it_could_not_compare(place: Place) -> None:
    async with running(place) as client:
        await activate(client, BIG)
        for amount, profile in ((600, GOLD), (700, GOLD), (600, {"tier": "basic"}), ("a lot", GOLD), (5, GOLD)):
            await place.give(str(clock.new_id()), "purchase", data={"amount": amount}, profile=profile)
        await place.triggers(2)
        found = await get(client, "/v1/rules/big-basket/stats?days=3")
        assert found["outcomes"] == {"fired": 2, "who": 1, "odd_value": 1}
        assert (found["fired"], found["odd_values"], len(found["days"])) == (2, 1, 3)
        assert sum(day["fired"] for day in found["days"]) == 2
        assert found["zone"] == "Asia/Seoul"
        assert (await client.get("/v1/rules/not-there/stats")).status_code == 404
        assert (await client.get("/v1/rules/big-basket/stats?days=401")).status_code == 422


async def test_the_figures_of_a_backlog_are_whole_when_it_is_worked_off(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"batch_events_max": 3})
    async with running(place) as client:
        await activate(client, BIG)
        for number in range(29):
            tier = "gold" if number % 2 else "basic"
            await place.give(str(clock.new_id()), "purchase", data={"amount": 620}, profile={"tier": tier})
        await place.triggers(14)
        # Of which unit's batch an event is the last decides chance: one more of each finds nobody busy.
        for unit in range(UNITS):
            await place.give(new_customer(unit), "purchase", data={"amount": 620}, profile={"tier": "basic"})
        async with asyncio.timeout(30):
            while (found := await get(client, "/v1/rules/big-basket/stats"))["outcomes"] != {"fired": 14, "who": 17}:
                await asyncio.sleep(0.1)
        assert found["fired"] == 14


async def test_nothing_of_an_erased_customer_stays_in_the_log(place: Place) -> None:
    gone, stays = str(clock.new_id()), str(clock.new_id())
    async with running(place) as client:
        await activate(client, BIG)
        for customer in (gone, stays):
            await place.give(customer, "purchase", data={"amount": 620}, profile=GOLD)
        assert len(await place.triggers(2)) == 2
        await place.give(gone, ERASED)
        settings = place.settings
        [message] = await everything(
            settings.kafka_bootstrap, settings.topic_prefix, RULES_ERASED.name, range(UNITS), number=1
        )
        said = msgspec.json.decode(message.value or b"", type=RulesErased)
        assert (said.customer_id, said.counts["trigger_log"]) == (gone, 1)
        assert (await get(client, f"/v1/triggers?customer_id={gone}"))["items"] == []
        assert len((await get(client, "/v1/triggers"))["items"]) == 1


async def test_readers_may_ask_and_whoever_is_confined_to_a_branch_is_told_why_not(place: Place) -> None:
    async with running(place) as client:
        await client.post("/v1/rules", json=BIG)
        app = App(client._transport.app)  # type: ignore[attr-defined]
        asked = await client.post("/v1/rules/backtests", json={"rule": BIG, "from": "2026-01-01T00:00:00Z"})
        backtest = f"/v1/rules/backtests/{asked.json()['id']}"
        paths = ["/v1/triggers", f"/v1/rules/big-basket/customers/{clock.new_id()}", backtest]
        for role in ("viewer", "approver", "operator"):
            async with client_of(app, role) as reader:
                for path in [*paths, "/v1/rules/big-basket/stats"]:
                    assert (await reader.get(path)).status_code == 200
        token = issue_token(SECRET, subject="somebody", roles=["marketer"], branch="gangnam")
        confined = {"Authorization": f"Bearer {token}"}
        for path in paths:
            answer = await client.get(path, headers=confined)
            assert answer.status_code == 403
            assert "does not know which customers" in answer.json()["detail"]
        assert (await client.get("/v1/rules/big-basket/stats", headers=confined)).status_code == 200
        assert (await client.get("/v1/rules/backtests", headers=confined)).status_code == 200
        again = {"rule": BIG, "from": "2026-01-01T00:00:00Z"}
        assert (await client.post("/v1/rules/backtests", json=again, headers=confined)).status_code == 403


def logged(at: datetime) -> LoggedTrigger:
    return LoggedTrigger(at, str(clock.new_id()), "some-rule", 1, "c", "p", "e", b"")


async def parts_of_log(connection: Any) -> dict[str, int]:
    """The parts of the log that hold anything, with how many triggers are in each."""
    found = await connection.fetch("SELECT tableoid::regclass::text AS part, count(*) FROM trigger_log GROUP BY 1")
    return {row["part"]: row["count"] for row in found}


@asynccontextmanager
async def database_of(place: Place) -> AsyncIterator[Database]:
    database = Database(place.settings.database_url_of("rules"), application="test", size=1)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


async def test_the_log_has_a_part_for_each_month_and_forgets_them_whole(place: Place) -> None:
    async with connected(place) as connection, database_of(place) as database:
        tx = Tx(connection)
        await keeping.arrange(database, date(2026, 3, 4))
        old, new, ancient = (datetime(*each, tzinfo=UTC) for each in ((2025, 2, 1), (2026, 3, 4), (2001, 1, 1)))
        rows = [logged(at) for at in (old, new, ancient)]
        await store.log_triggers(tx, 0, new, rows)
        await store.log_triggers(tx, 0, new, rows)
        found = await store.triggers(connection, store.Asked(rule_id="some-rule"), 10)
        assert [each.occurred_at for each in found] == [new, old, ancient]
        await keeping.arrange(database, date(2026, 4, 9))
        found = await store.triggers(connection, store.Asked(rule_id="some-rule"), 10)
        assert [each.occurred_at for each in found] == [new, ancient]
        await store.count_outcomes(tx, 0, date(2025, 1, 1), {("some-rule", "fired"): 1})
        await store.trim_logs(tx, new + timedelta(days=1))
        assert await store.outcomes(connection, "some-rule", date(2020, 1, 1)) == []
        assert len(await store.triggers(connection, store.Asked(rule_id="some-rule"), 10)) == 1


async def test_triggers_that_came_before_their_month_was_ready_move_into_it_and_stay_single(place: Place) -> None:
    early = logged(datetime(2026, 3, 4, tzinfo=UTC))
    async with connected(place) as connection, database_of(place) as database:
        await store.log_triggers(Tx(connection), 0, early.occurred_at, [early])
        assert await parts_of_log(connection) == {"trigger_log_older": 1}
        await keeping.arrange(database, date(2026, 3, 5))
        assert await parts_of_log(connection) == {"trigger_log_202603": 1}
        await store.log_triggers(Tx(connection), 0, early.occurred_at, [early])
        assert await parts_of_log(connection) == {"trigger_log_202603": 1}


async def test_whoever_reads_the_log_for_long_stops_no_service_and_no_trigger(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_MS_MAX", 10)
    late = logged(datetime(2026, 3, 4, tzinfo=UTC))
    async with connected(place) as reader, connected(place) as writer, database_of(place) as database:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT * FROM trigger_log_older")
        log = keeping.LogKeeping(database, Metrics("rules"))
        await log.start()
        await log.stop()
        with pytest.raises(Transient, match="lock timeout"):
            await keeping.arrange(database, date(2026, 3, 5))
        await store.log_triggers(Tx(writer), 0, late.occurred_at, [late])
        await reading.rollback()
        await keeping.arrange(database, date(2026, 3, 5))
        assert await parts_of_log(writer) == {"trigger_log_202603": 1}


async def test_one_month_that_cannot_be_made_keeps_no_other_from_it(place: Place) -> None:
    async with connected(place) as connection, database_of(place) as database:
        await connection.execute("CREATE TABLE trigger_log_202601 (in_the_way integer)")
        with pytest.raises(Transient, match="already exists"):
            await keeping.arrange(database, date(2026, 3, 4))
        days = [datetime(2026, month, 4, tzinfo=UTC) for month in (1, 2, 3)]
        await store.log_triggers(Tx(connection), 0, days[2], [logged(each) for each in days])
        found = await parts_of_log(connection)
        assert found == {"trigger_log_older": 1, "trigger_log_202602": 1, "trigger_log_202603": 1}


async def test_what_is_worked_out_holds_up_nobody_else(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[threading.Thread] = []

    def watched(*given: Any) -> Any:
        seen.append(threading.current_thread())
        return explain(*given)

    explain = explaining.explain
    monkeypatch.setattr(explaining, "explain", watched)
    async with running(place) as client:
        await client.post("/v1/rules", json=BIG)
        await get(client, f"/v1/rules/big-basket/customers/{clock.new_id()}")
    assert len(seen) == 1
    assert seen[0] is not threading.main_thread()

"""Does the report of a campaign say what its people did, whoever they are by now and however late it is told?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from math import sqrt
from random import Random
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from libs.common import clock, documents, migrations
from libs.common.auth import issue_token
from libs.common.db import Database
from libs.common.events import ERASED, EventResolved
from libs.common.worker import Worker
from services.campaign.app import build, measuring_spec
from services.campaign.document import KIND
from services.campaign.settings import CampaignSettings
from tests.campaign_stage import Place, staged

SECRET = "a secret of the tests, long enough 0123456789"
GOAL = {"event": "purchase", "within": "7d", "target_percent": 10, "until": "2999-12-31", "response_value": "9000"}
SPRING = {
    "id": "spring",
    "name": "Spring",
    "trigger": "offer.spring",
    "channel": "sms",
    "template": "spring-text",
    "holdout_percent": 50,
    "cost": "20",
    "goal": GOAL,
}
DAY = timedelta(days=1)


@pytest.fixture
async def place(kafka_bootstrap: str, database_url: str, topic_prefix: str) -> AsyncIterator[Place]:
    async with staged(kafka_bootstrap, database_url, topic_prefix) as place:
        yield place


@pytest.fixture
async def served(postgres_url: str, fresh_name: str) -> AsyncIterator[tuple[FastAPI, Database]]:
    settings = CampaignSettings(
        database_url=postgres_url, database_prefix=f"{fresh_name}_", token_secret=SecretStr(SECRET), port=0
    )
    await migrations.upgrade("campaign", settings.database_url_of("campaign"))
    app = await build(settings)
    database = app.resources[0]
    assert isinstance(database, Database)
    await database.start()
    yield app.web, database
    await database.stop()
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{fresh_name}_campaign" WITH (FORCE)')
    await server.close()


async def call(app: FastAPI, method: str, path: str, headers: Mapping[str, str] = {}, **more: Any) -> httpx2.Response:
    token = issue_token(SECRET, subject="m", roles=["marketer"])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://campaign") as client:
        return await client.request(method, path, headers={"Authorization": f"Bearer {token}", **headers}, **more)


async def write(app: FastAPI, changes: dict[str, Any]) -> None:
    """A second version."""
    found = await call(app, "PUT", "/v1/campaigns/spring", headers={"If-Match": '"1"'}, json=SPRING | changes)
    assert found.status_code == 200, found.text


def resolved(number: int, customer_id: str = "c1", type_: str = "purchase", **more: Any) -> EventResolved:
    data = more.pop("data", {"amount": 1000 * number, "currency": "KRW"})
    raw = msgspec.Raw(msgspec.json.encode(data))
    return EventResolved(f"e{number}", customer_id, customer_id, type_, "till", clock.now(), 0, data=raw, **more)


async def test_purchases_are_kept_once_and_bots_and_views_are_not(place: Place) -> None:
    worker = Worker(measuring_spec(), place.floor)
    first = resolved(1)
    await worker.start()
    try:
        await place.give(first, resolved(2, traffic="bot"), resolved(3, type_="product_view"), first)
        await place.give(resolved(4, type_="refund"), resolved(5, type_="visit", data={}))
        wanted = [("e1", "purchase", 1000), ("e4", "refund", -4000), ("e5", "visit", 0)]
        await place.until("SELECT event_id, type, amount::int FROM done ORDER BY 1", wanted)
    finally:
        await worker.stop()


async def test_what_a_campaign_was_ever_for_is_kept_also_when_it_has_ended(place: Place) -> None:
    await place.activate(goal=GOAL | {"event": "booking.made"})
    async with place.floor.database.transaction() as tx:
        await documents.retire(tx, KIND, "spring", author="m")
    worker = Worker(measuring_spec(), place.floor)
    await worker.start()
    try:
        await place.give(resolved(1, type_="booking.made", data={}))
        await place.until("SELECT event_id, type FROM done", [("e1", "booking.made")])
    finally:
        await worker.stop()


async def test_nothing_is_left_of_somebody_who_was_erased(place: Place) -> None:
    worker = Worker(measuring_spec(), place.floor)
    await worker.start()
    try:
        await place.give(resolved(1), resolved(2, "c2"))
        await place.until("SELECT count(*)::int FROM done", [(2,)])
        await place.give(resolved(3, type_=ERASED, data={}))
        await place.until("SELECT customer_id FROM done", [("c2",)])
    finally:
        await worker.stop()


class Town:
    """Random people, some of them of two records, decisions on them and what they did; and the report by hand."""

    def __init__(self, seed: int, people: int) -> None:
        self.chance = Random(seed)
        self.start = clock.now() - 30 * DAY
        self.records = {f"p{n}": [f"c{n}a", f"c{n}b"][: 1 + (n % 3 == 0)] for n in range(people)}
        self.decisions: list[tuple[str, str, Any]] = []
        self.done: list[tuple[str, str, Any, str, str, float]] = []
        for person, records in self.records.items():
            for _ in range(self.chance.choice([1, 1, 2])):
                arm = self.chance.choice(["contact", "capped", "holdout", "holdout"])
                self.decisions.append((self.chance.choice(records), arm, self._at(20)))
            for number in range(self.chance.randrange(4)):
                kind = self.chance.choice(["purchase", "purchase", "refund", "visit"])
                amount = {"purchase": 1000.0, "refund": -400.0, "visit": 0.0}[kind] * self.chance.randrange(1, 9)
                currency = "" if kind == "visit" else self.chance.choice(["KRW", "KRW", "KRW", "USD"])
                self.done.append(
                    (self.chance.choice(records), f"{person}-{number}", self._at(29), kind, currency, amount)
                )

    def _at(self, days: int) -> Any:
        return self.start + timedelta(seconds=self.chance.randrange(days * 86_400))

    def expected(self) -> dict[str, dict[str, float]]:
        sides = {arm: dict.fromkeys(COUNTS, 0.0) for arm in SIDES}
        drawn, deeds = defaultdict(list), defaultdict(list)
        for record, arm, at in self.decisions:
            drawn[record].append((at, arm))
        for each in self.done:
            deeds[each[0]].append(each)
        for records in self.records.values():
            at, arm = min(each for record in records for each in drawn[record])
            did = [each for record in records for each in deeds[record] if at < each[2] <= at + 7 * DAY]
            spend = sum(amount for *_, currency, amount in did if currency == "KRW")
            side = sides["holdout" if arm == "holdout" else "contact"]
            side["people"] += 1
            side["contacted"] += arm == "contact"
            side["responded"] += arm == "contact" and any(kind == "purchase" for *_, kind, _, _ in did)
            side["purchase"] += any(kind == "purchase" for *_, kind, _, _ in did)
            side["visit"] += any(kind in ("purchase", "visit") for *_, kind, _, _ in did)
            side["spend"] += spend
            side["squares"] += spend * spend
        return sides

    def attributed(self, windows: dict[str, timedelta], others: list[tuple[str, Any]]) -> tuple[int, int, float]:
        """By hand: each purchase goes to the newest open contact before it, of this campaign or of another."""
        found = []
        for person, records in self.records.items():
            if not any(record in records for record, _, _ in self.decisions):
                continue
            touches = [(at, "spring") for record, arm, at in self.decisions if arm == "contact" and record in records]
            touches += [(at, "other") for record, at in others if record in records]
            for record, _, at, kind, currency, amount in self.done:
                if record in records and kind == "purchase":
                    near = [each for each in sorted(touches) if each[0] < at <= each[0] + windows[each[1]]]
                    if near and near[-1][1] == "spring":
                        found.append((person, amount if currency == "KRW" else 0.0))
        return len(found), len({person for person, _ in found}), sum(amount for _, amount in found)

    async def settle(self, database: Database) -> None:
        async with database.transaction() as tx:
            await tx.copy(
                "customer",
                ("customer_id", "unit", "version", "linked", "body", "person_id"),
                [
                    (record, 0, 1, records if len(records) > 1 else [], b"{}", person)
                    for person, records in self.records.items()
                    for record in records
                ],
            )
            await tx.copy("decision", DECISION, [self._decision(n, *each) for n, each in enumerate(self.decisions)])
            await tx.copy(
                "done",
                (*("customer_id", "event_id", "at", "type", "currency", "amount"), *NOTHING),
                [(*each, 0, "", "", 0, each[-1]) for each in self.done],
            )

    @staticmethod
    def _decision(number: int, record: str, arm: str, at: Any) -> tuple[Any, ...]:
        ids = (clock.derived_id("decision", number), 0, str(number), "spring", 1, record, f"then-{record}")
        return (*ids, *OUTCOMES[arm], "sms", "20" if arm == "contact" else "0", "e", "r", at, b"[]")


SIDES = ("contact", "holdout")
COUNTS = ("people", "contacted", "responded", "purchase", "visit", "spend", "squares")
OUTCOMES = {"contact": ("contact", "channel"), "capped": ("denied", "cap"), "holdout": ("holdout", "holdout")}
NOTHING = ("unit", "branch", "channel", "margin", "unmargined")
DECISION = (
    *("decision_id", "unit", "trigger_id", "campaign_id", "campaign_version", "customer_id", "person_id"),
    *("outcome", "gate", "channel", "cost", "event_id", "rule_id", "decided_at", "trace"),
)


@pytest.mark.parametrize("seed", range(3))
async def test_the_report_is_what_adding_up_by_hand_gives(served: tuple[FastAPI, Database], seed: int) -> None:
    app, database = served
    town = Town(seed, 400)
    await call(app, "POST", "/v1/campaigns", json=SPRING)
    await town.settle(database)
    answer = await call(app, "GET", "/v1/campaigns/spring/report")
    assert answer.status_code == 200, answer.text
    report = answer.json()
    treated, held_out = (town.expected()[arm] for arm in SIDES)
    assert (report["people"]["treated"], report["people"]["held_out"]) == (treated["people"], held_out["people"])
    for name in ("purchase", "visit"):
        lift = report["comparison"][name]
        assert lift["treated"] == pytest.approx(treated[name] / treated["people"])
        assert lift["held_out"] == pytest.approx(held_out[name] / held_out["people"])
    spend = report["comparison"]["spend"]
    means = [side["spend"] / side["people"] for side in (treated, held_out)]
    assert spend["fixed"]["estimate"] == pytest.approx(means[0] - means[1])
    assert spend["fixed"]["high"] - spend["fixed"]["low"] == pytest.approx(2 * 1.96 * _error(town), rel=0.02)
    assert report["money"]["currency"] == "KRW"
    assert report["target"]["actual_percent"] == pytest.approx(100 * treated["responded"] / treated["contacted"])
    assert report["target"]["contacted"] == treated["contacted"] < treated["people"]
    assert report["target"]["break_even_percent"] == pytest.approx(100 * 20 / 9000)


def _error(town: Town) -> float:
    total = 0.0
    for side in town.expected().values():
        mean = side["spend"] / side["people"]
        total += (side["squares"] / side["people"] - mean * mean) / side["people"]
    return sqrt(total)


async def test_each_purchase_goes_back_to_the_newest_contact_whose_window_is_open(
    served: tuple[FastAPI, Database],
) -> None:
    app, database = served
    town = Town(11, 300)
    other = SPRING | {"id": "other", "goal": GOAL | {"within": "3d"}}
    for document in (SPRING, other):
        await call(app, "POST", "/v1/campaigns", json=document)
    # What has ended goes on claiming what its window covers.
    assert (await call(app, "POST", "/v1/campaigns/other/activate")).status_code == 200
    assert (await call(app, "POST", "/v1/campaigns/other/retire")).status_code == 200
    await town.settle(database)
    others = [(f"c{number}a", town._at(20)) for number in range(0, 300, 2)]
    rows = [town._decision(10_000 + number, record, "contact", at) for number, (record, at) in enumerate(others)]
    async with database.transaction() as tx:
        await tx.copy("decision", DECISION, [(*row[:3], "other", *row[4:]) for row in rows])
    found = (await call(app, "GET", "/v1/campaigns/spring/report")).json()["attributed"]
    responses, people, amount = town.attributed({"spring": 7 * DAY, "other": 3 * DAY}, others)
    assert 0 < people < responses
    assert (found["responses"], found["people"], found["window_days"]) == (responses, people, 7.0)
    assert found["amount"] == pytest.approx(amount)


async def test_a_person_who_turns_out_to_be_two_is_counted_as_two(served: tuple[FastAPI, Database]) -> None:
    app, database = served
    town = Town(7, 60)
    await call(app, "POST", "/v1/campaigns", json=SPRING)
    await town.settle(database)
    people = (await call(app, "GET", "/v1/campaigns/spring/report")).json()["people"]
    async with database.transaction() as tx:
        await tx.execute("UPDATE customer SET person_id = customer_id, linked = '{}'")
    apart = (await call(app, "GET", "/v1/campaigns/spring/report")).json()["people"]
    decided = {record for record, _, _ in town.decisions}
    assert sum(people[side] for side in ("treated", "held_out")) == 60
    assert sum(apart[side] for side in ("treated", "held_out")) == len(decided) > 60


async def test_without_people_left_alone_nothing_is_compared(served: tuple[FastAPI, Database]) -> None:
    app, _ = served
    await call(app, "POST", "/v1/campaigns", json=SPRING)
    report = (await call(app, "GET", "/v1/campaigns/spring/report")).json()
    assert report["comparison"] is None
    nobody = {"treated": 0, "held_out": 0, "left_out": 0, "p_value": None, "are_as_planned": None}
    assert report["people"] == nobody


async def test_versions_that_hold_out_another_share_are_left_out(served: tuple[FastAPI, Database]) -> None:
    app, database = served
    town = Town(3, 200)
    await call(app, "POST", "/v1/campaigns", json=SPRING)
    await write(app, {"holdout_percent": 5})
    assert (await call(app, "POST", "/v1/campaigns/spring/activate", json={"version": 2})).status_code == 200
    await town.settle(database)
    async with database.transaction() as tx:
        await tx.execute("UPDATE decision SET campaign_version = 2 WHERE customer_id LIKE 'c1%'")
    people = (await call(app, "GET", "/v1/campaigns/spring/report")).json()["people"]
    assert people["left_out"] + people["treated"] + people["held_out"] == 200
    assert people["left_out"] == sum(not name.startswith("p1") for name in town.records)


async def test_a_draft_changes_nothing_of_what_the_campaign_in_force_is_held_against(
    served: tuple[FastAPI, Database],
) -> None:
    app, _ = served
    await call(app, "POST", "/v1/campaigns", json=SPRING)
    await call(app, "POST", "/v1/campaigns/spring/activate")
    await write(app, {"goal": GOAL | {"target_percent": 1}})
    report = (await call(app, "GET", "/v1/campaigns/spring/report")).json()
    assert (report["version"], report["target"]["target_percent"]) == (1, 10)


async def test_a_report_on_many_people_among_many_customers_comes_in_seconds(served: tuple[FastAPI, Database]) -> None:
    app, database = served
    town = Town(5, 5_000)
    await call(app, "POST", "/v1/campaigns", json=SPRING)
    await town.settle(database)
    async with database.transaction() as tx:
        # As the server does by itself when a table has grown.
        await tx.execute("ANALYZE")
    report = (await call(app, "GET", "/v1/campaigns/spring/report")).json()
    assert report["people"]["treated"] == town.expected()["contact"]["people"]
    assert report["attributed"]["people"] > 0


async def test_a_campaign_without_a_goal_has_no_report_and_the_answer_says_what_to_write(
    served: tuple[FastAPI, Database],
) -> None:
    app, _ = served
    await call(app, "POST", "/v1/campaigns", json={key: value for key, value in SPRING.items() if key != "goal"})
    found = await call(app, "GET", "/v1/campaigns/spring/report")
    assert found.status_code == 409
    assert '"goal"' in found.json()["detail"]
    assert (await call(app, "GET", "/v1/campaigns/autumn/report")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"within": "two weeks"}, "#/goal/within"),
        ({"until": "soon"}, "#/goal/until"),
        ({"target_percent": 0}, "#/goal/target_percent"),
        ({"response_value": "-1"}, "#/goal/response_value"),
        ({"surprise": 1}, "#/goal/surprise"),
    ],
)
async def test_a_goal_that_cannot_be_meant_is_refused_at_its_place(
    served: tuple[FastAPI, Database], wrong: dict[str, Any], pointer: str
) -> None:
    app, _ = served
    found = await call(app, "POST", "/v1/campaigns", json=SPRING | {"goal": GOAL | wrong})
    assert found.status_code == 422
    assert [each["pointer"] for each in found.json()["errors"]] == [pointer]

"""Do live, backtest and brute force agree over a shop's whole year, and over a month of the demo? `make soak` asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from libs.common import progress
from libs.common.kafka import Record
from libs.common.topics import EVENT_RESOLVED, partition_of
from services.rules.backtest.running import run
from services.rules.backtest.shapes import Told
from tests import histories
from tests.backtest_live import Given, emitted
from tests.histories import Document
from tests.integration.test_rules_backtest import asked, task_of, until
from tests.rules_place import UNITS, Place, activate, opened, running
from tests.soaking import soaks

Firings = set[tuple[str, str, str]]


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


def year() -> list[Document]:
    if not histories.TABLE.is_file():
        pytest.skip(f"{histories.TABLE} is not there; DANGOL_DATA may name the folder of data")
    return histories.retail()


def month() -> list[Document]:
    return histories.town(30, 600)


@pytest.mark.skipif(not soaks(), reason="takes minutes: make soak runs it")
@pytest.mark.parametrize(
    ("history", "rules", "every_days"),
    [
        (year, histories.rules("purchase", "refund", 500), 7),
        (month, histories.rules("purchase", "product_view", 20_000), 1),
    ],
    ids=["a-shop-s-year", "a-month-of-the-demo"],
)
async def test_live_backtest_and_brute_force_agree_over_a_whole_history(
    place: Place, history: Callable[[], list[Document]], rules: list[Document], every_days: int
) -> None:
    events = history()
    began = time.perf_counter()
    live = await lived(place, rules, events, every_days)
    took = {"live": time.perf_counter() - began}
    async with running(place) as client:
        answers = [await asked(client, rule=rule, overlap=False, examples=0) for rule in rules]
        whole = [await until(client, each["id"], "finished", "failed") for each in answers]
    backtested = {rule["id"]: await fired(place, rule) for rule in rules}
    counted = await asyncio.to_thread(histories.by_brute_force, rules, events, every_days)
    took["brute force"] = time.perf_counter() - began - took["live"]
    print(f"\n{len(events):,} events of {histories.span_of(events).days} days; seconds: {took}")
    differing: list[str] = []
    for rule, answer in zip(rules, whole, strict=True):
        expected = {each for each in counted if each[0] == rule["id"]}
        report = answer["report"]
        print(f"{rule['id']}: {len(expected):,} triggers; {report['seconds']} s, {report['events_per_second']:,.0f}/s")
        differing += said(f"{rule['id']} live", {each for each in live if each[0] == rule["id"]}, expected)
        differing += said(f"{rule['id']} backtested", backtested[rule["id"]], expected)
        assert (report["fires"], report["events_read"]) == (len(backtested[rule["id"]]), len(events))
        assert answer["progress"]["messages_read"] == answer["progress"]["messages_total"]
        assert len(expected) > 20, f"{rule['id']} hardly fires, which proves little"
    assert not differing


def said(what: str, found: Firings, expected: Firings) -> list[str]:
    """In what they differ from a brute-force count, if they do."""
    missing, extra = sorted(expected - found), sorted(found - expected)
    return [f"{what}: {len(missing)} missing {missing[:3]}, {len(extra)} extra {extra[:3]}"] if missing or extra else []


async def lived(place: Place, rules: list[Document], events: list[Document], every_days: int) -> Firings:
    """What the live engine emits with the rules in force from the start, let finish before each clock."""
    given = Given(place)
    async with running(place) as client:
        await activate(client, *rules)
        for some, said in histories.steps(events, every_days):
            await given.publish([record_of(event) for event in some])
            await given.settled()
            stamps = [(progress.MARK, progress.stamp(f"profile.apply/{unit}", said)) for unit in range(UNITS)]
            await given.publish([Record(EVENT_RESOLVED.name, u, None, None, [s]) for u in range(UNITS) for s in stamps])
            await given.settled(said)
        return {(each.rule_id, each.customer_id, each.event_id) for each in await emitted(place)}


def record_of(event: Document) -> Record:
    key = event["customer"].encode()
    body = msgspec.json.encode(histories.resolved(event))
    return Record(EVENT_RESOLVED.name, partition_of(key, UNITS), key, body, [])


async def fired(place: Place, rule: Document) -> Firings:
    """All of them, of which the API shows the newest alone."""
    told: list[Told] = []
    await run(task_of(place, rule), told.append)
    return {(rule["id"], each.customer_id, each.event_id) for each in told[-1].examples}

"""Does a backtest of rules that name segments over the real log equal what live emitted?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from libs.common import clock
from libs.common.topics import EVENT_RESOLVED
from services.rules.backtest.running import run
from services.rules.backtest.shapes import Question, Task, Told
from tests.backtest_live import Given, emitted
from tests.integration.test_rules_backtest import Traffic, asked, marks_of, record_of, until
from tests.integration.test_rules_segments import put_in_force
from tests.rules_place import UNITS, Place, activate, opened, running

Document = dict[str, Any]
SEOUL = ZoneInfo("Asia/Seoul")
BOUGHT: Document = {"of": "count", "event": "purchase", "over": {"last": "1d"}}
REGULARS: Document = {
    "id": "regulars",
    "name": "Bought twice within a day",
    "who": [{"measure": BOUGHT, "op": "at_least", "value": 2}],
}
GOLD_REGULARS: Document = {
    "id": "gold-regulars",
    "name": "Regulars who are gold",
    "who": [{"in_segment": "regulars"}, {"field": "profile.tier", "op": "is", "value": "gold"}],
}


def rule(id: str, when: Document, *who: Document) -> Document:
    return {"id": id, "name": "x", "when": when, "who": list(who), "emit": {"trigger": "a.b"}}


VISIT: Document = {"type": "event", "event": "visit"}
RULES = [
    rule("comes-in", {"type": "segment", "segment": "regulars", "moves": "in"}),
    rule("falls-out", {"type": "segment", "segment": "gold-regulars", "moves": "out"}),
    rule(
        "visits-as-new-gold",
        VISIT,
        {"in_segment": "regulars"},
        {"field": "profile.tier", "op": "changed_within", "value": "12h"},
    ),
]


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def trigger_ids(place: Place, wanted: Document) -> list[str]:
    """All of them, of which the API shows the newest alone."""
    question = Question(
        rule=msgspec.Raw(msgspec.json.encode(wanted)),
        since=clock.from_ms(0),
        until=clock.now() + timedelta(minutes=1),
        company_zone=place.settings.company_zone,
        examples=1_000_000,
        grace_seconds=0,
        segments={each["id"]: msgspec.Raw(msgspec.json.encode(each)) for each in (REGULARS, GOLD_REGULARS)},
    )
    settings, told = place.settings, list[Told]()
    task = Task(question, settings.kafka_bootstrap, settings.topic_prefix, EVENT_RESOLVED.name, UNITS, 256)
    await run(task, told.append)
    return sorted(each.trigger_id for each in told[-1].examples)


async def test_a_backtest_of_rules_that_name_segments_equals_what_live_emitted(place: Place) -> None:
    """Live is let finish what was given before the clock is moved on: events that come in after a clock are late."""
    traffic, given = Traffic(11), Given(place)
    begins = clock.now_ms() - 3 * 86_400_000
    async with running(place) as client:
        await put_in_force(client, REGULARS, GOLD_REGULARS)
        await activate(client, *RULES)
        for batch in range(12):
            now_ms = begins + batch * 5 * 3_600_000
            await given.publish([record_of(traffic.event(now_ms + number)) for number in range(120)])
            await given.settled()
            await given.publish(marks_of(now_ms))
            await given.settled(now_ms)
        live = await emitted(place)
        found = [await asked(client, rule=each, overlap=False, examples=0) for each in RULES]
        whole = [await until(client, each["id"], "finished", "failed") for each in found]
    nights = [each for each in live if each.occurred_at.astimezone(SEOUL).time() == time()]
    assert "falls-out" in {each.rule_id for each in nights}, "nobody fell out by the mere passing of time"
    assert {each["id"] for each in RULES} == {each.rule_id for each in live}, "a rule that never fires proves nothing"
    for each, answer in zip(RULES, whole, strict=True):
        expected = sorted(trigger.trigger_id for trigger in live if trigger.rule_id == each["id"])
        assert await trigger_ids(place, each) == expected, each["id"]
        assert answer["report"]["fires"] == len(expected)

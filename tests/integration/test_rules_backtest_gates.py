"""Does a backtest say what the campaign's gates would have done, as they did live, and what without campaign?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest

from deploy.local.settings import ROOT
from libs.common import clock
from libs.common.events import Consent, EventResolved, Fact, ProfileUpdated
from libs.common.kafka import Publisher, Record
from libs.common.topics import EVENT_RESOLVED, PROFILE_UPDATED, partition_of
from tests.stack import Stack

SECONDS_MAX = 60.0
VISIT: dict[str, Any] = {
    "id": "any-visit",
    "name": "Any visit",
    "when": {"type": "event", "event": "visit"},
    "emit": {"trigger": "a.visit"},
}
LETTER: dict[str, Any] = {
    "id": "letter",
    "name": "Letter",
    "trigger": "a.visit",
    "channel": "email",
    "template": "t",
    "cap": {"times": 1, "per": "7d"},
    "holdout_percent": 25,
    "cost": "0.5",
}
PEOPLE = 24


@pytest.fixture
def stack(tmp_path: Path, postgres_url: str, kafka_bootstrap: str) -> Iterator[Stack]:
    made = Stack(tmp_path, database_url=postgres_url, kafka_bootstrap=kafka_bootstrap, partitions=2)
    made.prepare()
    yield made
    made.discard()


class Caller:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def __call__(self, method: str, service: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._stack.tokens['admin']}"}
        with httpx2.Client(base_url=self._stack.urls[service], headers=headers, timeout=SECONDS_MAX) as client:
            answer = client.request(method, path, **more)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def backtest(self, **question: Any) -> dict[str, Any]:
        since = (clock.now() - timedelta(days=1)).isoformat()
        asked = self("POST", "rules", "/v1/rules/backtests", json={"from": since, "overlap": False, **question})

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self("GET", "rules", f"/v1/rules/backtests/{asked['id']}")
            return found if found["state"] not in ("queued", "running") else None

        found: dict[str, Any] = waited(ended)
        assert found["state"] == "finished", found["error"]
        return found


def waited(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


def give(stack: Stack, *events: Fact) -> None:
    async def publish() -> None:
        publisher = Publisher(stack.kafka_bootstrap, prefix=stack.topic_prefix)
        await publisher.start()
        records = []
        for event in events:
            topic = PROFILE_UPDATED if isinstance(event, ProfileUpdated) else EVENT_RESOLVED
            key = topic.key(event).encode()
            records.append(Record(topic.name, partition_of(key, 2), key, msgspec.json.encode(event), []))
        await publisher.publish(records)
        await publisher.stop()

    asyncio.run(publish())


def asked(stack: Stack, sql: str) -> list[tuple[Any, ...]]:
    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(stack.database_url_of("campaign"))
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def visit(customer: str) -> EventResolved:
    now = clock.now()
    return EventResolved(str(clock.new_id()), customer, customer, "visit", "test", now, clock.to_ms(now))


def person(customer: str, *, agreed: bool) -> ProfileUpdated:
    consent = Consent(agreed, clock.now() - timedelta(hours=1))
    return ProfileUpdated(customer, customer, 1, {"email": "a@example.org"}, {"email": consent}, "Asia/Seoul")


def test_what_a_backtest_says_of_the_gates_is_what_they_did_live(stack: Stack) -> None:
    stack.launch("rules", "campaign")
    stack.wait_ready("rules", "campaign")
    call = Caller(stack)
    for service, plural, document in (("rules", "rules", VISIT), ("campaign", "campaigns", LETTER)):
        call("POST", service, f"/v1/{plural}", json=document)
        call("POST", service, f"/v1/{plural}/{document['id']}/activate", json={})
    people = [person(f"c{number}", agreed=number % 3 > 0) for number in range(PEOPLE)]
    give(stack, *people)
    waited(lambda: asked(stack, "SELECT count(*)::int FROM customer") == [(PEOPLE,)])
    for _ in range(2):
        give(stack, *(visit(each.customer_id) for each in people))
    waited(lambda: asked(stack, "SELECT count(*)::int FROM decision") == [(2 * PEOPLE,)])
    live = asked(stack, "SELECT outcome, gate, count(*)::int FROM decision GROUP BY 1, 2")
    contacts = {each for (each,) in asked(stack, "SELECT person_id FROM decision WHERE outcome = 'contact'")}

    found = call.backtest(rule_id="any-visit", campaign="letter")
    gates = found["report"]["gates"]
    assert found["report"]["fires"] == gates["firings"] == 2 * PEOPLE and gates["share"] == 1
    outcomes: Counter[str] = Counter()
    for outcome, _, count in live:
        outcomes[outcome] += count
    assert gates["outcomes"] == dict(outcomes) and gates["people"] == len(contacts) > 0
    stopped = {(each["gate"], each["stopped"]) for each in gates["gates"] if each["stopped"]}
    assert stopped == {(gate, count) for outcome, gate, count in live if outcome != "contact"}
    assert sum(day["contact"] for day in gates["days"]) == outcomes["contact"]
    assert float(gates["cost"]) == 0.5 * outcomes["contact"] and gates["warnings"] == []
    shown = {(each["outcome"], each["gate"]) for each in found["gate_examples"]}
    assert shown == {(outcome, gate) for outcome, gate, _ in live}
    assert found["campaign"] == "letter" and all("fate" not in each for each in found["examples"])

    other = call.backtest(rule_id="any-visit", campaign={**LETTER, "trigger": "other.one", "holdout_percent": 0})
    assert "listens to other.one" in other["report"]["gates"]["warnings"][0]
    assert "holdout" not in other["report"]["gates"]["outcomes"]
    absent = call.backtest(rule_id="any-visit", campaign="no-such")
    assert "404" in absent["report"]["gates"]["unavailable"] and absent["report"]["fires"] == 2 * PEOPLE

    command = [sys.executable, "-m", "deploy.demo.backtest", "any-visit", "--campaign", "letter"]
    done = subprocess.run(
        command, cwd=ROOT, env=stack.variables(), capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{2 * PEOPLE:,}  fired" in done.stdout and f"{outcomes['contact']:,}  contacted" in done.stdout
    assert "consent      stopped" in done.stdout


def test_without_campaign_the_report_comes_and_says_why_the_gates_are_not_in_it(stack: Stack) -> None:
    give(stack, visit("c1"), visit("c2"))
    stack.launch("rules")
    stack.wait_ready("rules")
    call = Caller(stack)
    found = call.backtest(rule=VISIT, campaign="letter")
    assert found["report"]["fires"] == 2
    assert "campaign does not answer" in found["report"]["gates"]["unavailable"]
    assert call.backtest(rule=VISIT)["report"]["gates"] is None

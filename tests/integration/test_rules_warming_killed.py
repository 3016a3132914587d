"""Does a rule learn of the past although its service is killed again and again while it does?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventResolved, RuleTriggered
from libs.common.kafka import Publisher, Record
from libs.common.topics import EVENT_RESOLVED, TRIGGERED, partition_of
from tests.log_reading import everything
from tests.stack import Stack

UNITS = 2
CUSTOMERS = 2_600
"""With two visits each they are too many to be read beside the service."""
SECONDS_MAX = 60.0
THIRD: dict[str, Any] = {
    "id": "third-visit",
    "name": "The third visit in a month",
    "when": {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "30d"}}, "reaches": 3},
    "emit": {"trigger": "a.b"},
}


@pytest.fixture
def stack(tmp_path: Path, postgres_url: str, kafka_bootstrap: str) -> Iterator[Stack]:
    made = Stack(tmp_path, database_url=postgres_url, kafka_bootstrap=kafka_bootstrap, partitions=UNITS)
    made.prepare()
    yield made
    made.discard()


async def give(stack: Stack, customers: list[str], count: int) -> None:
    publisher = Publisher(stack.kafka_bootstrap, prefix=stack.topic_prefix)
    await publisher.start()
    now, records = clock.now(), []
    for customer in customers:
        for number in range(count):
            at = now - timedelta(hours=number)
            event = EventResolved(str(clock.new_id()), customer, customer, "visit", "test", at, clock.to_ms(now))
            key = customer.encode()
            records.append(Record(EVENT_RESOLVED.name, partition_of(key, UNITS), key, msgspec.json.encode(event)))
    await publisher.publish(records)
    await publisher.stop()


async def states_of(stack: Stack) -> set[str]:
    connection = await asyncpg.connect(stack.database_url_of("rules"))
    try:
        return {row["state"] for row in await connection.fetch("SELECT DISTINCT state FROM warming")}
    finally:
        await connection.close()


def reached(stack: Stack, *states: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not asyncio.run(states_of(stack)) & set(states):
        assert time.monotonic() < deadline, f"never came to {states}"


def test_a_service_that_is_killed_while_rules_learn_loses_and_doubles_nothing(stack: Stack) -> None:
    customers = [str(clock.new_id()) for _ in range(CUSTOMERS)]
    asyncio.run(give(stack, customers, 2))
    stack.launch("rules")
    stack.wait_ready("rules")
    headers = {"Authorization": f"Bearer {stack.tokens['marketer']}"}
    with httpx2.Client(base_url=stack.urls["rules"], headers=headers) as client:
        assert client.post("/v1/rules", json=THIRD).status_code == 201
        assert client.post("/v1/rules/third-visit/activate", json={}).status_code == 200
    # Each time as soon as it has come so far, or further: it is asked, it is read, and it is taken over.
    for states in (("asked", "reading", "read", "ready"), ("reading", "read", "ready"), ("read", "ready")):
        reached(stack, *states)
        stack.kill("rules")
        stack.launch("rules")
    stack.wait_ready("rules")
    deadline = time.monotonic() + 2 * SECONDS_MAX
    while asyncio.run(states_of(stack)) != {"ready"}:
        assert time.monotonic() < deadline, "it never learned"
        time.sleep(0.1)
    asyncio.run(give(stack, customers, 1))
    fired = asyncio.run(
        everything(
            stack.kafka_bootstrap,
            stack.topic_prefix,
            TRIGGERED.name,
            range(UNITS),
            number=CUSTOMERS,
            wanted=lambda message: message.value is not None,
        )
    )
    who = [msgspec.json.decode(each.value or b"", type=RuleTriggered).customer_id for each in fired]
    assert sorted(who) == sorted(customers)

"""Does an operator see how much the engine remembers, and for which aggregate?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.rules_place import VISITS, Place, activate, opened, running

SHOWN = (
    "dangol_rules_state_customers 3.0",
    'dangol_rules_aggregate_customers{aggregate="three-visits"} 3.0',
    'dangol_rules_aggregate_entries{aggregate="three-visits"} 3.0',
)


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def test_of_each_aggregate_it_is_told_how_many_customers_are_in_it(place: Place) -> None:
    async with running(place) as client:
        await activate(client, VISITS)
        for customer in ("mina", "jun", "bora"):
            for _ in range(3):
                await place.give(customer, "visit")
        assert len(await place.triggers(3)) == 3
    async with running(place) as client:
        measured = ""
        async with asyncio.timeout(60):
            while not all(line in measured for line in SHOWN):
                await asyncio.sleep(0.2)
                measured = (await client.get("/metrics")).text
        packed = [line for line in measured.splitlines() if line.startswith("dangol_rules_state_bytes ")]
        assert float(packed[0].split()[1]) > 100

"""Does an event without a person reach everybody once, however often the process dies on the way?"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest

from deploy.local.ports import free_port
from libs.common.events import RuleTriggered
from libs.common.topics import TRIGGERED
from tests.log_reading import everything
from tests.rules_everyone import CLOSING, closes, customers, listed, seen, tell
from tests.rules_place import SECRET, UNITS, Place, activate, opened, running

MEMBERS = 3_000
KILLS = 4
SECONDS_MAX = 120


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


@asynccontextmanager
async def process(place: Place, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as it runs in production; it is killed at the end, if not before."""
    settings = place.settings
    environment = dict(os.environ) | {
        "DANGOL_DATABASE_URL": settings.database_url,
        "DANGOL_DATABASE_PREFIX": settings.database_prefix,
        "DANGOL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "DANGOL_TOPIC_PREFIX": settings.topic_prefix,
        "DANGOL_PARTITIONS": str(UNITS),
        "DANGOL_TOKEN_SECRET": SECRET,
        "DANGOL_RULES_PORT": str(free_port()),
        "DANGOL_FANOUT_CUSTOMERS_PER_SECOND": "200",
        "DANGOL_TIMER_GRACE_SECONDS": "0",
        **more,
    }
    found = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.rules", env=environment)
    try:
        yield found
    finally:
        if found.returncode is None:
            found.kill()
        await found.wait()


async def turns(connection: asyncpg.Connection) -> tuple[int, bool]:
    """How many had their turn, and whether all units are done."""
    row = await connection.fetchrow("SELECT sum(seen)::bigint AS seen, bool_and(state = 'done') AS done FROM fanout")
    assert row is not None
    return row["seen"] or 0, bool(row["done"])


async def until(connection: asyncpg.Connection, number: int, service: asyncio.subprocess.Process) -> bool:
    """Until so many had their turn, or the process has died; true when it is over."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            count, done = await turns(connection)
            if done or count >= number or service.returncode is not None:
                return done
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("crashes", ["", "before_commit:0.2,after_commit:0.2,after_publish:0.2"], ids=["any", "named"])
async def test_a_process_that_is_killed_amid_a_fan_out_leaves_nobody_out_and_nobody_twice(
    place: Place, crashes: str
) -> None:
    names = customers(MEMBERS)
    async with running(place) as client:
        await activate(client, CLOSING)
        await tell(place, *map(seen, names))
        await listed(place, MEMBERS)
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    chance, died = random.Random(crashes), 0
    await tell(place, *closes())
    for number in range(1, KILLS + 1):
        async with process(place, DANGOL_CRASHPOINTS=crashes) as service:
            if await until(connection, MEMBERS * number // (KILLS + 2), service):
                break
            await asyncio.sleep(chance.random() * 0.5)
            died += 1
            if service.returncode is None:
                service.kill()
    assert died == KILLS, "it was over before it could be killed as often as that"
    async with process(place) as service:
        assert await until(connection, MEMBERS * 2, service)
        messages = await everything(
            place.settings.kafka_bootstrap,
            place.settings.topic_prefix,
            TRIGGERED.name,
            range(UNITS),
            number=MEMBERS,
            wanted=lambda message: message.value is not None,
            connection=connection,
        )
    triggers = [msgspec.json.decode(each.value or b"", type=RuleTriggered) for each in messages]
    by_customer = Counter(each.customer_id for each in {each.trigger_id: each for each in triggers}.values())
    assert by_customer == Counter(names)
    fired = await connection.fetchval("SELECT sum(fired)::bigint FROM fanout")
    logged = await connection.fetchval("SELECT count(*) FROM trigger_log")
    assert (fired, logged, (await turns(connection))[0]) == (MEMBERS, MEMBERS, MEMBERS)
    await connection.close()

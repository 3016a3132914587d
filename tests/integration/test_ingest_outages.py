"""What does the front door do while Kafka or PostgreSQL is away, and once it is back?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from tests.ingest_door import fresh, running, until_ready


async def test_while_kafka_is_away_nothing_is_accepted_and_afterwards_everything_again(
    postgres_url: str, fresh_name: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(tmp_path / "kafka", free_port())
    broker.start()
    try:
        async with running(postgres_url, broker.bootstrap, fresh_name, tmp_path) as door:
            assert (await door.send(fresh()))[0] == 202
            broker.kill()
            for _ in range(2):
                began = time.monotonic()
                status, answer = await door.send(fresh())
                assert status == 503 and answer["detail"]
                assert time.monotonic() - began < 4.0
            assert (await door.client.get(f"{door.address}/readyz")).status == 503
            assert (await door.send(fresh(type="nothing")))[0] == 422
            broker.start()
            await until_ready(door)
            async with asyncio.timeout(15):
                while (await door.send(fresh()))[0] != 202:
                    await asyncio.sleep(0.1)
    finally:
        broker.stop()


async def test_while_postgresql_is_away_events_are_accepted_as_before(
    kafka_bootstrap: str, fresh_name: str, tmp_path: Path
) -> None:
    server = PostgresServer(tmp_path / "postgres", free_port(), durable=False)
    server.start()
    try:
        async with running(server.url, kafka_bootstrap, fresh_name, tmp_path) as door:
            server.kill()
            await asyncio.sleep(1.5)
            assert (await door.send(fresh()))[0] == 202
            assert (await door.call("GET", "/v1/keys"))[0] == 503
            server.start()
            async with asyncio.timeout(10):
                while (await door.call("GET", "/v1/keys"))[0] != 200:
                    await asyncio.sleep(0.1)
    finally:
        server.stop(immediate=True)

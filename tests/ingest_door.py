"""How do tests reach a running ingest service? As a process of its own, with a client and a look into the log."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from deploy.local.ports import free_port
from libs.common import clock, migrations
from libs.common.auth import issue_token
from libs.common.kafka import Received, ensure_topics
from libs.common.topics import partition_of
from tests.ingest_events import event
from tests.log_reading import everything

PARTITIONS = 2
SECRET = "a-secret-of-the-tests-0123456789-abcdefgh"
POS, WEB = "dk_pos_0123456789abcdef", "dk_web_0123456789abcdef"


@dataclass
class Door:
    """A running ingest service and a client of it."""

    address: str
    bootstrap: str
    prefix: str
    process: asyncio.subprocess.Process
    client: aiohttp.ClientSession
    environment: dict[str, str] = field(default_factory=dict)
    admin: dict[str, str] = field(
        default_factory=lambda: {"Authorization": f"Bearer {issue_token(SECRET, subject='ada', roles=['admin'])}"}
    )

    async def send(self, body: object, key: str = POS, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and decoded answer; what is not bytes is encoded first."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        whole = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | (headers or {})
        async with self.client.post(f"{self.address}/v1/events", data=io.BytesIO(raw), headers=whole) as answer:
            return answer.status, json.loads(await answer.read())

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self.client.request(method, self.address + path, json=body, headers=self.admin) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def log(self, topic: str, key: bytes | None = None, *, number: int | None = None) -> list[Received]:
        """The messages with this key, at least one unless another `number` is expected; without a key all there are."""
        number = (0 if key is None else 1) if number is None else number
        units = range(PARTITIONS) if key is None else [partition_of(key, PARTITIONS)]
        return await everything(
            self.bootstrap, self.prefix, topic, units, number=number, wanted=lambda each: key in (None, each.key)
        )


def now(offset_seconds: int = 0) -> str:
    return clock.from_ms(clock.now_ms() + offset_seconds * 1000).isoformat()


def fresh(**changes: Any) -> dict[str, Any]:
    return event(**({"time": now()} | changes))


@asynccontextmanager
async def running(
    postgres_url: str,
    bootstrap: str,
    name: str,
    folder: Path,
    *,
    partitions: int = PARTITIONS,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Door]:
    """A service of its own on a fresh database; `more` is added to its environment."""
    prefix = f"{name}_"
    await migrations.upgrade("ingest", database_of(postgres_url, prefix))
    await ensure_topics(bootstrap, prefix=f"{name}.", partitions=partitions)
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"write_keys": {"pos": POS, "web": WEB}}), "utf-8")
    environment = dict(os.environ) | {
        "DANGOL_DATABASE_URL": postgres_url,
        "DANGOL_DATABASE_PREFIX": prefix,
        "DANGOL_KAFKA_BOOTSTRAP": bootstrap,
        "DANGOL_TOPIC_PREFIX": f"{name}.",
        "DANGOL_PARTITIONS": str(partitions),
        "DANGOL_TOKEN_SECRET": SECRET,
        "DANGOL_INGEST_BODY_SECONDS_MAX": "1",
        "DANGOL_WRITE_KEYS_FILE": str(keys),
        "MALLOC_ARENA_MAX": "2",
    }
    process, address = await _started(environment | dict(more or {}))
    try:
        async with aiohttp.ClientSession() as client:
            door = Door(address, bootstrap, f"{name}.", process, client, environment)
            await until_ready(door)
            yield door
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
        await drop_database(postgres_url, f"{prefix}ingest")


@asynccontextmanager
async def another(door: Door, more: Mapping[str, str]) -> AsyncIterator[Door]:
    """A second process of the same service, which may die."""
    process, address = await _started(door.environment | dict(more))
    try:
        second = replace(door, address=address, process=process)
        await until_ready(second)
        yield second
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)


async def _started(environment: Mapping[str, str]) -> tuple[asyncio.subprocess.Process, str]:
    port = free_port()
    environment = dict(environment) | {"DANGOL_INGEST_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.ingest", env=environment)
    return process, f"http://127.0.0.1:{port}"


def database_of(postgres_url: str, prefix: str) -> str:
    return postgres_url.rsplit("/", 1)[0] + f"/{prefix}ingest"


async def drop_database(postgres_url: str, name: str) -> None:
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await server.close()


async def until_ready(door: Door, seconds_max: float = 30.0) -> None:
    async with asyncio.timeout(seconds_max):
        while True:
            try:
                async with door.client.get(f"{door.address}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                assert door.process.returncode is None, "the service has ended"
            await asyncio.sleep(0.05)

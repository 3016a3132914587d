"""What does a test of notify need? The service and the demo providers as processes, and a hand on their seams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.ports import free_port
from libs.common import clock, migrations
from libs.common.auth import issue_token
from libs.common.events import Conditions, Consent, ContactRequested, Fact, ProfileUpdated
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.settings import DatabaseSettings
from libs.common.topics import (
    CONTACT_REQUESTED,
    MESSAGE_SETTLED,
    PROFILE_UPDATED,
    RESPONSE_RECEIVED,
    Topic,
    partition_of,
)

SECRET = "a secret of these tests that is long enough"
UNITS = 2


class Stage:
    """Started by `stage`; everything on it is real but the campaign and profile services, whose topics it writes."""

    def __init__(
        self, postgres_url: str, bootstrap: str, name: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.bootstrap, self.name, self.folder = bootstrap, name, folder
        self.ledger = folder / "ledger.jsonl"
        self.ports = {"notify": free_port(), "smtp": free_port(), "gateway": free_port()}
        self.other_port = free_port()
        self.url = f"http://127.0.0.1:{self.ports['notify']}"
        self.gateway = f"http://127.0.0.1:{self.ports['gateway']}"
        self.publisher = Publisher(bootstrap, prefix=f"{name}.")
        self.settings = DatabaseSettings(database_url=postgres_url, database_prefix=f"{name}_")
        self.session: aiohttp.ClientSession
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            **os.environ,
            "DANGOL_DATABASE_URL": postgres_url,
            "DANGOL_DATABASE_PREFIX": f"{name}_",
            "DANGOL_KAFKA_BOOTSTRAP": bootstrap,
            "DANGOL_TOPIC_PREFIX": f"{name}.",
            "DANGOL_PARTITIONS": str(UNITS),
            "DANGOL_TOKEN_SECRET": SECRET,
            "DANGOL_DEMO": "1",
            "DANGOL_PUBLIC_URL": self.url,
            "DANGOL_NOTIFY_URL": self.url,
            "DANGOL_NOTIFY_PORT": str(self.ports["notify"]),
            "DANGOL_DEMO_SMTP_PORT": str(self.ports["smtp"]),
            "DANGOL_DEMO_GATEWAY_PORT": str(self.ports["gateway"]),
            "DANGOL_PROVIDER_LEDGER": str(self.ledger),
            **environment,
        }

    # --- processes ---------------------------------------------------------------------------------------------

    def run(self, name: str, module: str, **more: str) -> None:
        command = [sys.executable, "-m", module]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, env=self._environment | more, stderr=log, stdout=log)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        process = self._processes.pop(name)
        process.send_signal(number)
        return process.wait(timeout=15)

    def wait(self, name: str) -> int:
        code = self._processes[name].wait(timeout=30)
        del self._processes[name]
        return code

    async def run_notify(self, name: str = "notify", **more: str) -> None:
        self.run(name, "services.notify", **more)
        port = more.get("DANGOL_NOTIFY_PORT", self.ports["notify"])
        await until(lambda: self._is_ready(f"http://127.0.0.1:{port}/readyz"), seconds=30)

    async def _is_ready(self, url: str) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.get(url) as response:
                return response.status == 200
        return False

    async def start(self) -> None:
        await migrations.upgrade("notify", self.settings.database_url_of("notify"))
        await ensure_topics(self.bootstrap, prefix=f"{self.name}.", partitions=UNITS)
        self.session = aiohttp.ClientSession()
        await self.publisher.start()
        self.run("providers", "deploy.local.providers")
        await until(lambda: self._is_ready(f"{self.gateway}/healthz"), seconds=20)

    async def stop(self) -> None:
        for name in list(self._processes):
            self.kill(name, signal.SIGTERM if name != "providers" else signal.SIGKILL)
        await self.publisher.stop()
        await self.session.close()

    # --- topics ------------------------------------------------------------------------------------------------

    async def publish(self, topic: Topic, *facts: Fact) -> None:
        keys = [topic.key(fact).encode() for fact in facts]
        records = [
            Record(topic.name, partition_of(key, UNITS), key, msgspec.json.encode(fact))
            for key, fact in zip(keys, facts, strict=True)
        ]
        await self.publisher.publish(records)

    async def know(self, *profiles: ProfileUpdated) -> None:
        await self.publish(PROFILE_UPDATED, *profiles)

    async def ask(self, *requests: ContactRequested) -> None:
        await self.publish(CONTACT_REQUESTED, *requests)

    async def published(self, topic: Topic) -> list[dict[str, Any]]:
        """Everything on a topic so far."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(f"{self.name}.{topic.name}", unit) for unit in range(UNITS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found = []
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                batches = await consumer.getmany(timeout_ms=200)
                found += [json.loads(each.value) for batch in batches.values() for each in batch if each.value]
        finally:
            await consumer.stop()
        return found

    async def responses(self) -> list[dict[str, Any]]:
        return await self.published(RESPONSE_RECEIVED)

    async def settled(self) -> list[dict[str, Any]]:
        return await self.published(MESSAGE_SETTLED)

    # --- HTTP --------------------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, role: str = "admin", **more: Any) -> tuple[int, Any]:
        token = issue_token(SECRET, subject="test", roles=[role])
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            text = await response.text()
            return response.status, json.loads(text) if text[:1] in ("{", "[") else text

    async def add_template(self, id: str, channel: str, body: str, subject: str = "") -> None:
        document = {"id": id, "channel": channel, "body": body, "subject": subject}
        status, answer = await self.call("POST", "/v1/templates", json=document)
        assert status == 201, answer
        status, answer = await self.call("POST", f"/v1/templates/{id}/activate")
        assert status == 200, answer

    async def state(self, message_id: str) -> str:
        status, answer = await self.call("GET", f"/v1/messages/{message_id}")
        return str(answer["state"]) if status == 200 else ""

    async def reaches(self, message_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        async def reached() -> bool:
            return await self.state(message_id) in states

        await until(reached, seconds=seconds, about=lambda: f"{message_id} never became {' or '.join(states)}")
        return dict((await self.call("GET", f"/v1/messages/{message_id}"))[1])

    async def fault(self, door: str, mode: str, **more: Any) -> None:
        async with self.session.put(f"{self.gateway}/faults/{door}", json={"mode": mode, **more}) as response:
            assert response.status == 200, await response.text()

    def sent(self, message_id: str, kind: str = "accepted") -> int:
        """How often the outside world took it, by the providers' own book."""
        return self.book(kind).count(message_id)

    def book(self, kind: str = "accepted") -> list[str]:
        """Every message that the outside world took, as often as it did."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return [line["message_id"] for line in map(json.loads, lines) if line["kind"] == kind]


async def until(
    check: Callable[[], Awaitable[bool]], *, seconds: float = 60, about: Callable[[], str] = lambda: "never true"
) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, about()
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def stage(postgres_url: str, bootstrap: str, name: str, folder: Path, **environment: str) -> AsyncIterator[Stage]:
    """`environment` holds for all processes on it."""
    made = Stage(postgres_url, bootstrap, name, folder, environment)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def customer(
    name: str = "Kim", *, consents: Sequence[str] = ("email", "sms", "webhook", "call"), **more: Any
) -> ProfileUpdated:
    """Somebody new who has agreed to everything."""
    customer_id = str(clock.new_id())
    at = clock.now() - timedelta(days=1)
    fields: dict[str, Any] = {
        "customer_id": customer_id,
        "person_id": customer_id,
        "version": 1,
        "contacts": {
            "email": f"{customer_id[-12:]}@example.org",
            "phone": "+821012345678",
            "webhook": "https://example.org/h",
        },
        "consents": {channel: Consent(True, at) for channel in consents},
        "attributes": {"name": name},
    }
    return ProfileUpdated(**(fields | more))


def request(
    to: ProfileUpdated, channel: str, template: str, class_: str = "marketing", **more: Any
) -> ContactRequested:
    """A message to them that needs their consent if it is marketing."""
    message_id = str(clock.new_id())
    until_then: datetime = more.pop("valid_until", clock.now() + timedelta(hours=1))
    consents = [channel] if class_ == "marketing" else []
    fields: dict[str, Any] = {
        "message_id": message_id,
        "decision_id": f"d-{message_id}",
        "campaign_id": "welcome",
        "customer_id": to.customer_id,
        "person_id": to.person_id,
        "channel": channel,
        "template": template,
        "class_": class_,
        "conditions": Conditions(valid_until=until_then, consents=consents),
        "requested_at": clock.now(),
        "values": {"amount": 5},
        "received_ms": clock.now_ms(),
    }
    return ContactRequested(**(fields | more))

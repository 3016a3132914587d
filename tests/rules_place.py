"""What do tests of the rules service run it on? Servers with fresh names, and a hand on the clock of its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx2
import msgspec

from libs.common import clock, migrations, progress
from libs.common.auth import issue_token
from libs.common.events import EventResolved, RuleTriggered
from libs.common.kafka import Publisher, Record, UnitReader, ensure_topics
from libs.common.runtime import App, Component
from libs.common.topics import EVENT_RESOLVED, TRIGGERED, dead_letters, partition_of
from services.rules.app import build
from services.rules.settings import RulesSettings

UNITS = 2
SECRET = "an-integration-test-signs-with-this-0123456789"
VISITS = {
    "id": "three-visits",
    "name": "Three visits in a week",
    "when": {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}}, "reaches": 3},
    "emit": {"trigger": "call.adviser", "include": {"visits": "measure.value"}},
}
BASKET = {
    "id": "basket-left",
    "name": "Basket filled, not bought within an hour",
    "when": {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "1h"},
    "who": [{"field": "profile.consent_email", "op": "is", "value": True}],
    "emit": {"trigger": "mail.basket", "include": {"basket": "first.basket_id"}},
}


@dataclass
class Place:
    """The servers with fresh names, and what was published and read so far."""

    settings: RulesSettings
    publisher: Publisher
    read_to: dict[int, dict[str, int]] = field(default_factory=dict)
    readers: dict[int, UnitReader] = field(default_factory=dict)

    async def give(self, customer: str, kind: str, ago_seconds: float = 0, **more: Any) -> None:
        now_ms = clock.now_ms()
        data = more.pop("data", {})
        profile = more.pop("profile", {"consent_email": True})
        event = EventResolved(
            event_id=more.pop("event_id", str(clock.new_id())),
            customer_id=customer,
            person_id=more.pop("person_id", customer),
            type=kind,
            source="test",
            time=more.pop("time", clock.from_ms(now_ms - int(ago_seconds * 1000))),
            received_ms=now_ms,
            data=msgspec.Raw(msgspec.json.encode(data)),
            profile=msgspec.Raw(msgspec.json.encode(profile)),
            **more,
        )
        key = customer.encode()
        unit = partition_of(key, UNITS)
        await self.publisher.publish([Record(EVENT_RESOLVED.name, unit, key, msgspec.json.encode(event), [])])

    async def tell_clock(self, ahead_seconds: float = 0) -> None:
        """What the profile service's units say of themselves: all that was appended until then has been sent."""
        now_ms = clock.now_ms() + int(ahead_seconds * 1000)
        marks = [(progress.MARK, progress.stamp(f"profile.apply/{unit}", now_ms)) for unit in range(UNITS)]
        await self.publisher.publish(
            [Record(EVENT_RESOLVED.name, unit, None, None, [mark]) for unit in range(UNITS) for mark in marks]
        )

    async def triggers(self, count: int, seconds: float = 60.0, quiet_seconds: float = 1.0) -> list[RuleTriggered]:
        """New triggers; waits for `count` of them and then as long as it takes to see that there are no more."""
        found: list[RuleTriggered] = []
        for unit in range(UNITS):
            reader = UnitReader(
                self.settings.kafka_bootstrap,
                unit,
                [TRIGGERED.name],
                aside=dead_letters("rules"),
                prefix=self.settings.topic_prefix,
            )
            self.read_to[unit] = await reader.start(self.read_to.get(unit, {}))
            self.readers[unit] = reader
        try:
            async with asyncio.timeout(seconds):
                while len(found) < count:
                    found += await self._fetch()
        except TimeoutError:
            pass
        await asyncio.sleep(quiet_seconds)
        found += await self._fetch()
        for reader in self.readers.values():
            await reader.stop()
        self.readers.clear()
        return found

    async def _fetch(self) -> list[RuleTriggered]:
        found = []
        for unit, reader in self.readers.items():
            for record in (await reader.fetch(500, 0.1)).get(TRIGGERED.name, []):
                self.read_to[unit][TRIGGERED.name] = record.offset + 1
                if record.value is not None:
                    found.append(msgspec.json.decode(record.value, type=RuleTriggered))
        return found


@asynccontextmanager
async def opened(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, name: str) -> AsyncIterator[Place]:
    settings = RulesSettings(
        database_url=postgres_url,
        database_prefix=f"{name}_",
        kafka_bootstrap=kafka_bootstrap,
        topic_prefix=topic_prefix,
        token_secret=SECRET,  # type: ignore[arg-type]
        partitions=UNITS,
        timer_grace_seconds=0,
    )
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS)
    await migrations.upgrade("rules", settings.database_url_of("rules"))
    publisher = Publisher(kafka_bootstrap, prefix=topic_prefix)
    await publisher.start()
    yield Place(settings, publisher)
    await publisher.stop()
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{name}_rules" WITH (FORCE)')
    await server.close()


@asynccontextmanager
async def running(place: Place) -> AsyncIterator[httpx2.AsyncClient]:
    """The whole service but its socket, and a marketer who calls it."""
    app = await build(place.settings.model_copy(update={"instance_id": str(clock.new_id())}))
    parts: list[Component] = [*app.resources, *app.components, *app.work]
    for part in parts:
        await part.start()
    try:
        async with client_of(app, "marketer") as client:
            yield client
    finally:
        for part in reversed(parts):
            await part.stop()


def client_of(app: App, role: str) -> httpx2.AsyncClient:
    token = issue_token(SECRET, subject=role, roles=[role])
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app.web),
        base_url="http://rules",
        headers={"Authorization": f"Bearer {token}"},
    )


async def activate(client: httpx2.AsyncClient, *documents: dict[str, Any]) -> None:
    for document in documents:
        assert (await client.post("/v1/rules", json=document)).status_code == 201
        assert (await client.post(f"/v1/rules/{document['id']}/activate", json={})).status_code == 200

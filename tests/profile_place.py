"""Where do the tests of profile happen? The whole service in this process, on a real log and a real database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import msgspec
from pytest import MonkeyPatch

from libs.common import clock, migrations
from libs.common.auth import issue_token
from libs.common.events import EventReceived, EventResolved
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.runtime import App
from libs.common.settings import load
from libs.common.topics import EVENT_RECEIVED, EVENT_RESOLVED, Topic, partition_of, strongest_identifier
from services.profile import reading
from services.profile.app import build
from services.profile.person import Definitions
from services.profile.settings import ProfileSettings
from services.profile.store import identity as store
from tests.log_reading import everything

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
UNITS = 2


@dataclass
class Profile:
    """The service's workers in this process, a way to send it events, and to see what it knows and says."""

    publisher: Publisher
    connection: Any
    bootstrap: str
    prefix: str
    app: App
    client: httpx2.AsyncClient

    async def send(
        self, *events: EventReceived, bodies: Sequence[bytes] = (), headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        encoded = list(bodies) or [msgspec.json.encode(event) for event in events]
        records = []
        for event, body in zip(events, encoded, strict=True):
            key = strongest_identifier(event).encode()
            records.append(Record(EVENT_RECEIVED.name, partition_of(key, UNITS), key, body, list(headers)))
        await self.publisher.publish(records)

    async def customer(self, key: str) -> dict[str, Any] | None:
        records = await store.records_of(self.connection, key=key)
        return await reading.customer(self.connection, records[0], records, Definitions()) if records else None

    async def until(self, key: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The customer once the condition holds; a field that is not there yet is waited for as well."""
        async with asyncio.timeout(60):
            while True:
                found = await self.customer(key)
                with contextlib.suppress(KeyError):
                    if found is not None and condition(found):
                        return found
                await asyncio.sleep(0.05)

    async def asked(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "admin",
        branch: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> httpx2.Response:
        """The answer of the API, whatever it is, to somebody with this role."""
        token = issue_token(SECRET, subject=f"the-{role}", roles=[role], branch=branch)
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        return await self.client.request(method, path, json=body, params=query, headers=sent)

    async def told(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The decoded answer; anything but 2xx is an AssertionError that shows the problem."""
        answer = await self.asked(method, path, body, **how)
        assert 200 <= answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json()

    async def restart(self) -> None:
        """As if somebody else had had the units for a moment: what is kept in memory is read again."""
        await self.connection.execute("UPDATE worker_unit SET epoch = epoch + 1, lease_until = now()")

    async def resolved(self, number: int = 0) -> list[EventResolved]:
        found = await self.log(EVENT_RESOLVED, number)
        return [msgspec.json.decode(each.value, type=EventResolved) for each in found]

    async def log(self, topic: Topic | str, number: int = 0) -> list[Any]:
        """All that was committed for this topic but tombstones; waits for `number` where that is still to come."""
        name = topic if isinstance(topic, str) else topic.name
        return await everything(
            self.bootstrap,
            self.prefix,
            name,
            range(UNITS),
            number=number,
            wanted=lambda record: record.value is not None,
            connection=self.connection,
        )


@contextlib.asynccontextmanager
async def running(
    kafka_bootstrap: str, postgres_url: str, name: str, *, more: Mapping[str, str] | None = None
) -> AsyncIterator[Profile]:
    """`name` is fresh and names the database and the topics; `more` are settings by their variables."""
    prefix = f"{name}."
    variables = {
        "DANGOL_DATABASE_URL": postgres_url,
        "DANGOL_DATABASE_PREFIX": f"{name}_",
        "DANGOL_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "DANGOL_TOPIC_PREFIX": prefix,
        "DANGOL_PARTITIONS": str(UNITS),
        "DANGOL_TOKEN_SECRET": SECRET,
        **(more or {}),
    }
    with MonkeyPatch.context() as patched:
        for variable, value in variables.items():
            patched.setenv(variable, value)
        settings = load(ProfileSettings)
    url = settings.database_url_of("profile")
    await ensure_topics(kafka_bootstrap, prefix=prefix, partitions=UNITS)
    await migrations.upgrade("profile", url)
    app = await build(settings)
    parts = [*app.resources, *app.components, *app.work]
    for part in parts:
        await part.start()
    publisher = Publisher(kafka_bootstrap, prefix=prefix)
    await publisher.start()
    connection = await asyncpg.connect(url)
    transport = httpx2.ASGITransport(app=app.web)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://profile") as client:
            yield Profile(publisher, connection, kafka_bootstrap, prefix, app, client)
    finally:
        await connection.close()
        await publisher.stop()
        for part in reversed(parts):
            await part.stop()
        server = await asyncpg.connect(postgres_url)
        with contextlib.suppress(asyncpg.PostgresError):
            await server.execute(f'DROP DATABASE "{name}_profile" WITH (FORCE)')
        await server.close()


def happened(
    kind: str,
    data: Mapping[str, Any] | None = None,
    *,
    at: datetime | None = None,
    source: str = "store-1/pos-1",
    channel: str = "pos",
    branch: str | None = None,
    **identifiers: str,
) -> EventReceived:
    """An event with an id of its own."""
    raw = msgspec.Raw(msgspec.json.encode(data or {}))
    return EventReceived(
        str(clock.new_id()), source, kind, at or clock.now(), channel, identifiers, branch=branch, data=raw
    )


def purchase(id_: str, amount: int = 1000, *, minutes_ago: int = 0, **identifiers: str) -> EventReceived:
    return EventReceived(
        id_,
        "store-1/pos-1",
        "purchase",
        clock.now() - timedelta(minutes=minutes_ago),
        "pos",
        identifiers,
        data=msgspec.Raw(msgspec.json.encode({"amount": amount, "currency": "KRW"})),
    )

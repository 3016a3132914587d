"""Does profile put real events from the real log to the right person, once, whatever door or order they came by?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.common import clock, migrations
from libs.common.events import EventReceived, EventResolved, ProfileUpdated
from libs.common.kafka import Publisher, Record, UnitReader, ensure_topics
from libs.common.settings import load
from libs.common.topics import (
    EVENT_RECEIVED,
    EVENT_RESOLVED,
    PROFILE_UPDATED,
    Topic,
    dead_letters,
    partition_of,
    strongest_identifier,
)
from services.profile import reading
from services.profile.app import build
from services.profile.person import Definitions
from services.profile.settings import ProfileSettings
from services.profile.store import arrivals
from services.profile.store import identity as store

UNITS = 2


@dataclass
class Profile:
    """The service's workers in this process, a way to send it events, and to see what it knows and says."""

    publisher: Publisher
    connection: Any
    bootstrap: str
    prefix: str

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
        async with asyncio.timeout(20):
            while True:
                found = await self.customer(key)
                if found is not None and condition(found):
                    return found
                await asyncio.sleep(0.05)

    async def log(self, topic: Topic | str) -> list[Any]:
        name = topic if isinstance(topic, str) else topic.name
        found = []
        for unit in range(UNITS):
            reader = UnitReader(self.bootstrap, unit, [name], aside=EVENT_RECEIVED.name, prefix=self.prefix)
            await reader.start({})
            while fetched := await reader.fetch(1000, 0.3):
                found += [record for record in fetched.get(name, []) if record.value is not None]
            await reader.stop()
        return found


@pytest.fixture
async def profile(
    kafka_bootstrap: str, postgres_url: str, fresh_name: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Profile]:
    prefix = f"{fresh_name}."
    monkeypatch.setenv("DANGOL_DATABASE_URL", postgres_url)
    monkeypatch.setenv("DANGOL_DATABASE_PREFIX", f"{fresh_name}_")
    monkeypatch.setenv("DANGOL_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("DANGOL_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("DANGOL_PARTITIONS", str(UNITS))
    monkeypatch.setenv("DANGOL_TOKEN_SECRET", "0123456789abcdefghijklmnopqrstuvwxyz")
    settings = load(ProfileSettings)
    url = settings.database_url_of("profile")
    await ensure_topics(kafka_bootstrap, prefix=prefix, partitions=UNITS)
    await migrations.upgrade("profile", url)
    app = await build(settings)
    parts = [*app.resources, *app.components]
    for part in parts:
        await part.start()
    publisher = Publisher(kafka_bootstrap, prefix=prefix)
    await publisher.start()
    connection = await asyncpg.connect(url)
    yield Profile(publisher, connection, kafka_bootstrap, prefix)
    await connection.close()
    await publisher.stop()
    for part in reversed(parts):
        await part.stop()
    server = await asyncpg.connect(postgres_url)
    with contextlib.suppress(asyncpg.PostgresError):
        await server.execute(f'DROP DATABASE "{fresh_name}_profile" WITH (FORCE)')
    await server.close()


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


async def test_events_of_one_card_add_up_and_a_repeat_has_no_second_effect(profile: Profile) -> None:
    first, second = purchase("1", 1000, loyalty_card="c"), purchase("2", 500, loyalty_card="c")
    await profile.send(first, second, first)
    await profile.send(first)
    await profile.send(purchase("3", 1, loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 3)
    assert found["purchases"]["spent"] == {"KRW": "1501"}
    assert len(await profile.log(EVENT_RESOLVED)) == 3


async def test_the_same_id_with_another_body_is_a_conflict_without_effect(profile: Profile) -> None:
    event = purchase("1", 1000, loyalty_card="c")
    other = msgspec.structs.replace(event, data=msgspec.Raw(b'{"amount": 9, "currency": "KRW"}'))
    await profile.send(event)
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    await profile.send(other, purchase("2", 10, loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 2)
    assert found["purchases"]["spent"] == {"KRW": "1010"}
    [row] = await arrivals.conflicts_page(profile.connection, None, 10)
    assert (row["source"], row["event_id"], row["body"]) == ("store-1/pos-1", "1", msgspec.json.encode(other))


async def test_an_event_with_two_known_customers_makes_them_one_person(profile: Profile) -> None:
    await profile.send(purchase("1", 10, loyalty_card="c"), purchase("2", 5, phone="010-1234-5678"))
    card = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    phone = await profile.until("phone:+821012345678", lambda c: c["profile"]["purchase_count"] == 1)
    assert card["person_id"] != phone["person_id"]
    await profile.send(purchase("3", 1, loyalty_card="c", phone="+82 10 1234 5678"))
    merged = await profile.until("phone:+821012345678", lambda c: c["profile"]["purchase_count"] == 3)
    assert merged["purchases"]["spent"] == {"KRW": "16"}
    assert set(merged["records"]) == {card["customer_id"], phone["customer_id"]}
    assert merged["person_id"] in (card["person_id"], phone["person_id"])


async def test_what_goes_into_the_history_names_and_locates_nobody(profile: Profile) -> None:
    event = EventReceived(
        "1",
        "web",
        "identify",
        clock.now(),
        "web",
        {"account": "a", "email": "someone@example.com"},
        data=msgspec.Raw(b'{"traits": {"first_name": "Someone", "tier": "gold", "phone": "+821099998888"}}'),
    )
    await profile.send(event)
    await profile.until("account:a", lambda c: c["profile"].get("tier") == "gold")
    [resolved] = await profile.log(EVENT_RESOLVED)
    for secret in (b"Someone", b"someone@example.com", b"99998888"):
        assert secret not in resolved.value
    body = msgspec.json.decode(resolved.value, type=EventResolved)
    assert msgspec.json.decode(body.profile)["has_email"] is True
    assert {name: change.now for name, change in body.changed.items()}["tier"] == "gold"
    [updated] = await profile.log(PROFILE_UPDATED)
    delivery = msgspec.json.decode(updated.value, type=ProfileUpdated)
    assert delivery.contacts == {"email": "someone@example.com", "phone": "+821099998888"}


async def test_an_event_without_identifiers_builds_no_profile(profile: Profile) -> None:
    await profile.send(purchase("1"), purchase("2", loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    assert await profile.connection.fetchval("SELECT count(*) FROM record") == 1


async def test_bytes_that_postgresql_refuses_are_buried_and_the_partition_goes_on(profile: Profile) -> None:
    good, bad = purchase("1", loyalty_card="c"), purchase("2", loyalty_card="c")
    poisoned = msgspec.json.encode(bad).replace(b'"loyalty_card":"c"', b'"loyalty_card":"c","email":"a\\u0000b"')
    await profile.send(bad, good, bodies=[poisoned, msgspec.json.encode(good)])
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    [dead] = await profile.log(dead_letters("profile"))
    assert dead.value == poisoned


async def test_old_data_is_counted_once_and_marked_as_history(profile: Profile) -> None:
    old = msgspec.structs.replace(purchase("1", loyalty_card="c", minutes_ago=60 * 24 * 4000), history=True)
    await profile.send(old, old)
    await profile.send(old, purchase("2", loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 2)
    marks = [
        msgspec.json.decode(record.value, type=EventResolved).history for record in await profile.log(EVENT_RESOLVED)
    ]
    assert sorted(marks) == [False, True]


async def test_what_came_live_and_comes_again_as_history_counts_once_and_the_other_way_round(profile: Profile) -> None:
    live, listed = purchase("1", loyalty_card="c", minutes_ago=60), purchase("2", loyalty_card="c", minutes_ago=90)
    await profile.send(live, msgspec.structs.replace(listed, history=True))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 2)
    await profile.send(msgspec.structs.replace(live, history=True), listed, purchase("3", loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] >= 3)
    assert found["profile"]["purchase_count"] == 3


async def test_what_is_flagged_as_a_bots_or_a_test_stays_flagged(profile: Profile) -> None:
    await profile.send(purchase("1", cookie="c"), headers=[("channel", b"web"), ("traffic", b"bot")])
    await profile.send(purchase("2", cookie="c"), headers=[("channel", b"web")])
    await profile.until("cookie:c", lambda c: c["profile"]["purchase_count"] == 2)
    flags = {
        event.event_id: event.traffic
        for record in await profile.log(EVENT_RESOLVED)
        for event in [msgspec.json.decode(record.value, type=EventResolved)]
    }
    assert flags == {"1": "bot", "2": ""}

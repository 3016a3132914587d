"""Of whom and of what do tests of events without a person tell? Customers of branches, and a branch that closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from libs.common import clock
from libs.common.events import Change, EventResolved
from libs.common.kafka import Record
from libs.common.topics import EVENT_RESOLVED, everyone_of, partition_of
from tests.rules_place import UNITS, Place

SECONDS_MAX = 60
CLOSING: dict[str, Any] = {
    "id": "branch-closing",
    "name": "Their branch closes",
    "when": {"type": "event", "event": "branch_closing"},
    "who": [
        {"field": "profile.favourite_branch", "op": "is", "field_value": "event.branch"},
        {"field": "profile.grade", "op": "is", "value": "gold"},
    ],
    "emit": {"trigger": "branch.closing", "reason": "service", "include": {"branch": "event.branch"}},
}


def customers(count: int) -> list[str]:
    return sorted(str(clock.new_id()) for _ in range(count))


def seen(customer: str, branch: str = "gangnam", grade: str = "gold", **more: Any) -> EventResolved:
    """Of a customer who comes for the first time, or who is another one from now on."""
    profile = {"favourite_branch": branch, "grade": grade}
    changed = {name: Change(None, value) for name, value in profile.items()}
    return EventResolved(
        str(clock.new_id()),
        customer,
        more.pop("person_id", customer),
        more.pop("kind", "visit"),
        "test",
        clock.now(),
        clock.now_ms(),
        profile=msgspec.Raw(msgspec.json.encode(profile)),
        changed=changed | {"first_seen_at": Change(None, "2026-01-01")},
        **more,
    )


def closes(branch: str = "gangnam", *, id: str = "", ago: timedelta = timedelta(0), **more: Any) -> list[EventResolved]:
    at, name = clock.now() - ago, id or str(clock.new_id())
    data = msgspec.Raw(msgspec.json.encode({"branch": branch}))
    keys = [everyone_of(unit, UNITS) for unit in range(UNITS)]
    return [
        EventResolved(name, key, key, "branch_closing", "hq", at, clock.to_ms(at), data=data, everyone=True, **more)
        for key in keys
    ]


async def tell(place: Place, *events: EventResolved) -> None:
    records = []
    for event in events:
        key = event.customer_id.encode()
        unit = partition_of(key, UNITS)
        records.append(Record(EVENT_RESOLVED.name, unit, key, msgspec.json.encode(event), []))
    await place.publisher.publish(records)


@asynccontextmanager
async def database(place: Place) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        yield connection
    finally:
        await connection.close()


async def listed(place: Place, count: int) -> None:
    """Until so many records are known as ones whom the rule may concern."""
    async with database(place) as connection, asyncio.timeout(SECONDS_MAX):
        wanted = "SELECT count(*) FROM segment_member WHERE segment_id = 'audience:branch-closing' AND inside"
        while (found := await connection.fetchval(wanted)) != count:
            await asyncio.sleep(0.05)
        assert found == count

"""Does a large batch leave the same behind as its events one after the other? Real PostgreSQL, no log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.common import clock, migrations
from libs.common.db import Database, Tx
from libs.common.events import EventIdentified, EventReceived
from libs.common.unit import Message, UnitTx
from services.profile.apply import Apply
from services.profile.holding import hold, restored
from services.profile.person import Definitions
from services.profile.quality_rows import QualityRows, filed_of, rated
from services.profile.store import arrivals
from services.profile.store.customers import COPIED_FROM

AT = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
LINE = "customer_id, time, event_id, type, source, channel, body, told"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrations.upgrade("profile", database_url)
    made = Database(database_url, application="test", size=2)
    await made.start()
    yield made
    await made.stop()


def customer(number: int) -> str:
    return str(clock.derived_id("customer", number))


def told(number: int, of: int, kind: str, data: dict[str, Any], branch: str = "", linked: Sequence[str] = ()) -> Any:
    at = AT + timedelta(minutes=number)
    event = EventReceived(f"e{number}", "pos", kind, at, branch=branch or None, data=_json(data))
    card = {"loyalty_card": f"88010{of:05d}"}
    fact = EventIdentified(
        customer(of), customer(of), _json(event), clock.to_ms(at), "pos", card, linked=list(linked), links_revision=1
    )
    return Message(fact, b"", 0)


def _json(document: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


class Side:
    """One unit with its own cache, as the worker has it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.cache: dict[str, Any] = {}
        self.apply = Apply(Definitions, [QualityRows(Definitions)])

    async def hears(self, messages: Sequence[Any]) -> None:
        async with self.database.transaction() as tx:
            unit = UnitTx(tx.connection, worker="t", unit=0, cache=self.cache, clock=AT, now=AT, snapshot=0)
            await self.apply.on_identified(messages, unit)


async def taken(database: Database, sql: str) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


async def test_many_events_at_once_leave_what_they_leave_one_by_one(database: Database) -> None:
    count = COPIED_FROM + 13
    messages = [
        told(at, at % 29, "purchase", {"amount": 10 * at, "currency": "KRW"}, f"b{at % 3}") for at in range(count)
    ]
    messages.append(told(count, 3, "identify", {"traits": {"first_name": "Mina", "tier": "gold"}}))
    tables = (
        f"SELECT {LINE} FROM timeline ORDER BY event_id",
        "SELECT customer_id, version, body FROM customer ORDER BY 1",
    )

    await Side(database).hears(messages)
    at_once = [await taken(database, sql) for sql in tables]
    async with database.connection() as connection:
        await connection.execute("TRUNCATE timeline, customer, quality, timer")
    side = Side(database)
    for message in messages:
        await side.hears([message])
    one_by_one = [await taken(database, sql) for sql in tables]

    assert len(at_once[0]) == count + 1 > COPIED_FROM
    assert at_once[0] == one_by_one[0]
    whole, parted = ([(row[0], row[1], _plain(row[2])) for row in side[1]] for side in (at_once, one_by_one))
    assert whole == parted


def _plain(body: bytes) -> Any:
    return msgspec.to_builtins(restored(body)) | {"filed": None, "portrayed": None}


async def test_a_purchase_elsewhere_moves_the_row_of_the_report_and_nothing_else_in_it(database: Database) -> None:
    side = Side(database)
    await side.hears([told(1, 1, "identify", {"traits": {"first_name": "Mina", "email": "mina@example.com"}}, "north")])
    await side.hears([told(2, 1, "purchase", {"amount": 1, "currency": "KRW"}, "north")])
    before = await taken(database, "SELECT * FROM quality")

    await side.hears([told(3, 1, "purchase", {"amount": 1, "currency": "KRW"}, "south")])

    [first], [then] = before, await taken(database, "SELECT * FROM quality")
    assert "north" in first
    assert then == tuple("south" if each == "north" else each for each in first)
    [(body,)] = await taken(database, "SELECT body FROM customer")
    held = hold(customer(1), restored(body))
    assert held.customer.filed == filed_of(rated(held, Definitions()))


async def test_of_somebody_with_two_records_a_purchase_elsewhere_says_how_new_it_is(database: Database) -> None:
    """Which of the two rows names the branch follows from that, so the whole row is written."""
    side, both = Side(database), [customer(1), customer(2)]
    await side.hears([told(1, 1, "purchase", {"amount": 1, "currency": "KRW"}, "north", both)])
    await side.hears([told(2, 1, "purchase", {"amount": 1, "currency": "KRW"}, "south", both)])

    [(branch, rank)] = await taken(database, "SELECT branch, branch_rank FROM quality")

    assert (branch, rank) == ("south", clock.to_ms(AT + timedelta(minutes=2)))


async def test_of_a_batch_that_was_partly_here_the_rest_is_new(database: Database) -> None:
    def sighting(number: int, body: int = 0) -> arrivals.Sighting:
        return arrivals.Sighting(AT.date(), f"{number:032x}", f"{number + 1000 * body:032x}")

    async def remembered(tx: Tx, *numbers: int, body: int = 0) -> dict[int, int]:
        found = await arrivals.remember(tx, [sighting(each, body) for each in numbers], history=True)
        assert {day for day, _ in found} <= {AT.date()}
        return {int(key, 16): int(known, 16) for (_, key), known in found.items()}

    async with database.transaction() as tx:
        assert await remembered(tx, 1, 2, 3) == {}
        assert await remembered(tx, 2, 4, 3, 5, body=7) == {2: 2, 3: 3}
        assert await remembered(tx, 4, 5, 6) == {4: 7004, 5: 7005}
        assert await remembered(tx, 1, 6) == {1: 1, 6: 6}

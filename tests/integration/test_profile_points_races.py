"""Do points come back to whom they were of, when another unit settles at that moment? On a real database alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from libs.common import clock, migrations
from libs.common.db import Database
from libs.common.unit import UnitTx
from services.profile.person import Occurrence
from services.profile.points.book import Entry
from services.profile.points.keeping import Asked, PointsKeeper
from services.profile.points.ledger import Terms, play

TODAY = 739_000


@dataclass
class Place:
    database: Database

    async def books(self, tx: UnitTx, entry: Entry, records: Sequence[str]) -> None:
        """As the unit of the entry's record does it."""
        keeper = PointsKeeper(2)
        asked = [Asked(entry.customer_id, Occurrence("x", 1, "s"), records, entry)]
        book, locked = await keeper._opened(tx, {entry.customer_id}, records, TODAY, asked)
        play(book, entry, [each for each in records if each in locked], Terms(TODAY))
        await keeper._write(tx, book, book.touched)

    async def booked(self, unit: int, entry: Entry, records: Sequence[str]) -> None:
        async with self.database.transaction() as tx:
            await self.books(self.unit(tx.connection, unit), entry, records)

    def unit(self, connection: object, number: int) -> UnitTx:
        now = clock.now()
        return UnitTx(connection, worker="profile.apply", unit=number, cache={}, clock=now, now=now, snapshot=0)

    async def somebody_waits(self) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with asyncio.timeout(20), self.database.connection() as connection:
            while not await connection.fetchval(query):
                await asyncio.sleep(0.01)

    async def balance(self, customer_id: str) -> int:
        async with self.database.connection() as connection:
            query = "SELECT balance FROM points_account WHERE customer_id = $1"
            return int(await connection.fetchval(query, customer_id))


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    await migrations.upgrade("profile", database_url)
    database = Database(database_url, application="test")
    await database.start()
    yield Place(database)
    await database.stop()


def entry(customer_id: str, kind: str, points: int, reverses: str = "") -> Entry:
    return Entry(str(clock.new_id()), customer_id, kind, points, TODAY, reverses=reverses, waits_until=TODAY + 9)


async def test_what_another_unit_settles_while_we_wait_comes_back_to_whom_it_was_of(place: Place) -> None:
    """A spend waits; the other record, joined with it, settles it with its own points; parted, it is taken back."""
    one, other = str(clock.new_id()), str(clock.new_id())
    await place.booked(1, entry(other, "earn", 100), [other])
    spend = entry(one, "spend", 80)
    await place.booked(0, spend, [one])
    async with place.database.transaction() as tx:
        await place.books(place.unit(tx.connection, 1), entry(other, "earn", 1), [one, other])
        taken_back = asyncio.create_task(place.booked(0, entry(one, "reverse", 0, spend.id), [one]))
        await place.somebody_waits()
    await taken_back
    assert (await place.balance(one), await place.balance(other)) == (0, 101)

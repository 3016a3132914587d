"""What becomes of people whom two units change at the same time? Each case with the one order of steps that is hard.

The first unit has decided and not committed; the second reads what was before, and has to wait for the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from libs.common import clock, migrations
from libs.common.db import Database
from libs.common.errors import Transient
from libs.common.events import LinkOrdered
from libs.common.unit import UnitTx
from services.profile.identity import Directory, Findings, IdentityRules, Named, Table, assign, obey
from services.profile.linking import Linking

RULES = IdentityRules()
TABLE = Table(RULES)


class Place:
    """A database of identity, and units that decide in it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.linking = Linking(lambda: RULES, lambda what, count: None)
        self.number = 0

    @asynccontextmanager
    async def unit(self, number: int) -> AsyncIterator[UnitTx]:
        async with self.database.transaction() as tx:
            now = clock.now()
            yield UnitTx(
                tx.connection, worker="profile.identify", unit=number, cache={}, clock=now, now=now, snapshot=0
            )

    async def meet(self, tx: UnitTx, **identifiers: str) -> str:
        """One event in a unit's transaction; the record that it is kept under."""
        self.number += 1
        number, keys = self.number, TABLE.keys_of(identifiers)
        named = Named(f"e{number}", keys, lambda: str(clock.derived_id("record", number)))

        def work(directory: Directory, findings: Findings) -> str:
            return assign(named, TABLE, directory, findings)

        return (await self.linking.decide(tx, keys, (), work)).result

    async def met(self, **identifiers: str) -> str:
        async with self.unit(0) as tx:
            return await self.meet(tx, **identifiers)

    async def insists(self, unit: int, **identifiers: str) -> str:
        """The event as a unit handles it: what meets somebody else's change is done again."""
        while True:
            try:
                async with self.unit(unit) as tx:
                    return await self.meet(tx, **identifiers)
            except Transient:
                await asyncio.sleep(0.02)

    async def somebody_waits(self) -> None:
        """Until a transaction waits for another one."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with asyncio.timeout(20), self.database.connection() as connection:
            while not await connection.fetchval(query):
                await asyncio.sleep(0.01)

    async def order(self, kind: str, one: str, other: str) -> str:
        order = LinkOrdered(str(clock.new_id()), kind, one, "somebody", clock.now(), [other])
        async with self.unit(0) as tx:
            work = partial(obey, order, TABLE)
            return (await self.linking.decide(tx, (), {one, other}, work, with_links=True)).result

    async def people(self) -> set[frozenset[str]]:
        """Identifiers by person, once it is sure that persons are what hangs together and that no record has two."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT person_id, array_agg(DISTINCT key) AS keys, count(DISTINCT record_id) AS records,"
                " count(DISTINCT links_revision) AS revisions,"
                " min(record_id::text) FILTER (WHERE record_id = person_id)"
                " AS eldest FROM record JOIN identifier USING (record_id) GROUP BY person_id"
            )
        assert all(row["revisions"] == 1 and row["eldest"] == str(row["person_id"]) for row in rows)
        return {frozenset(row["keys"]) for row in rows}


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    await migrations.upgrade("profile", database_url)
    database = Database(database_url, application="test", size=4)
    await database.start()
    yield Place(database)
    await database.stop()


async def in_the_way(place: Place, first: dict[str, str], second: dict[str, str]) -> tuple[str, str]:
    """The second unit begins when the first has decided, and the first commits when the second waits for it."""
    async with place.unit(0) as tx:
        one = await place.meet(tx, **first)
        waiting = asyncio.create_task(place.insists(1, **second))
        await place.somebody_waits()
        assert not waiting.done(), "the second unit must not decide on what is about to change"
    return one, await asyncio.wait_for(waiting, 10)


async def test_two_links_that_share_a_record_make_one_person_of_three(place: Place) -> None:
    await place.met(loyalty_card="a")
    await place.met(phone="b")
    await place.met(email="c")
    await in_the_way(place, {"loyalty_card": "a", "phone": "b"}, {"phone": "b", "email": "c"})
    assert await place.people() == {frozenset({"loyalty_card:a", "phone:b", "email:c"})}


async def test_two_units_that_learn_an_account_of_one_phone_do_not_give_it_two(place: Place) -> None:
    await place.met(phone="p")
    one, two = await in_the_way(place, {"phone": "p", "account": "1"}, {"phone": "p", "account": "2"})
    assert one != two
    assert await place.people() == {frozenset({"phone:p", "account:1"}), frozenset({"account:2"})}


async def test_a_person_does_not_get_a_second_account_by_a_merge_and_an_event_at_once(place: Place) -> None:
    await place.met(loyalty_card="a", account="1")
    await place.met(phone="p")
    one, two = await in_the_way(place, {"loyalty_card": "a", "phone": "p"}, {"phone": "p", "account": "2"})
    assert one != two
    joined = frozenset({"loyalty_card:a", "account:1", "phone:p"})
    assert await place.people() == {joined, frozenset({"account:2"})}


async def test_of_two_units_that_meet_somebody_for_the_first_time_one_makes_the_record(place: Place) -> None:
    one, two = await in_the_way(place, {"loyalty_card": "a", "phone": "p"}, {"phone": "p", "email": "c"})
    assert one == two
    assert await place.people() == {frozenset({"loyalty_card:a", "phone:p", "email:c"})}


async def test_what_is_parted_while_an_event_says_that_it_is_one_stays_apart(place: Place) -> None:
    card, mail = await place.met(loyalty_card="a"), await place.met(email="c")
    await place.met(loyalty_card="a", email="c")
    async with place.unit(0) as tx:
        order = LinkOrdered(str(clock.new_id()), "unlink", card, "somebody", clock.now(), [mail])
        await place.linking.decide(tx, (), {card, mail}, partial(obey, order, TABLE), with_links=True)
        waiting = asyncio.create_task(place.insists(1, loyalty_card="a", email="c", phone="new"))
        await place.somebody_waits()
        assert not waiting.done()
    assert await asyncio.wait_for(waiting, 10) == card
    assert await place.people() == {frozenset({"loyalty_card:a", "phone:new"}), frozenset({"email:c"})}


async def test_the_records_of_a_person_all_have_a_revision_that_only_grows(place: Place) -> None:
    card, mail = await place.met(loyalty_card="a"), await place.met(email="c")
    seen: list[set[int]] = []
    for kind in ("link", "unlink", "link"):
        assert await place.order(kind, card, mail) == ""
        async with place.database.connection() as connection:
            seen.append({row[0] for row in await connection.fetch("SELECT links_revision FROM record")})
    assert all(len(each) == 1 for each in seen)
    assert [min(each) for each in seen] == sorted({min(each) for each in seen})

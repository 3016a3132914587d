"""Is a customer whose state was written by another release met as if this one had written it?

The worker's handlers and the readers on a real database; beside the customer stands a twin whose state is of today.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from libs.common import migrations
from libs.common.auth import Principal
from libs.common.db import Database
from libs.common.kafka import Publisher
from services.profile import consent_views, holding, reading
from services.profile.commands import ERASE
from services.profile.person import Customer, Definitions
from services.profile.person.state import FORM
from services.profile.privacy.erasing import Eraser
from services.profile.privacy.marks import Marks
from services.profile.privacy.scope import sees
from services.profile.privacy.sweeping import Sweeper
from services.profile.privacy.trail import Trail
from services.profile.refolding import KIND as REFOLD
from services.profile.store import refolds
from tests.profile_unit import Unit

BOUGHT = datetime(2026, 3, 2, 3, tzinfo=UTC)
SOON = timedelta(hours=1)
NEW_ENDS = timedelta(days=30)
"""After the first purchase: nobody is a new customer for longer."""

MAIL = "mina@example.com"


@dataclass
class Pair:
    """Two customers with one life; the state of `unit` is written in a form that is no more, that of `twin` is not."""

    unit: Unit
    twin: Unit

    async def live(self) -> None:
        for each in (self.unit, self.twin):
            await each.happens("identify", BOUGHT, {"traits": {"first_name": "Mina"}}, email=MAIL)
            await each.happens("purchase", BOUGHT, {"amount": 10, "currency": "KRW"})
            await each.happens("consent_given", BOUGHT + SOON, {"channel": "email"})
            # In the ledger there is one entry of each id.
            await each.happens("points.earned", BOUGHT + SOON, {"points": 5}, event_id=f"points of {each.customer_id}")
            await each.happens("complaint", BOUGHT + SOON, {"case": "k"})

    async def age(self, form: int = 0) -> None:
        """As an earlier release would have left it: parts are of other types, or of a chapter that is no more."""
        state = msgspec.msgpack.decode(await self._value("body"))
        state |= {"purchases": ["lists", "were", "here"], "points": "five", "hobbies": [1]}
        body = msgspec.msgpack.encode(state)
        with pytest.raises(msgspec.ValidationError):
            holding.restored(body)
        async with self.unit.database.connection() as connection:
            await connection.execute(
                "UPDATE customer SET body = $2, form = $3 WHERE customer_id = $1", self.unit.customer_id, body, form
            )
        self.unit.cache.clear()
        self.unit.said.clear()

    async def form(self) -> int:
        return int(await self._value("form"))

    async def assert_alike(self) -> None:
        one, other = await self.unit.state(), await self.twin.state()
        assert one.purchases is not None and one.points is not None and one.version == other.version > 0
        assert msgspec.structs.replace(one, person_id="") == msgspec.structs.replace(other, person_id="")

    async def _value(self, column: str) -> Any:
        async with self.unit.database.connection() as connection:
            return await connection.fetchval(
                f"SELECT {column} FROM customer WHERE customer_id = $1", self.unit.customer_id
            )


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[Pair]:
    await migrations.upgrade("profile", database_url)
    database = Database(database_url, application="test", size=2)
    await database.start()
    made = Pair(Unit(database), Unit(database))
    await made.live()
    yield made
    await database.stop()


@pytest.mark.parametrize("form", [0, FORM + 1])
async def test_the_next_event_finds_a_state_of_another_form_as_if_it_were_of_this_one(pair: Pair, form: int) -> None:
    await pair.age(form)
    for each in (pair.unit, pair.twin):
        each.said.clear()
        await each.happens("purchase", BOUGHT + 2 * SOON, {"amount": 7, "currency": "KRW"})
    await pair.assert_alike()
    assert await pair.form() == FORM
    assert [each.changed for each in pair.unit.said] == [each.changed for each in pair.twin.said]
    assert pair.unit.said[0].changed["purchase_count"].now == 2


async def test_a_day_that_comes_is_told_of_a_state_of_another_form(pair: Pair) -> None:
    await pair.age()
    assert await pair.unit.timers(BOUGHT + NEW_ENDS) >= 2
    pair.twin.cache.clear()
    await pair.assert_alike()
    told = {each.customer_id: each.changed["lifecycle"].now for each in pair.unit.said if "lifecycle" in each.changed}
    assert told == {pair.unit.customer_id: "active", pair.twin.customer_id: "active"}


async def test_a_state_of_another_form_is_shown_and_not_written(pair: Pair) -> None:
    records = [pair.unit.customer_id]
    seller = Principal("somebody", frozenset({"agent"}), branch="gangnam")

    async def shown() -> list[Any]:
        async with pair.unit.database.connection() as connection:
            return [
                await reading.customer(connection, records[0], records, Definitions()),
                await consent_views.present(connection, records[0], records, Definitions()),
                await sees(connection, seller, records, Definitions()),
            ]

    before = await shown()
    await pair.age()
    assert await shown() == before
    assert before[0]["profile"]["purchase_count"] == 1 and before[0]["profile"]["points_balance"] == 5
    assert await pair.form() == 0


async def test_another_unit_reads_a_record_of_another_form(pair: Pair) -> None:
    await pair.age()
    mine = Unit(pair.unit.database)
    both = sorted([mine.customer_id, pair.unit.customer_id])
    await mine.happens("purchase", BOUGHT + SOON, {"amount": 1, "currency": "KRW"}, linked=both)
    assert msgspec.json.decode(mine.said[0].profile)["purchase_count"] == 2
    assert await pair.form() == 0


@pytest.mark.parametrize("verify", [False, True])
async def test_a_job_over_all_mends_those_to_whom_nothing_happens(pair: Pair, verify: bool) -> None:
    await pair.age()
    async with pair.unit.database.transaction() as tx:
        job = await refolds.begin(tx, verify=verify, announce=True, since=None, actor="a", note="", at=BOUGHT)
    for each in (pair.unit, pair.twin):
        await each.orders(REFOLD, BOUGHT + SOON, job=job, announce=True, verify=verify)
    await pair.assert_alike()
    assert await pair.form() == FORM and pair.unit.said == []
    async with pair.unit.database.connection() as connection:
        row = await connection.fetchrow("SELECT done, differed FROM refold_progress")
    assert (row["done"], row["differed"]) == (2, 0)


async def test_somebody_whose_state_has_another_form_can_be_erased(pair: Pair) -> None:
    await pair.age()
    database, customer_id = pair.unit.database, pair.unit.customer_id
    nobody, marks = cast(Publisher, None), Marks(["a-secret-of-tests"])
    eraser = Eraser(database, nobody, marks, cast(Sweeper, None), me="a", partitions=1)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO record VALUES ($1, $1, now())", customer_id)
        await connection.execute(
            "INSERT INTO erasure (erasure_id, request_id, customer_id, reason, asked_by, asked_at, stage, stage_at)"
            " VALUES ($1, 'r', $1, '', '', now(), 'asked', now())",
            customer_id,
        )
        await eraser.begin()
        row = await connection.fetchrow("SELECT stage, trail FROM erasure")
    assert row["stage"] == "forgotten"
    assert MAIL in msgspec.json.decode(bytes(row["trail"]), type=Trail).values
    await pair.unit.orders(ERASE, BOUGHT + 2 * SOON)
    state = await pair.unit.state()
    assert state == Customer(customer_id, version=state.version, erased=True)
    assert await pair.form() == FORM


async def test_who_was_erased_by_an_earlier_release_stays_empty(pair: Pair) -> None:
    await pair.unit.orders(ERASE, BOUGHT + 2 * SOON)
    await pair.age()
    await pair.unit.happens("purchase", BOUGHT + 3 * SOON, {"amount": 7, "currency": "KRW"})
    await pair.unit.orders(REFOLD, BOUGHT + 3 * SOON)
    state = await pair.unit.state()
    assert state.erased and state.purchases is None and state.presence is None and state.points is None
    assert pair.unit.said == []

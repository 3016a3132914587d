"""What is told of a day that has come while its timer waits, and a refold or an event comes first?

The worker's handlers on a real database, in transactions whose time the test says: no timer fires but by its hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.common import migrations
from libs.common.db import Database
from services.profile.commands import ERASE
from services.profile.person import Definitions
from services.profile.person.measure_terms import Lifecycle
from services.profile.refolding import KIND as REFOLD
from services.profile.store import refolds
from tests.profile_unit import Unit

BOUGHT = datetime(2026, 3, 2, 3, tzinfo=UTC)
"""The day of the first purchase: that the customer is new ends thirty days later."""

ACTIVE, AT_RISK, LAPSED = timedelta(days=30), timedelta(days=90), timedelta(days=180)
SOON = timedelta(hours=1)


@pytest.fixture
async def unit(database_url: str) -> AsyncIterator[Unit]:
    await migrations.upgrade("profile", database_url)
    database = Database(database_url, application="test", size=2)
    await database.start()
    made = Unit(database)
    await made.happens("purchase", BOUGHT, {"amount": 10, "currency": "KRW"})
    made.said.clear()
    yield made
    await database.stop()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_refold_leaves_a_day_that_has_come_to_its_timer_which_tells_it_once(
    unit: Unit, restarted: bool
) -> None:
    now = BOUGHT + ACTIVE
    await unit.orders(REFOLD, now)
    assert unit.stages() == []
    if restarted:
        unit.cache.clear()
    assert await unit.timers(now) == 1
    assert unit.stages() == [("profile.time_passed", "active")]
    await unit.orders(REFOLD, now + SOON)
    assert await unit.timers(now + SOON) == 0
    assert await unit.timers(BOUGHT + AT_RISK) == 1
    assert [now for _, now in unit.stages()] == ["active", "at_risk"]


async def test_a_refold_by_new_definitions_tells_what_they_change_and_the_timer_what_the_day_does(unit: Unit) -> None:
    """Ninety days count as silence no longer when the day has come; what the customer was before is told as it is."""
    assert await unit.timers(BOUGHT + ACTIVE) == 1
    unit.said.clear()
    now = BOUGHT + AT_RISK + SOON
    unit.definitions = Definitions(number=1, lifecycle=Lifecycle(new_days=14, at_risk_days=20, lapsed_days=85))
    await unit.orders(REFOLD, now, announce=True, since=0)
    assert unit.stages() == [("profile.refolded", "lapsed")]
    assert await unit.timers(now) <= 1
    assert unit.stages() == [("profile.refolded", "lapsed")]
    assert unit.said[0].changed["lifecycle"].was == "active"


async def test_an_event_that_comes_before_a_days_timer_leaves_the_day_to_it(unit: Unit) -> None:
    now = BOUGHT + ACTIVE + SOON
    before = (await unit.state()).due_day
    await unit.happens("visit", now)
    assert (await unit.state()).due_day == before
    assert unit.stages() == []
    assert await unit.timers(now) == 1
    assert unit.stages() == [("profile.time_passed", "active")]


async def test_days_that_are_over_when_an_event_comes_are_told_by_the_timer_of_the_first(unit: Unit) -> None:
    now = BOUGHT + LAPSED + timedelta(days=20)
    await unit.happens("visit", now)
    assert await unit.timers(now) >= 1
    assert unit.stages()[-1] == ("profile.time_passed", "lapsed")
    assert await unit.timers(now) == 0


async def test_nothing_comes_back_to_an_account_of_who_was_erased(unit: Unit) -> None:
    await unit.happens("points.earned", BOUGHT + SOON, {"points": 5})
    async with unit.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM points_account") == 1
        await unit.orders(ERASE, BOUGHT + SOON)
        assert await connection.fetchval("SELECT count(*) FROM points_account") == 0


async def test_a_refold_leaves_empty_who_was_erased(unit: Unit) -> None:
    await unit.orders(ERASE, BOUGHT + SOON)
    unit.said.clear()
    async with unit.database.transaction() as tx:
        job = await refolds.begin(tx, verify=False, announce=True, since=None, actor="somebody", note="", at=BOUGHT)
    await unit.orders(REFOLD, BOUGHT + SOON, job=job, announce=True)
    state = await unit.state()
    assert state.erased and state.purchases is None and state.presence is None
    assert unit.said == []
    async with unit.database.connection() as connection:
        row = await connection.fetchrow("SELECT done, differed FROM refold_progress")
    assert (row["done"], row["differed"]) == (1, 0)

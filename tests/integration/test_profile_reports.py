"""Do reports say what the rows say, and do they stay cheap when there are many of them?

Cheap is counted in rows that PostgreSQL reads, which no busy machine changes.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from functools import partial
from typing import Any, cast

import pytest

from libs.common import clock, migrations
from libs.common.db import Database, Tx
from services.profile.api.desk import Desk
from services.profile.api.quality import Counts
from services.profile.app import _Days
from services.profile.commands import Commands
from services.profile.person import Definitions
from services.profile.person.quality_terms import QualityTerms
from services.profile.quality_rows import PROBLEMS
from services.profile.store import audit, commands
from services.profile.store import quality as store
from services.profile.store.quality import Rated

TODAY = date(2026, 11, 1)
STALE_BEFORE = date(2025, 11, 1)
EVERYTHING = (1 << len(PROBLEMS)) - 1
REPEATS = 8
"""A statement that is asked often gets a plan that fits whatever is asked."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrations.upgrade("profile", database_url)
    made = Database(database_url, application="test", size=2)
    await made.start()
    yield made
    await made.stop()


def some_rows(chance: random.Random, people: int) -> list[Rated]:
    """People of one record or of several, which do not agree about branch and problems."""
    rows = []
    for number in range(people):
        person_id = str(clock.derived_id("person", number))
        records = chance.choice((1, 1, 2, 3))
        for record in range(records):
            good, bad = chance.getrandbits(7), chance.getrandbits(7) & chance.getrandbits(7)
            confirmed = chance.choice((None, TODAY - timedelta(days=chance.randrange(800))))
            rows.append(
                Rated(
                    str(clock.derived_id("row", number, record)),
                    person_id if records > 1 else None,
                    chance.choice(("", "a", "b")),
                    chance.randrange(3),
                    good,
                    bad & ~good,
                    confirmed,
                )
            )
    return rows


def people_of(rows: list[Rated]) -> list[tuple[str, str, int, date | None]]:
    """Record, branch, problems and day of confirmation of each person, counted on one's fingers."""
    groups: dict[str, list[Rated]] = {}
    for row in rows:
        groups.setdefault(row.person_id or row.customer_id, []).append(row)
    people = []
    for group in groups.values():
        home = min(group, key=lambda row: (-row.branch_rank, row.customer_id))
        good = bad = 0
        for row in group:
            good, bad = good | row.good, bad | row.bad
        confirmed = max((row.confirmed_on for row in group if row.confirmed_on), default=None)
        people.append((home.customer_id, home.branch, bad & ~good, confirmed))
    return sorted(people)


def concerns(problems: int, confirmed: date | None, bits: int, stale: date | None) -> bool:
    return bool(problems & bits) or (confirmed is not None and stale is not None and confirmed < stale)


async def test_each_person_is_listed_once_in_the_order_of_the_list_and_counted_where_they_are_listed(
    database: Database,
) -> None:
    rows = some_rows(random.Random(5), 400)
    people = people_of(rows)
    async with database.transaction() as tx:
        await store.save(tx, 0, rows)
        for branch in (None, "", "a"):
            for bits, stale in ((EVERYTHING, STALE_BEFORE), (1, None), (16, None), (3, None), (32, None), (0, TODAY)):
                listed: list[tuple[Any, ...]] = []
                while page := await store.page(
                    tx.connection, branch, bits, stale, listed[-1][0] if listed else None, 50
                ):
                    listed += [(str(row[0]), *row[1:]) for row in page]
                assert listed == [
                    each for each in people if branch in (None, each[1]) and concerns(each[2], each[3], bits, stale)
                ]
        counted = {row["branch"]: row for row in await store.counts(tx.connection, len(PROBLEMS), STALE_BEFORE)}
    assert {name: row["customers"] for name, row in counted.items()} == Counter(each[1] for each in people)
    for name, row in counted.items():
        here = [each for each in people if each[1] == name]
        assert row["affected"] == sum(concerns(each[2], each[3], EVERYTHING, STALE_BEFORE) for each in here)
        assert row["stale"] == sum(concerns(0, each[3], 0, STALE_BEFORE) for each in here)
        assert [row[f"p{bit}"] for bit in range(7)] == [sum(each[2] >> bit & 1 for each in here) for bit in range(7)]


async def test_many_who_look_at_the_counts_at_once_have_them_counted_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = 0

    async def slowly(*asked: Any) -> list[Any]:
        nonlocal counted
        counted += 1
        await asyncio.sleep(0.2)
        return await counts(*asked)

    counts = store.counts
    monkeypatch.setattr(store, "counts", slowly)
    async with database.transaction() as tx:
        await store.save(tx, 0, some_rows(random.Random(6), 20))
    in_force = [Definitions()]
    shown = Counts(Desk(database, cast(Commands, None), lambda: in_force[0], "KR"))
    found = await asyncio.gather(*[shown.read() for _ in range(10)])
    assert counted == 1 and all(each == found[0] for each in found)
    assert sum(each["customers"] for each in found[0]["items"]) == 20
    in_force[0] = Definitions(number=1, quality=QualityTerms(fresh_days=5))
    assert (await shown.read())["stale_before"] > found[0]["stale_before"] and counted == 2


async def rows_read(tx: Tx, table: str, work: Callable[[], Awaitable[Any]]) -> int:
    """How many rows of a table the last of some repetitions reads, the tables being analysed."""
    query = (
        "SELECT coalesce(sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)), 0)::bigint"
        " FROM pg_stat_xact_user_tables WHERE relname = $1"
    )
    for _ in range(REPEATS):
        before = await tx.fetchval(query, table)
        await work()
    return int(await tx.fetchval(query, table) - before)


async def test_a_page_of_problems_reads_little_of_what_there_is(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO quality SELECT md5(n::text)::uuid, 0, CASE WHEN n % 5 = 0 THEN md5((n / 10)::text)::uuid END,"
            " 'b' || n % 100, n, (n % 2 * 64)::smallint, (CASE WHEN n % 100 = 0 THEN 17 ELSE 0 END + 96)::smallint,"
            " date '2026-11-01' - n % 700 FROM generate_series(1, 30000) AS n"
        )
        await tx.execute("ANALYZE quality")
        asked: dict[str, tuple[str | None, int, date | None]] = {
            "any": (None, EVERYTHING, STALE_BEFORE),
            "stale": (None, 0, STALE_BEFORE),
            "seldom": (None, 16, None),
            "of a branch": ("b7", EVERYTHING, STALE_BEFORE),
            "seldom in a branch": ("b7", 16, None),
        }
        middle = "80000000-0000-4000-8000-000000000000"
        for name, (branch, bits, stale) in asked.items():
            for after in (None, middle):
                read = await rows_read(
                    tx, "quality", partial(store.page, tx.connection, branch, bits, stale, after, 50)
                )
                assert read < 1_500, (name, after)


async def test_a_page_of_the_audit_reads_little_whatever_narrows_it(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO audit (at, actor, kind, what, customer_id)"
            " SELECT now(), CASE WHEN n < 9 THEN 'x' ELSE 'y' END,"
            " CASE WHEN n < 9 THEN 'export' ELSE 'view' END, '', md5(n::text)::uuid FROM generate_series(1, 30000) AS n"
        )
        await tx.execute("ANALYZE audit")
        someone = str(await tx.fetchval("SELECT customer_id FROM audit WHERE number = 3"))
        asked: tuple[tuple[list[str] | None, str | None, str | None, int | None], ...] = (
            (None, None, None, None),
            (None, None, "view", None),
            (None, None, "export", None),
            (None, "x", None, 9_000),
            ([someone], None, None, None),
        )
        for customers, actor, kind, before in asked:
            read = await rows_read(tx, "audit", partial(audit.page, tx.connection, customers, actor, kind, before, 50))
            assert read <= 50, (customers, actor, kind, before)
        [found] = await audit.page(tx.connection, [someone], "x", "export", 4, 50)
        assert found["number"] == 3


async def test_what_became_of_a_command_is_forgotten_in_its_time(database: Database) -> None:
    ids = {days: str(clock.new_id()) for days in (0, 34, 36, 400)}
    async with database.transaction() as tx:
        for days, command_id in ids.items():
            rows = [(command_id, str(clock.new_id()), "", 1)]
            await commands.note_commands(tx, 0, rows, clock.now() - timedelta(days=days))
    await _Days(database, 35).turn()
    async with database.transaction() as tx:
        assert await commands.known_commands(tx, list(ids.values())) == {ids[0], ids[34]}

"""Does the list of members cost what there is to do, and not what there is of it?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from libs.common import clock, migrations
from libs.common.db import Database, Tx
from libs.common.settings import DatabaseSettings
from services.rules.membership import store

MANY = 20_000
KEPT, GONE = "kept", "gone"


@pytest.fixture
async def database(postgres_url: str, fresh_name: str) -> AsyncIterator[Database]:
    settings = DatabaseSettings(database_url=postgres_url, database_prefix=f"{fresh_name}_")
    await migrations.upgrade("rules", settings.database_url_of("rules"))
    found = Database(settings.database_url_of("rules"), application="test", size=3)
    await found.start()
    async with found.connection() as connection:
        await connection.execute("ALTER TABLE segment_member SET (autovacuum_enabled = false)")
    yield found
    await found.stop()
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'DROP DATABASE "{fresh_name}_rules" WITH (FORCE)')
    await server.close()


async def fill(database: Database, segment_id: str, number: int, unit: int = 0) -> None:
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO segment_member SELECT $1, $2, $2 || $3 || id, $2 || id, true, now(), id, 1
            FROM generate_series(1, $4) id
            """,
            unit,
            segment_id,
            "-",
            number,
        )
        await connection.execute("VACUUM (ANALYZE) segment_member")


async def rows_read(tx: Tx) -> int:
    """In this transaction, of the list."""
    read: int = await tx.fetchval(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
        " WHERE relname = 'segment_member'"
    )
    return read


async def test_where_nothing_is_to_be_cleared_the_list_is_not_walked(database: Database) -> None:
    for segment_id in ("a", "b"):
        await fill(database, segment_id, MANY)
    async with database.connection() as connection:
        # What lies in the index alone is counted as well: nothing is known to be visible to all.
        await connection.execute("UPDATE segment_member SET version = 2")
    async with database.transaction() as tx:
        assert not await store.clear(tx, 0, {"a", "b"})
        assert await rows_read(tx) < 100


async def test_what_is_in_force_no_more_is_cleared_a_piece_at_a_time_from_its_unit_alone(database: Database) -> None:
    for unit in (0, 1):
        await fill(database, GONE, store.CLEARED_AT_ONCE + 10, unit)
        await fill(database, KEPT, 5, unit)
    more = []
    for _ in range(3):
        async with database.transaction() as tx:
            more.append(await store.clear(tx, 0, {KEPT}))
    assert more == [True, False, False]
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT unit, segment_id, count(*) FROM segment_member GROUP BY 1, 2 ORDER BY 1, 2"
        )
    assert [tuple(row) for row in rows] == [(0, KEPT, 5), (1, GONE, store.CLEARED_AT_ONCE + 10), (1, KEPT, 5)]


async def test_people_are_counted_by_the_index_alone(database: Database) -> None:
    await fill(database, KEPT, MANY)
    async with database.transaction() as tx:
        plan = await tx.fetch(f"EXPLAIN {store.COUNT_PEOPLE}", KEPT, "")
        assert any("Index Only Scan using segment_member_person" in row[0] for row in plan), plan
        assert await store.count_next(tx, [KEPT])
        assert (await store.counted(tx.connection, [KEPT]))[KEPT].people == MANY


async def test_of_many_people_the_last_count_is_told_with_its_time(database: Database) -> None:
    await fill(database, KEPT, store.COUNTED_AT_ONCE)
    async with database.connection() as connection:
        now = await store.people(connection, KEPT)
        assert now is not None and now.people == store.COUNTED_AT_ONCE
        await fill(database, KEPT, MANY, unit=1)
        assert await store.people(connection, KEPT) is None, "nobody has counted them yet"
    async with database.transaction() as tx:
        assert await store.count_next(tx, [KEPT])
    async with database.transaction() as tx:
        before = await rows_read(tx)
        last = await store.people(tx.connection, KEPT)
        assert last is not None and last.people == MANY and last.counted_at <= clock.now()
        assert await rows_read(tx) < before + 2 * store.COUNTED_AT_ONCE, "not each of them is looked at"
        await tx.execute("DELETE FROM segment_member WHERE unit = 1 AND customer_id LIKE '%7'")
        assert await store.people(tx.connection, KEPT) == last


async def test_one_process_counts_and_rests_for_many_times_as_long_as_it_took(database: Database) -> None:
    await fill(database, KEPT, 3)

    async def counts(ago_seconds: float, took_seconds: float) -> bool:
        async with database.transaction() as tx:
            await tx.execute(
                "UPDATE segment_count SET counted_at = $1, took_seconds = $2",
                clock.now() - timedelta(seconds=ago_seconds),
                took_seconds,
            )
            return await store.count_next(tx, [KEPT])

    async with database.transaction() as tx, database.transaction() as other:
        assert await store.count_next(tx, [KEPT])
        assert not await store.count_next(other, [KEPT, GONE]), "another process is at it"
    assert not await counts(30, 0.01)
    assert await counts(70, 0.01)
    assert not await counts(70, 10)
    assert not await counts(190, 10)
    assert await counts(210, 10)

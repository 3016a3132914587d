"""Who may write what about an import, on the real PostgreSQL? One writer of bytes, one owner of progress, an end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.common import clock, migrations
from libs.common.db import Database
from services.ingest.imports.progress import Progress, RefusedLine
from services.ingest.store import import_uploads, import_work, imports
from tests.ingest_door import database_of, drop_database

FIRST = Progress(position=10, line=3, read=2, accepted=1, refused=1)
REFUSED = RefusedLine(3, 0, "malformed", "/id", "no", b"x")


@pytest.fixture
async def database(postgres_url: str, fresh_name: str) -> AsyncIterator[Database]:
    url = database_of(postgres_url, f"{fresh_name}_")
    await migrations.upgrade("ingest", url)
    database = Database(url, application="test")
    await database.start()
    yield database
    await database.stop()
    await drop_database(postgres_url, f"{fresh_name}_ingest")


async def made(connection: Any, import_id: str, size: int | None = 10, at: datetime | None = None) -> None:
    new = imports.NewImport(import_id, "key", "pos", "f.csv", "till", "gangnam", None, "{}", "", size)
    await imports.create(connection, new, at or clock.now())


async def complete(connection: Any, import_id: str) -> None:
    await made(connection, import_id)
    assert await import_uploads.begin(connection, import_id, 0, "w", None, clock.now())
    assert await import_uploads.put(connection, import_id, "w", 0, b"0123456789", clock.now(), True)


async def test_only_who_holds_the_lease_writes_progress(database: Database) -> None:
    async with database.connection() as connection:
        await complete(connection, "i")
        taken = await import_work.claim(connection, "a", [])
        assert taken is not None and (taken["state"], taken["epoch"]) == ("checking", 1)
        assert await import_work.claim(connection, "b", []) is None
        ours, start = ("i", "a", 1), ("{}", Progress(4, 2))
        assert await import_work.checked(connection, ours, (2, "{}"), start, "")
        await connection.execute("UPDATE import_file SET lease_until = clock_timestamp()")
        again = await import_work.claim(connection, "b", [])
        assert again is not None and (again["state"], again["epoch"], again["position"]) == ("importing", 2, 4)
        for wrong in (ours, ("i", "b", 1), ("i", "a", 2)):
            assert not await import_work.advance(connection, wrong, FIRST, "{}", [REFUSED])
            assert not await import_work.finish(connection, wrong, clock.now())
        assert await import_work.renew(connection, "a", ["i"]) == set()
        for _ in range(2):
            assert await import_work.advance(connection, ("i", "b", 2), FIRST, "{}", [REFUSED])
        assert len(await imports.rejects(connection, "i", 10, (0, -1))) == 1
        assert await import_work.finish(connection, ("i", "b", 2), clock.now())
        row = await imports.find(connection, "i")
        assert row is not None and (row["state"], row["position"], row["lines_read"]) == ("done", 10, 2)
        assert await import_work.chunks(connection, "i", 0, 10) == []
        assert not await imports.end(connection, "i", "cancelled", "", clock.now())


async def test_who_goes_on_with_an_upload_ends_the_writer_before(database: Database) -> None:
    now = clock.now()
    async with database.connection() as connection:
        await made(connection, "i")
        assert await import_uploads.begin(connection, "i", 0, "old", None, now)
        assert await import_uploads.put(connection, "i", "old", 0, b"012", now, True)
        # Put down and not counted yet, as bytes are whose checksum is still to come.
        assert await import_uploads.put(connection, "i", "old", 3, b"xxx", now, False)
        assert not await import_uploads.begin(connection, "i", 6, "new", None, now)
        assert await import_uploads.begin(connection, "i", 3, "new", None, now)
        assert not await import_uploads.put(connection, "i", "old", 6, b"yyy", now, False)
        assert not await import_uploads.count(connection, "i", "old", 9, now)
        assert await import_uploads.put(connection, "i", "new", 3, b"3456789", now, True)
        stored = await import_work.chunks(connection, "i", 0, 10)
        assert b"".join(row["bytes"] for row in stored) == b"0123456789"
        row = await imports.find(connection, "i")
        assert row is not None and (row["state"], row["received"]) == ("waiting", 10)
        assert [row["start"] for row in await import_work.chunks(connection, "i", 5, 10)] == [3]
        assert await import_work.chunks(connection, "i", 10, 10) == []


async def test_what_nobody_moves_is_dropped_with_its_bytes(database: Database) -> None:
    now = clock.now()
    async with database.connection() as connection:
        for import_id, age in (("old", 25), ("young", 23)):
            at = now - timedelta(hours=age)
            await made(connection, import_id, at=at)
            assert await import_uploads.begin(connection, import_id, 0, "w", None, at)
            assert await import_uploads.put(connection, import_id, "w", 0, b"012", at, True)
        idle = now - timedelta(hours=24)
        assert await imports.expire(connection, idle, idle, now) == ["old"]
        assert await imports.expire(connection, idle, idle, now) == []
        assert await import_work.chunks(connection, "old", 0, 10) == []
        assert len(await import_work.chunks(connection, "young", 0, 10)) == 1
        assert not await import_uploads.put(connection, "old", "w", 3, b"3", now, True)


async def test_refused_lines_are_forgotten_some_time_after_the_end(database: Database) -> None:
    now = clock.now()
    async with database.connection() as connection:
        await complete(connection, "i")
        await import_work.claim(connection, "a", [])
        await import_work.checked(connection, ("i", "a", 1), (1, "{}"), ("{}", Progress()), "")
        await import_work.advance(connection, ("i", "a", 1), FIRST, "{}", [REFUSED])
        await import_work.finish(connection, ("i", "a", 1), now)
        await imports.forget_rejects(connection, now - timedelta(seconds=1))
        assert len(await imports.rejects(connection, "i", 10, (0, -1))) == 1
        await imports.forget_rejects(connection, now + timedelta(seconds=1))
        assert await imports.rejects(connection, "i", 10, (0, -1)) == []

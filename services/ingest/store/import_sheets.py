"""Which sheets are expected of which branch? Functions that take a connection or a transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from libs.common.db import Row
from services.ingest.imports.owing import Expected


async def put(connection: Any, expected: Expected, actor: str, now: datetime) -> bool:
    """True when nothing was expected of the branch before."""
    # xmax is 0 only in a row that this very statement inserted.
    created: bool = await connection.fetchval(
        "INSERT INTO import_expected (branch, source, due, zone, weekdays, grace_minutes, changed_at, changed_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (branch) DO UPDATE SET source = excluded.source,"
        " due = excluded.due, zone = excluded.zone, weekdays = excluded.weekdays,"
        " grace_minutes = excluded.grace_minutes, changed_at = excluded.changed_at, changed_by = excluded.changed_by"
        " RETURNING xmax = 0",
        expected.branch,
        expected.source,
        expected.due,
        expected.zone,
        list(expected.weekdays),
        expected.grace_minutes,
        now,
        actor,
    )
    return created


async def drop(connection: Any, branch: str) -> bool:
    """False when nothing is expected of the branch."""
    answer: str = await connection.execute("DELETE FROM import_expected WHERE branch = $1", branch)
    return answer.endswith(" 1")


async def page(connection: Any, limit: int, after: str) -> list[Expected]:
    rows = await connection.fetch(
        "SELECT * FROM import_expected WHERE branch > $2 ORDER BY branch LIMIT $1", limit, after
    )
    return [_expected(row) for row in rows]


async def every(connection: Any) -> list[Expected]:
    return [_expected(row) for row in await connection.fetch("SELECT * FROM import_expected ORDER BY branch")]


def _expected(row: Row) -> Expected:
    return Expected(
        branch=row["branch"],
        source=row["source"],
        due=row["due"],
        zone=row["zone"],
        weekdays=tuple(row["weekdays"]),
        grace_minutes=row["grace_minutes"],
    )

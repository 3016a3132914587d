"""Which definitions are in force, which were before, and who changed them?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx

_COLUMNS = "subject, version, number, body, actor, at, note"


async def number(connection: Any) -> int:
    """The number of the last change, 0 before the first."""
    return int(await connection.fetchval("SELECT number FROM definition_number"))


async def in_force(connection: Any, at: int | None = None) -> tuple[int, dict[str, bytes]]:
    """The number of the last change and the bodies (JSON) by subject; those after the change `at`, where it is given.

    One statement, so that the number and the bodies belong together whatever is changed now.
    """
    rows = await connection.fetch(
        """
        WITH upto AS (SELECT least(number, coalesce($1::bigint, number)) AS number FROM definition_number)
        SELECT upto.number, newest.subject, newest.body
        FROM upto LEFT JOIN LATERAL (
            SELECT DISTINCT ON (d.subject) d.subject, d.body FROM definition d
            WHERE d.number <= upto.number ORDER BY d.subject, d.version DESC
        ) newest ON true
        """,
        at,
    )
    return int(rows[0]["number"]), {row["subject"]: row["body"].encode() for row in rows if row["subject"] is not None}


async def newest(connection: Any, subject: str) -> Row | None:
    return await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM definition WHERE subject = $1 ORDER BY version DESC LIMIT 1", subject
    )


async def all_newest(connection: Any) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        f"SELECT DISTINCT ON (subject) {_COLUMNS} FROM definition ORDER BY subject, version DESC"
    )
    return rows


async def versions_page(connection: Any, subject: str, below: int, count: int) -> list[Row]:
    """Newest first, beginning below a version."""
    rows: list[Row] = await connection.fetch(
        f"SELECT {_COLUMNS} FROM definition WHERE subject = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
        subject,
        below,
        count,
    )
    return rows


async def add(tx: Tx, subject: str, after: int | None, body: bytes, actor: str, at: datetime, note: str) -> Row | None:
    """The next version of a subject; None when its newest one is not `after`, where that is given.

    Whoever changes anything waits for the number, so that nobody sees a later change without an earlier one.
    """
    last = await tx.fetchval("UPDATE definition_number SET number = number + 1 RETURNING number")
    known = await newest(tx, subject)
    version = known["version"] if known is not None else 0
    if after is not None and after != version:
        return None
    return await tx.fetchrow(
        f"INSERT INTO definition ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}",
        subject,
        version + 1,
        last,
        body.decode(),
        actor,
        at,
        note,
    )

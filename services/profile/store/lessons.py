"""What was learned of duplicates, and which work over all records is under way?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx


async def newest_version(connection: Any) -> int:
    """0 while nothing was learned."""
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM duplicate_weights"))


async def weights(connection: Any, version: int) -> Row | None:
    return await connection.fetchrow(
        "SELECT version, body, learned_at FROM duplicate_weights WHERE version = $1", version
    )


async def add_weights(tx: Tx, body: bytes, at: datetime) -> int:
    return int(
        await tx.fetchval(
            "INSERT INTO duplicate_weights (body, learned_at) VALUES ($1, $2) RETURNING version", body, at
        )
    )


async def begin(tx: Tx, kind: str, actor: str, note: str, at: datetime) -> int:
    return int(
        await tx.fetchval(
            "INSERT INTO duplicate_job (kind, total, actor, note, created_at)"
            " SELECT $1, count(*), $2, $3, $4 FROM portrait RETURNING job",
            kind,
            actor,
            note,
            at,
        )
    )


async def claim(tx: Tx, kind: str, lease_seconds: float) -> Row | None:
    """The eldest of its kind that is not ended and that nobody else is at; ours for so long."""
    return await tx.fetchrow(
        """
        UPDATE duplicate_job SET taken_until = clock_timestamp() + make_interval(secs => $2)
        WHERE job = (
            SELECT job FROM duplicate_job WHERE kind = $1 AND ended_at IS NULL AND taken_until < clock_timestamp()
            ORDER BY job LIMIT 1 FOR UPDATE SKIP LOCKED
        ) RETURNING job, cursor::text, marked, last_number
        """,
        kind,
        lease_seconds,
    )


async def mark(tx: Tx, job: int, count: int) -> int:
    """Have the next records looked at again; 0 when there are no more."""
    return int(
        await tx.fetchval(
            """
            WITH next AS (
                SELECT record_id FROM portrait
                WHERE record_id > (SELECT cursor FROM duplicate_job WHERE job = $1) ORDER BY record_id LIMIT $2
            ), looks AS (
                INSERT INTO duplicate_look (record_id) SELECT record_id FROM next RETURNING number
            ), moved AS (
                UPDATE duplicate_job SET
                    cursor = coalesce((SELECT record_id FROM next ORDER BY record_id DESC LIMIT 1), cursor),
                    marked = marked + (SELECT count(*) FROM next),
                    last_number = greatest(last_number, (SELECT max(number) FROM looks)),
                    taken_until = '-infinity'
                WHERE job = $1
            ) SELECT count(*) FROM next
            """,
            job,
            count,
        )
    )


async def let_go(tx: Tx, job: int) -> None:
    await tx.execute("UPDATE duplicate_job SET taken_until = '-infinity' WHERE job = $1", job)


async def end(tx: Tx, job: int, at: datetime, version: int | None = None) -> None:
    await tx.execute("UPDATE duplicate_job SET ended_at = $2, version = $3 WHERE job = $1", job, at, version)


async def is_looked_at(connection: Any, number: int) -> bool:
    """Whether every look up to this number has been done."""
    return not await connection.fetchval("SELECT EXISTS (SELECT 1 FROM duplicate_look WHERE number <= $1)", number)


_JOB = (
    "SELECT job, kind, total, marked, version, actor, note, created_at, ended_at,"
    " (SELECT count(*) FROM (SELECT 1 FROM duplicate_look WHERE number <= last_number LIMIT 100000) AS w) AS waiting"
    " FROM duplicate_job"
)


async def job(connection: Any, kind: str, number: int) -> Row | None:
    return await connection.fetchrow(f"{_JOB} WHERE kind = $1 AND job = $2", kind, number)


async def jobs_page(connection: Any, kind: str, before: int | None, count: int) -> list[Row]:
    """Newest first."""
    rows: list[Row] = await connection.fetch(
        f"{_JOB} WHERE kind = $1 AND ($2::integer IS NULL OR job < $2) ORDER BY job DESC LIMIT $3", kind, before, count
    )
    return rows

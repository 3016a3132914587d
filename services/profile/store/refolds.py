"""Which jobs fold profiles again, and how far are they?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx

_ROW = (
    "SELECT r.*, coalesce(sum(p.done), 0)::bigint AS done, coalesce(sum(p.differed), 0)::bigint AS differed,"
    " max(p.moved_at) AS moved_at FROM refold r LEFT JOIN refold_progress p USING (job)"
)


async def begin(tx: Tx, *, verify: bool, announce: bool, since: int | None, actor: str, note: str, at: datetime) -> int:
    """A job over all customers that are there now."""
    return int(
        await tx.fetchval(
            "INSERT INTO refold (verify, announce, actor, note, created_at, since, total)"
            " SELECT $1, $2, $3, $4, $5, $6, count(*) FROM customer RETURNING job",
            verify,
            announce,
            actor,
            note,
            at,
            since,
        )
    )


async def stop(tx: Tx, job: int, at: datetime) -> bool:
    found = await tx.fetchval(
        "UPDATE refold SET stopped_at = $2 WHERE job = $1 AND ordered_at IS NULL AND stopped_at IS NULL RETURNING job",
        job,
        at,
    )
    return found is not None


async def one(connection: Any, job: int) -> Row | None:
    return await connection.fetchrow(f"{_ROW} WHERE r.job = $1 GROUP BY r.job", job)


async def page(connection: Any, before: int | None, count: int) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        f"{_ROW} WHERE $1::integer IS NULL OR r.job < $1 GROUP BY r.job ORDER BY r.job DESC LIMIT $2", before, count
    )


async def claim(tx: Tx) -> Row | None:
    """The eldest job with customers left to order, with how many are under way; None when somebody else is at it."""
    return await tx.fetchrow(
        "SELECT job, verify, announce, since, cursor, actor, ordered - coalesce("
        "  (SELECT sum(done) FROM refold_progress p WHERE p.job = refold.job), 0)::bigint AS under_way"
        " FROM refold WHERE ordered_at IS NULL AND stopped_at IS NULL ORDER BY job LIMIT 1 FOR UPDATE SKIP LOCKED"
    )


async def next_customers(tx: Tx, after: Any, count: int) -> list[str]:
    rows = await tx.fetch(
        "SELECT customer_id FROM customer WHERE customer_id > $1 ORDER BY customer_id LIMIT $2", after, count
    )
    return [str(row["customer_id"]) for row in rows]


async def advance(tx: Tx, job: int, customers: Sequence[str], at: datetime) -> None:
    """These are ordered; no customers mean that all are."""
    if customers:
        await tx.execute(
            "UPDATE refold SET cursor = $2, ordered = ordered + $3 WHERE job = $1", job, customers[-1], len(customers)
        )
    else:
        await tx.execute("UPDATE refold SET ordered_at = $2 WHERE job = $1", job, at)


async def count(tx: Tx, unit: int, counts: Mapping[int, tuple[int, int]], at: datetime) -> None:
    """Add up how many were folded, and of how many the live state was another one, by job."""
    for job, (done, differed) in sorted(counts.items()):
        await tx.execute(
            "INSERT INTO refold_progress (job, unit, done, differed, moved_at) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (job, unit) DO UPDATE SET done = refold_progress.done + excluded.done,"
            " differed = refold_progress.differed + excluded.differed, moved_at = excluded.moved_at",
            job,
            unit,
            done,
            differed,
            at,
        )

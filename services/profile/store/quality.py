"""How is it written and read whose data are to be put right? A row per record, a line per person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from libs.common.db import Row, Tx


class Rated(NamedTuple):
    """`person_id` is None where the record is the whole person; `good` and `bad` are bits by problem."""

    customer_id: str
    person_id: str | None
    branch: str
    branch_rank: int
    good: int
    bad: int
    confirmed_on: date | None


async def save(tx: Tx, unit: int, rows: Sequence[Rated]) -> None:
    await tx.execute(
        """
        INSERT INTO quality (unit, customer_id, person_id, branch, branch_rank, good, bad, confirmed_on)
        SELECT $1, * FROM unnest(
            $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::smallint[], $7::smallint[], $8::date[])
        ON CONFLICT (customer_id) DO UPDATE SET
            unit = excluded.unit, person_id = excluded.person_id, branch = excluded.branch,
            branch_rank = excluded.branch_rank, good = excluded.good, bad = excluded.bad,
            confirmed_on = excluded.confirmed_on
        """,
        unit,
        *[list(column) for column in zip(*sorted(rows), strict=True)],
    )


async def drop(tx: Tx, customer_ids: Sequence[str]) -> None:
    await tx.execute("DELETE FROM quality WHERE customer_id = ANY($1::uuid[])", sorted(customer_ids))


_PEOPLE = """
    SELECT customer_id, branch, bad & ~good AS problems, confirmed_on
    FROM quality WHERE person_id IS NULL AND ($1::text IS NULL OR branch = $1)
    UNION ALL
    SELECT * FROM (
        SELECT min(customer_id::text)::uuid AS customer_id,
            (array_agg(branch ORDER BY branch_rank DESC, customer_id))[1] AS branch,
            bit_or(bad) & ~bit_or(good) AS problems, max(confirmed_on) AS confirmed_on
        FROM quality WHERE person_id IS NOT NULL GROUP BY person_id
    ) AS linked WHERE $1::text IS NULL OR branch = $1
"""


async def counts(connection: Any, branch: str | None, problems: int, stale_before: date) -> list[Row]:
    """By branch: people, those with any problem, the stale ones, and how many have each of `problems` kinds of bits."""
    columns = ", ".join(f"count(*) FILTER (WHERE problems & {1 << bit} <> 0) AS p{bit}" for bit in range(problems))
    rows: list[Row] = await connection.fetch(
        f"""
        SELECT branch, count(*) AS customers,
            count(*) FILTER (WHERE problems <> 0 OR confirmed_on < $2) AS affected,
            count(*) FILTER (WHERE confirmed_on < $2) AS stale, {columns}
        FROM ({_PEOPLE}) AS people GROUP BY branch ORDER BY branch
        """,
        branch,
        stale_before,
    )
    return rows


async def page(
    connection: Any, branch: str | None, bits: int, stale_before: date | None, after: str | None, count: int
) -> list[Row]:
    """People with one of the problems in `bits`, or not confirmed since `stale_before`, in the order of their ids."""
    rows: list[Row] = await connection.fetch(
        f"""
        SELECT customer_id, branch, problems, confirmed_on FROM ({_PEOPLE}) AS people
        WHERE (problems & $2 <> 0 OR confirmed_on < $3) AND ($4::uuid IS NULL OR customer_id > $4)
        ORDER BY customer_id LIMIT $5
        """,
        branch,
        bits,
        stale_before,
        after,
        count,
    )
    return rows

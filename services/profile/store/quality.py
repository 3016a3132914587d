"""How is it written and read whose data are to be put right? A row per record, a line per person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

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


async def move(tx: Tx, branches: Mapping[str, str]) -> None:
    """Give rows that are there another branch."""
    ordered = sorted(branches)
    await tx.execute(
        "UPDATE quality SET branch = new.branch FROM unnest($1::uuid[], $2::text[]) AS new (customer_id, branch)"
        " WHERE quality.customer_id = new.customer_id",
        ordered,
        [branches[each] for each in ordered],
    )


async def drop(tx: Tx, customer_ids: Sequence[str]) -> None:
    await tx.execute("DELETE FROM quality WHERE customer_id = ANY($1::uuid[])", sorted(customer_ids))


async def counts(connection: Any, problems: int, stale_before: date) -> list[Row]:
    """By branch: people, those with any problem, the stale ones, and how many have each of `problems` kinds of bits.

    Reads the whole table: a second for a million customers.
    """
    columns = ", ".join(f"count(*) FILTER (WHERE problems & {1 << bit} <> 0) AS p{bit}" for bit in range(problems))
    rows: list[Row] = await connection.fetch(
        f"""
        SELECT branch, count(*) AS customers,
            count(*) FILTER (WHERE problems <> 0 OR confirmed_on < $1) AS affected,
            count(*) FILTER (WHERE confirmed_on < $1) AS stale, {columns}
        FROM (
            SELECT branch, bad & ~good AS problems, confirmed_on FROM quality WHERE person_id IS NULL
            UNION ALL
            SELECT (array_agg(branch ORDER BY branch_rank DESC, customer_id))[1],
                bit_or(bad) & ~bit_or(good), max(confirmed_on)
            FROM quality WHERE person_id IS NOT NULL GROUP BY person_id
        ) AS people GROUP BY branch ORDER BY branch
        """,
        stale_before,
    )
    return rows


SELDOM: Final = 0b11111
"""The bits of what is known of few: that something bounced or is wrong. An index finds who has one of these."""

_HOME: Final = "(array_agg(o.customer_id ORDER BY o.branch_rank DESC, o.customer_id))[1]"

_PEOPLE: Final = f"""
    {{rows}} CROSS JOIN LATERAL (
        SELECT q.customer_id, q.branch, q.bad & ~q.good AS problems, q.confirmed_on WHERE q.person_id IS NULL
        UNION ALL
        SELECT {_HOME},
            (array_agg(o.branch ORDER BY o.branch_rank DESC, o.customer_id))[1],
            bit_or(o.bad) & ~bit_or(o.good), max(o.confirmed_on)
        FROM quality o WHERE o.person_id = q.person_id {{only}}
    ) AS person
"""
"""The people of some rows `q`, each named by the record whose branch is theirs."""

_FIRST: Final = "00000000-0000-0000-0000-000000000000"

_WALKED: Final = f"""
    SELECT person.* FROM {_PEOPLE.format(rows="quality q", only=f"HAVING {_HOME} = q.customer_id")}
    WHERE (problems & $1 <> 0 OR person.confirmed_on < $2)
      AND q.customer_id > $3 {{branch}} ORDER BY q.customer_id LIMIT $4
"""

_SELDOM_SEEN: Final = f"(SELECT * FROM quality WHERE bad & {SELDOM} <> 0) AS q"

_PICKED: Final = f"""
    SELECT DISTINCT person.* FROM {_PEOPLE.format(rows=_SELDOM_SEEN, only="")}
    WHERE q.bad & $1 <> 0 AND (problems & $1 <> 0 OR person.confirmed_on < $2)
      AND person.customer_id > $3 {{branch}} ORDER BY person.customer_id LIMIT $4
"""


async def page(
    connection: Any, branch: str | None, bits: int, stale_before: date | None, after: str | None, count: int
) -> list[Row]:
    """People with one of the problems in `bits`, or not confirmed since `stale_before`, in the order of their ids.

    What many have is met soon on the way through all rows or those of a branch; what few have is picked by an index.
    """
    picked = stale_before is None and not bits & ~SELDOM
    named = "" if branch is None else "AND person.branch = $5" if picked else "AND q.branch = $5"
    query = (_PICKED if picked else _WALKED).format(branch=named)
    rows: list[Row] = await connection.fetch(
        query, bits, stale_before, after or _FIRST, count, *(() if branch is None else (branch,))
    )
    return rows

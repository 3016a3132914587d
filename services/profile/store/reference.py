"""How are products, places and staff written and read, and the codes that stand for none of them? Set-based."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from libs.common.db import Row, Tx


@dataclass(frozen=True)
class Table:
    """A list of reference data: its columns behind the code, each with its SQL type; the first says what it is called.

    `kind` is how unknown codes of it are called.
    """

    name: str
    kind: str
    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


PRODUCTS: Final = Table(
    "product", "product", (("name", "text"), ("category", "text"), ("brand", "text"), ("margin", "numeric"))
)
PLACES: Final = Table(
    "place",
    "place",
    (
        *(("name", "text"), ("kind", "text"), ("parent", "text"), ("zone", "text"), ("ownership", "text")),
        ("opening_hours", "text"),
    ),
)
STAFF: Final = Table("staff", "staff", (("name", "text"), ("job", "text"), ("place", "text")))

HOURS_JOIN: Final = "; "
"""Opening hours travel as one text, since PostgreSQL has no arrays of lists of different lengths."""


async def next_number(tx: Tx) -> int:
    """The number of this change; until it is committed nobody else changes reference data."""
    return int(await tx.fetchval("UPDATE reference_number SET number = number + 1 RETURNING number"))


async def number(connection: Any) -> int:
    return int(await connection.fetchval("SELECT number FROM reference_number"))


async def upsert(tx: Tx, table: Table, rows: Sequence[tuple[Any, ...]], actor: str, at: datetime, change: int) -> int:
    """Rows are code and columns; returns how many are new or say something else than before."""
    names = table.names
    taken = ", ".join(_taken(name) for name in names)
    types = ", ".join(f"${n + 4}::{kind}[]" for n, kind in enumerate(["text", *(kind for _, kind in table.columns)]))
    done = await tx.execute(
        f"""
        INSERT INTO {table.name} AS held (code, {", ".join(names)}, number, actor, changed_at)
        SELECT code, {taken}, $1, $2, $3 FROM unnest({types}) AS new (code, {", ".join(names)}) ORDER BY code
        ON CONFLICT (code) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in names)}, gone = false,
            number = excluded.number, actor = excluded.actor, changed_at = excluded.changed_at
        WHERE held.gone OR ({", ".join(f"held.{name}" for name in names)})
            IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in names)})
        """,
        change,
        actor,
        at,
        *[list(column) for column in zip(*rows, strict=True)],
    )
    await tx.execute(
        "DELETE FROM unknown_code WHERE kind = $1 AND code = ANY($2)", table.kind, [row[0] for row in rows]
    )
    return int(done.rsplit(" ", 1)[1])


def _taken(name: str) -> str:
    if name != "opening_hours":
        return name
    return f"CASE WHEN {name} = '' THEN '{{}}'::text[] ELSE string_to_array({name}, '{HOURS_JOIN}') END"


async def remove(tx: Tx, table: Table, code: str, actor: str, at: datetime, change: int) -> bool:
    done = await tx.execute(
        f"UPDATE {table.name} SET gone = true, number = $2, actor = $3, changed_at = $4 WHERE code = $1 AND NOT gone",
        code,
        change,
        actor,
        at,
    )
    return bool(done.endswith(" 1"))


async def one(connection: Any, table: Table, code: str) -> Row | None:
    return await connection.fetchrow(f"SELECT * FROM {table.name} WHERE code = $1 AND NOT gone", code)


async def page(
    connection: Any, table: Table, after: str, count: int, *, where: Sequence[tuple[str, str]] = ()
) -> list[Row]:
    """In the order of their codes; `where` are columns and the beginnings of their values."""
    conditions = "".join(f" AND starts_with({name}, ${n + 3})" for n, (name, _) in enumerate(where))
    rows: list[Row] = await connection.fetch(
        f"SELECT * FROM {table.name} WHERE code > $1 AND NOT gone{conditions} ORDER BY code LIMIT $2",
        after,
        count,
        *[value for _, value in where],
    )
    return rows


async def count(connection: Any, table: Table) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table.name} WHERE NOT gone"))


async def existing(connection: Any, table: Table, codes: Sequence[str]) -> dict[str, Row]:
    rows = await connection.fetch(f"SELECT * FROM {table.name} WHERE code = ANY($1) AND NOT gone", list(codes))
    return {row["code"]: row for row in rows}


async def all_of(connection: Any, table: Table) -> list[Row]:
    rows: list[Row] = await connection.fetch(f"SELECT * FROM {table.name} WHERE NOT gone ORDER BY code")
    return rows


async def above(connection: Any, code: str) -> list[Row]:
    """A place and those above it, the nearest first."""
    rows: list[Row] = await connection.fetch(
        """
        WITH RECURSIVE way AS (
            SELECT p.*, 0 AS height FROM place p WHERE code = $1 AND NOT gone
            UNION ALL SELECT p.*, way.height + 1 FROM way JOIN place p ON p.code = way.parent
            WHERE NOT p.gone AND way.height < 10
        ) SELECT * FROM way ORDER BY height
        """,
        code,
    )
    return rows


async def changed_since(connection: Any, table: Table, seen: int, code: str, count: int) -> list[Row]:
    """What has changed after a number, those that are gone among them, page by page in the order of number and code."""
    rows: list[Row] = await connection.fetch(
        f"SELECT * FROM {table.name} WHERE (number, code) > ($1, $2) ORDER BY number, code LIMIT $3",
        seen,
        code,
        count,
    )
    return rows


# --- unknown codes ---------------------------------------------------------------------------------------------

Sighting = tuple[str, str, int, datetime, datetime, str]
"""Kind, code, in how many events, when first and last, and the source of the last one."""


async def add_unknown(tx: Tx, unit: int, rows: Sequence[Sighting]) -> None:
    ordered = sorted(rows)
    await tx.execute(
        """
        INSERT INTO unknown_code AS held (unit, kind, code, events, first_at, last_at, source)
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[])
        ON CONFLICT (kind, code, unit) DO UPDATE SET events = held.events + excluded.events,
            last_at = greatest(held.last_at, excluded.last_at), source = excluded.source
        """,
        unit,
        *[list(column) for column in zip(*ordered, strict=True)],
    )


async def unknown_page(connection: Any, kind: str, after: str, count: int) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT kind, code, sum(events)::bigint AS events, min(first_at) AS first_at, max(last_at) AS last_at,"
        " (array_agg(source ORDER BY last_at DESC))[1] AS source"
        " FROM unknown_code WHERE kind = $1 AND code > $2 GROUP BY kind, code ORDER BY code LIMIT $3",
        kind,
        after,
        count,
    )
    return rows

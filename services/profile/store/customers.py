"""How are the states of customers and their timeline read and written? One trip a batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx


async def load_customers(tx: Tx, customer_ids: Collection[str]) -> dict[str, bytes]:
    rows = await tx.fetch(
        "SELECT customer_id, body FROM customer WHERE customer_id = ANY($1::uuid[])", list(customer_ids)
    )
    return {str(row["customer_id"]): bytes(row["body"]) for row in rows}


async def save(
    tx: Tx, unit: int, customers: Sequence[tuple[str, int, bytes]], timeline: Sequence[tuple[Any, ...]]
) -> None:
    """Customers are id, version and body, one row each; timeline rows as its columns, without the unit.

    One statement for both, since every trip to the database is paid once a batch.
    """
    states = sorted(customers)
    await tx.execute(
        """
        WITH past AS (
            INSERT INTO timeline (unit, customer_id, time, event_id, type, source, channel, body, told)
            SELECT $1, * FROM unnest(
                $5::uuid[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[],
                $12::bytea[])
        )
        INSERT INTO customer (unit, customer_id, version, body)
        SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::bytea[])
        ON CONFLICT (customer_id) DO UPDATE SET version = excluded.version, body = excluded.body
        """,
        unit,
        *_columns(states, 3),
        *_columns(timeline, 8),
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


async def timeline_page(
    connection: Any, records: Sequence[str], before: tuple[datetime, str] | None, count: int
) -> list[Row]:
    """Newest first; `before` is the time and event id of the last row of the page before."""
    time, event_id = before if before is not None else (None, "")
    rows: list[Row] = await connection.fetch(
        "SELECT customer_id, time, event_id, type, source, channel, body, told FROM timeline"
        " WHERE customer_id = ANY($1::uuid[]) AND ($2::timestamptz IS NULL OR (time, event_id) < ($2, $3))"
        " ORDER BY time DESC, event_id DESC LIMIT $4",
        list(records),
        time,
        event_id,
        count,
    )
    return rows

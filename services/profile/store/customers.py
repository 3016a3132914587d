"""How are the states of customers and their timeline read and written? One trip a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from libs.common.db import Row, Tx
from services.profile.person.state import FORM


async def load_customers(tx: Tx, customer_ids: Collection[str]) -> dict[str, tuple[int, bytes]]:
    """The form and the body of these."""
    rows = await tx.fetch(
        "SELECT customer_id, form, body FROM customer WHERE customer_id = ANY($1::uuid[])", list(customer_ids)
    )
    return {str(row["customer_id"]): (row["form"], bytes(row["body"])) for row in rows}


COPIED_FROM: Final = 50
_LINE: Final = ("unit", "customer_id", "time", "event_id", "type", "source", "channel", "body", "told")


async def save(
    tx: Tx, unit: int, customers: Sequence[tuple[str, int, bytes]], timeline: Sequence[tuple[Any, ...]]
) -> None:
    """Customers are id, version and body, one row each; timeline rows as its columns, without the unit.

    Few rows are one statement for both, since every trip to the database is paid once a batch; many are copied, which
    costs a trip more and a third less for each row.
    """
    if len(timeline) >= COPIED_FROM:
        await tx.copy("timeline", _LINE, [(unit, *line) for line in timeline])
        timeline = ()
    states = sorted(customers)
    await tx.execute(
        """
        WITH past AS (
            INSERT INTO timeline (unit, customer_id, time, event_id, type, source, channel, body, told)
            SELECT $1, * FROM unnest(
                $5::uuid[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[],
                $12::bytea[])
        )
        INSERT INTO customer (unit, form, customer_id, version, body)
        SELECT $1, $13, * FROM unnest($2::uuid[], $3::bigint[], $4::bytea[])
        ON CONFLICT (customer_id) DO UPDATE
        SET version = excluded.version, body = excluded.body, form = excluded.form
        """,
        unit,
        *_columns(states, 3),
        *_columns(timeline, 8),
        FORM,
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


async def timeline_of(tx: Tx, customer_ids: Sequence[str]) -> AsyncIterator[Row]:
    """All rows of some records, each record's in the order of time, as a stream."""
    rows = tx.connection.cursor(
        "SELECT customer_id, time, event_id, type, source, channel, body, told FROM timeline"
        " WHERE customer_id = ANY($1::uuid[]) ORDER BY customer_id, time, event_id",
        list(customer_ids),
        prefetch=1_000,
    )
    async for row in rows:
        yield row


class Chosen(NamedTuple):
    """Which rows of a timeline are asked for: empty and None stand for all; `since` is included, `until` is not."""

    types: Sequence[str] = ()
    channels: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None


async def timeline_page(
    connection: Any, records: Sequence[str], chosen: Chosen, before: tuple[datetime, str] | None, count: int
) -> list[Row]:
    """Newest first; `before` is the time and event id of the last row of the page before."""
    time, event_id = before if before is not None else (None, "")
    # One index scan for each record: what is to be sorted are as many rows as are asked for, not all there are.
    rows: list[Row] = await connection.fetch(
        """
        SELECT line.* FROM unnest($1::uuid[]) AS record (id) CROSS JOIN LATERAL (
            SELECT customer_id, time, event_id, type, source, channel, body, told FROM timeline
            WHERE customer_id = record.id
              AND ($2::timestamptz IS NULL OR (time, event_id) < ($2, $3))
              AND (cardinality($5::text[]) = 0 OR type = ANY($5)) AND (cardinality($6::text[]) = 0 OR channel = ANY($6))
              AND ($7::timestamptz IS NULL OR time >= $7) AND ($8::timestamptz IS NULL OR time < $8)
            ORDER BY time DESC, event_id DESC LIMIT $4
        ) AS line ORDER BY time DESC, event_id DESC LIMIT $4
        """,
        list(records),
        time,
        event_id,
        count,
        list(chosen.types),
        list(chosen.channels),
        chosen.since,
        chosen.until,
    )
    return rows

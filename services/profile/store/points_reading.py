"""How is the ledger of points looked at? Balances, entries page by page, what is open, and sums for the company."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from libs.common.db import Row
from services.profile.person.points import Points

_decode: Final = msgspec.msgpack.Decoder(Points).decode


async def standings(connection: Any, records: Sequence[str]) -> dict[str, Points]:
    rows = await connection.fetch(
        "SELECT customer_id, summary FROM points_account WHERE customer_id = ANY($1::uuid[])", list(records)
    )
    return {str(row["customer_id"]): _decode(bytes(row["summary"])) for row in rows}


async def lots(connection: Any, records: Sequence[str]) -> list[Row]:
    """What the records have, by record, business unit and last day; what ends first first."""
    rows: list[Row] = await connection.fetch(
        "SELECT customer_id, business_unit, expires_on, left_points FROM points_lot"
        " WHERE customer_id = ANY($1::uuid[]) AND left_points > 0"
        " ORDER BY expires_on, customer_id, business_unit",
        list(records),
    )
    return rows


async def open_of(connection: Any, records: Sequence[str], count: int) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT * FROM points_open WHERE customer_id = ANY($1::uuid[]) AND state = 'open'"
        " ORDER BY at, entry_id LIMIT $2",
        list(records),
        count,
    )
    return rows


async def entry(connection: Any, entry_id: str) -> Row | None:
    row: Row | None = await connection.fetchrow("SELECT * FROM points_entry WHERE entry_id = $1", entry_id)
    return row


async def entries_page(
    connection: Any, records: Sequence[str], before: tuple[datetime, str] | None, count: int
) -> list[Row]:
    """Entries that came to these records or moved points of theirs, the newest first, each with its postings there."""
    at, entry_id = before if before is not None else (None, None)
    rows: list[Row] = await connection.fetch(
        """
        WITH page AS (
            SELECT DISTINCT p.booked_at, p.entry_id FROM unnest($1::uuid[]) AS record (id), LATERAL (
                SELECT DISTINCT booked_at, entry_id FROM points_posting
                WHERE customer_id = record.id
                  AND ($2::timestamptz IS NULL OR (booked_at, entry_id) < ($2, $3::uuid))
                ORDER BY booked_at DESC, entry_id DESC LIMIT $4
            ) AS p ORDER BY p.booked_at DESC, p.entry_id DESC LIMIT $4
        )
        SELECT e.*, (
            SELECT jsonb_agg(jsonb_build_object(
                'customer_id', p.customer_id, 'business_unit', p.business_unit, 'kind', p.kind, 'points', p.points,
                'expires_on', nullif(p.expires_on, 'infinity')))
            FROM points_posting p
            WHERE p.entry_id = e.entry_id AND p.customer_id = ANY($1::uuid[]) AND p.points <> 0
        ) AS postings
        FROM page JOIN points_entry e USING (entry_id) ORDER BY page.booked_at DESC, page.entry_id DESC
        """,
        list(records),
        at,
        entry_id,
        count,
    )
    return rows


async def open_entry(connection: Any, entry_id: str) -> Row | None:
    row: Row | None = await connection.fetchrow("SELECT * FROM points_open WHERE entry_id = $1", entry_id)
    return row


async def opens_page(connection: Any, state: str, before: tuple[datetime, str] | None, count: int) -> list[Row]:
    at, entry_id = before if before is not None else (None, None)
    rows: list[Row] = await connection.fetch(
        "SELECT * FROM points_open WHERE state = $1"
        " AND ($2::timestamptz IS NULL OR (changed_at, entry_id) < ($2, $3::uuid))"
        " ORDER BY changed_at DESC, entry_id DESC LIMIT $4",
        state,
        at,
        entry_id,
        count,
    )
    return rows


async def totals(connection: Any) -> list[Row]:
    """Points by what moved them, whose they were and where: a few rows for each unit of the worker."""
    rows: list[Row] = await connection.fetch(
        "SELECT kind, issuer, business_unit, sum(points)::bigint AS points FROM points_total"
        " GROUP BY kind, issuer, business_unit ORDER BY issuer, kind, business_unit"
    )
    return rows


async def liabilities(connection: Any) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT issuer, month, sum(points)::bigint AS points FROM points_liability"
        " GROUP BY issuer, month HAVING sum(points) <> 0 ORDER BY issuer, month"
    )
    return rows

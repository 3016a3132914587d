"""Which traits came from outside, and how many of the people meant do we know?"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Any, NamedTuple

from libs.common.db import Row, Tx


class Delivery(NamedTuple):
    """One delivery: its conditions, and what came of its lines; `traits` (JSON) is how often each was given."""

    enrichment_id: str
    source: str
    licence: str
    expires_on: date
    actor: str
    received_at: datetime
    lines: int
    matched: int
    unmatched: int
    refused: int
    customers: int
    traits: str
    digest: str


async def add(tx: Tx, delivery: Delivery) -> str:
    """The digest of the delivery that stands under this id, which may have been there before."""
    places = ", ".join(f"${n + 1}" for n in range(len(delivery)))
    await tx.execute(
        f"INSERT INTO enrichment ({', '.join(Delivery._fields)}) VALUES ({places}) ON CONFLICT DO NOTHING", *delivery
    )
    found = await tx.fetchval("SELECT digest FROM enrichment WHERE enrichment_id = $1", delivery.enrichment_id)
    return str(found)


async def one(connection: Any, enrichment_id: str) -> Row | None:
    return await connection.fetchrow("SELECT * FROM enrichment WHERE enrichment_id = $1", enrichment_id)


async def page(connection: Any, before: tuple[datetime, str] | None, count: int) -> list[Row]:
    at, enrichment_id = before if before is not None else (None, None)
    rows: list[Row] = await connection.fetch(
        "SELECT * FROM enrichment WHERE $1::timestamptz IS NULL OR (received_at, enrichment_id) < ($1, $2::uuid)"
        " ORDER BY received_at DESC, enrichment_id DESC LIMIT $3",
        at,
        enrichment_id,
        count,
    )
    return rows


async def records_by_key(connection: Any, keys: Collection[str], record_ids: Collection[str]) -> dict[str, str]:
    """The record that each identifier belongs to, as far as it joins anybody; ids of records stand for themselves."""
    rows = await connection.fetch(
        "SELECT key, record_id FROM identifier WHERE key = ANY($1::text[]) AND silent = ''"
        " UNION ALL SELECT 'customer_id:' || record_id, record_id FROM record WHERE record_id = ANY($2::uuid[])",
        list(keys),
        list(record_ids),
    )
    return {row["key"]: str(row["record_id"]) for row in rows}


async def applied(connection: Any, command_ids: Collection[str]) -> int:
    return int(
        await connection.fetchval("SELECT count(*) FROM command WHERE command_id = ANY($1::uuid[])", list(command_ids))
    )

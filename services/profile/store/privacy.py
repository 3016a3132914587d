"""What have people asked of us about their own data, and what was decided?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx

_ROW = (
    "request_id, customer_id, kind, source, reference, asked_at, due_at, state, decided_by, decided_at, note,"
    " erasure_id"
)


async def add_requests(tx: Tx, rows: Sequence[tuple[str, str, str, str, str, datetime, datetime]]) -> None:
    """(id, customer, kind, source, reference, asked at, due at)."""
    await tx.execute(
        "INSERT INTO privacy_request (request_id, customer_id, kind, source, reference, asked_at, due_at, state)"
        " SELECT *, 'open' FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],"
        " $7::timestamptz[]) ON CONFLICT DO NOTHING",
        *(list(column) for column in zip(*sorted(rows), strict=True)),
    )


async def requests_page(
    connection: Any, state: str | None, before: tuple[datetime, str] | None, count: int
) -> list[Row]:
    """Newest first."""
    at, request_id = before if before is not None else (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        f"SELECT {_ROW} FROM privacy_request WHERE ($1::text IS NULL OR state = $1)"
        " AND ($2::timestamptz IS NULL OR (asked_at, request_id) < ($2, $3::uuid))"
        " ORDER BY asked_at DESC, request_id DESC LIMIT $4",
        state,
        at,
        request_id,
        count,
    )


async def locked_request(tx: Tx, request_id: str) -> Row | None:
    return await tx.fetchrow(f"SELECT {_ROW} FROM privacy_request WHERE request_id = $1 FOR UPDATE", request_id)


async def decide(
    tx: Tx, request_id: str, state: str, actor: str, at: datetime, note: str, erasure_id: str | None
) -> Row | None:
    return await tx.fetchrow(
        "UPDATE privacy_request SET state = $2, decided_by = $3, decided_at = $4, note = $5, erasure_id = $6"
        f" WHERE request_id = $1 RETURNING {_ROW}",
        request_id,
        state,
        actor,
        at,
        note,
        erasure_id,
    )

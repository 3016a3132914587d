"""How strictly is each source held to the tracking plan? Functions that take a connection or a `tx`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx


async def all_modes(connection: Any) -> list[Row]:
    rows: list[Row] = await connection.fetch("SELECT pattern, mode FROM source_mode ORDER BY pattern")
    return rows


async def list_modes(connection: Any, limit: int, after: str) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT pattern, mode, note, set_by, set_at FROM source_mode WHERE pattern > $2 ORDER BY pattern LIMIT $1",
        limit,
        after,
    )
    return rows


async def count_modes(tx: Tx) -> int:
    number: int = await tx.fetchval("SELECT count(*) FROM source_mode")
    return number


async def put_mode(tx: Tx, pattern: str, mode: str, note: str, actor: str, now: datetime) -> None:
    await tx.execute(
        "INSERT INTO source_mode (pattern, mode, note, set_by, set_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (pattern) DO UPDATE SET mode = excluded.mode, note = excluded.note,"
        " set_by = excluded.set_by, set_at = excluded.set_at",
        pattern,
        mode,
        note,
        actor,
        now,
    )


async def delete_mode(tx: Tx, pattern: str) -> bool:
    return await tx.fetchval("DELETE FROM source_mode WHERE pattern = $1 RETURNING pattern", pattern) is not None

"""Which write keys are stored? Functions that take a connection or a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row
from services.ingest.keys import StoredKey


async def live_keys(connection: Any) -> list[StoredKey]:
    rows = await connection.fetch(
        "SELECT key_id, secret_hash, channel, sources, permissions FROM write_key"
        " WHERE revoked_at IS NULL ORDER BY key_id"
    )
    return [
        StoredKey(
            row["key_id"],
            row["secret_hash"],
            row["channel"],
            tuple(row["sources"]),
            tuple(row["permissions"]),
        )
        for row in rows
    ]


async def add_keys(connection: Any, keys: Sequence[StoredKey], now: datetime) -> int:
    """Stores the keys that are not there yet, revoked or not; returns how many that were."""
    added = 0
    for key in sorted(keys, key=lambda key: key.key_id):
        status = await connection.execute(
            "INSERT INTO write_key (key_id, secret_hash, channel, sources, permissions, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            key.key_id,
            key.secret_hash,
            key.channel,
            list(key.sources),
            list(key.permissions),
            now,
        )
        added += int(status.rsplit(" ", 1)[1])
    return added


async def revoke_key(connection: Any, key_id: str, now: datetime) -> bool:
    """False when there is no such key; a key that was revoked before stays as it is."""
    found = await connection.fetchval(
        "UPDATE write_key SET revoked_at = coalesce(revoked_at, $2) WHERE key_id = $1 RETURNING key_id",
        key_id,
        now,
    )
    return found is not None


async def list_keys(connection: Any, limit: int, after: tuple[datetime, str] | None) -> list[Row]:
    """Keys by age, revoked ones among them, from the one after `after`."""
    rows: list[Row] = await connection.fetch(
        "SELECT key_id, channel, sources, permissions, created_at, revoked_at, last_used_at FROM write_key"
        " WHERE $2::timestamptz IS NULL OR (created_at, key_id) > ($2, $3)"
        " ORDER BY created_at, key_id LIMIT $1",
        limit,
        *(after or (None, None)),
    )
    return rows


async def record_use(connection: Any, key_ids: Sequence[str], now: datetime) -> None:
    await connection.execute("UPDATE write_key SET last_used_at = $2 WHERE key_id = ANY($1)", sorted(key_ids), now)

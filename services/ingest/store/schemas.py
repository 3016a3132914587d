"""Which event types did the owners register? Functions that take a connection or a transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from libs.common.db import Row


async def own_types(connection: Any) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT name, description, created_by, created_at FROM event_type ORDER BY name"
    )
    return rows


async def put_type(connection: Any, name: str, description: str, actor: str, now: datetime) -> bool:
    """True when the type is new; the description of a known one is replaced."""
    # xmax is 0 only in a row that this very statement inserted.
    created: bool = await connection.fetchval(
        "INSERT INTO event_type (name, description, created_by, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (name) DO UPDATE SET description = excluded.description RETURNING xmax = 0",
        name,
        description,
        actor,
        now,
    )
    return created

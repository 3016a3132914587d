"""What stands in the tables about a person? Read as it is; names of tables come from the database's catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.common.db import Row


async def identifiers(connection: Any, records: Sequence[str]) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT key, record_id::text, silent, learned_at FROM identifier WHERE record_id = ANY($1::uuid[])"
        " ORDER BY learned_at, key",
        list(records),
    )


async def records(connection: Any, ids: Sequence[str]) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT record_id::text, person_id::text, created_at FROM record WHERE record_id = ANY($1::uuid[])"
        " ORDER BY created_at, record_id",
        list(ids),
    )


async def links(connection: Any, ids: Sequence[str]) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT link_id::text, one::text, other::text, kind, evidence, event_id, actor, about, linked_at, ended_at,"
        " ended_by, ended_why FROM link WHERE one = ANY($1::uuid[]) OR other = ANY($1::uuid[])"
        " ORDER BY linked_at, link_id",
        list(ids),
    )


async def rows_of(connection: Any, table: str, column: str, kind: str, ids: Sequence[str]) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        f'SELECT * FROM "{table}" WHERE "{column}" = ANY($1::{kind}[])', list(ids)
    )


async def seen_by(connection: Any, ids: Sequence[str], before: int | None, count: int) -> list[Row]:
    """Who of the staff has looked, newest first."""
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT number, at, actor, kind, what, reason FROM audit"
        " WHERE customer_id = ANY($1::uuid[]) AND ($2::bigint IS NULL OR number < $2)"
        " ORDER BY number DESC LIMIT $3",
        list(ids),
        before,
        count,
    )

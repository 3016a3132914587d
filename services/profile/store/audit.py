"""Who looked at whom? Rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from libs.common.db import Row


class Entry(NamedTuple):
    """`what` is the method and the path with names for its parts; `branch` is what the actor is confined to."""

    at: datetime
    actor: str
    kind: str
    what: str
    customer_id: str | None
    reason: str
    branch: str


async def add(connection: Any, entries: Sequence[Entry]) -> None:
    """One statement, which is its own transaction: nobody waits for more trips than that."""
    await connection.execute(
        "INSERT INTO audit (at, actor, kind, what, customer_id, reason, branch) SELECT * FROM unnest("
        "$1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[])",
        *(list(column) for column in zip(*entries, strict=True)),
    )


async def page(
    connection: Any,
    customers: Sequence[str] | None,
    actor: str | None,
    kind: str | None,
    before: int | None,
    count: int,
) -> list[Row]:
    """Newest first; None does not narrow it."""
    rows: list[Row] = await connection.fetch(
        "SELECT number, at, actor, kind, what, customer_id, reason, branch FROM audit"
        " WHERE ($1::uuid[] IS NULL OR customer_id = ANY($1)) AND ($2::text IS NULL OR actor = $2)"
        " AND ($3::text IS NULL OR kind = $3) AND ($4::bigint IS NULL OR number < $4)"
        " ORDER BY number DESC LIMIT $5",
        None if customers is None else list(customers),
        actor,
        kind,
        before,
        count,
    )
    return rows

"""What does the engine remember, row by row? One query to load for a batch and one to save."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from libs.common.db import Tx


class StateRow(NamedTuple):
    """`waiting` says that timers of this customer are set; `expires_at` when nothing in `body` matters any more."""

    customer_id: str
    waiting: bool
    expires_at: datetime
    body: bytes


async def load(tx: Tx, customer_ids: Iterable[str]) -> dict[str, bytes]:
    wanted = sorted(set(customer_ids))
    if not wanted:
        return {}
    rows = await tx.fetch("SELECT customer_id, body FROM rule_state WHERE customer_id = ANY($1)", wanted)
    return {row["customer_id"]: row["body"] for row in rows}


async def load_waiting(tx: Tx, unit: int) -> set[str]:
    """The customers of a unit for whom something waits."""
    rows = await tx.fetch("SELECT customer_id FROM rule_state WHERE unit = $1 AND waiting", unit)
    return {row["customer_id"] for row in rows}


async def save(tx: Tx, unit: int, rows: Sequence[StateRow]) -> None:
    """One row per customer."""
    if not rows:
        return
    ordered = sorted(rows)
    await tx.execute(
        """
        INSERT INTO rule_state (customer_id, unit, waiting, expires_at, body)
        SELECT customer_id, $1, waiting, expires_at, body
        FROM unnest($2::text[], $3::boolean[], $4::timestamptz[], $5::bytea[])
            AS given (customer_id, waiting, expires_at, body)
        ON CONFLICT (customer_id)
        DO UPDATE SET waiting = excluded.waiting, expires_at = excluded.expires_at, body = excluded.body
        """,
        unit,
        [row.customer_id for row in ordered],
        [row.waiting for row in ordered],
        [row.expires_at for row in ordered],
        [row.body for row in ordered],
    )


async def delete_expired(tx: Tx, unit: int, before: datetime) -> None:
    """Forget customers of whom nothing matters any more; a thousand at a time, so that the batch stays short."""
    await tx.execute(
        """
        DELETE FROM rule_state WHERE customer_id = ANY (ARRAY(
            SELECT customer_id FROM rule_state
            WHERE unit = $1 AND NOT waiting AND expires_at < $2 ORDER BY expires_at LIMIT 1000
        ))
        """,
        unit,
        before,
    )


async def delete(tx: Tx, customer_ids: Iterable[str]) -> set[str]:
    """Forget these customers; returns those of whom there was anything."""
    rows = await tx.fetch(
        "DELETE FROM rule_state WHERE customer_id = ANY($1) RETURNING customer_id", sorted(set(customer_ids))
    )
    return {row["customer_id"] for row in rows}

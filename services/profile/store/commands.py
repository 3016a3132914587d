"""What became of the commands of the API? Outcomes by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from libs.common.db import Tx

KEPT_DAYS: Final = 35
"""For so long a command of the same id has no second effect, and it can be asked what became of it."""

FORGOTTEN_AT_ONCE: Final = 10_000


async def note_commands(tx: Tx, unit: int, rows: Sequence[tuple[str, str, str, int]], at: datetime) -> None:
    """Rows are command id, customer id, outcome (empty when applied) and the profile's version after it."""
    if rows:
        await tx.execute(
            "INSERT INTO command (unit, command_id, customer_id, outcome, version, applied_at)"
            " SELECT $1, *, $6 FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bigint[]) ON CONFLICT DO NOTHING",
            unit,
            *[list(column) for column in zip(*rows, strict=True)],
            at,
        )


async def known_commands(tx: Tx, command_ids: Collection[str]) -> set[str]:
    rows = await tx.fetch("SELECT command_id FROM command WHERE command_id = ANY($1::uuid[])", list(command_ids))
    return {str(row["command_id"]) for row in rows}


async def forget_commands(tx: Tx, before: datetime) -> int:
    """Forget some of those that were applied before then; returns how many they were."""
    done = await tx.execute(
        "DELETE FROM command WHERE command_id = ANY(ARRAY("
        f"SELECT command_id FROM command WHERE applied_at < $1 ORDER BY applied_at LIMIT {FORGOTTEN_AT_ONCE}))",
        before,
    )
    return int(done.split()[-1])


async def command_outcome(connection: Any, command_id: str) -> tuple[str, int] | None:
    row = await connection.fetchrow("SELECT outcome, version FROM command WHERE command_id = $1", command_id)
    return None if row is None else (row["outcome"], row["version"])


async def command_outcomes(connection: Any, command_ids: Collection[str]) -> dict[str, str]:
    """The outcomes of those of these commands that have one."""
    rows = await connection.fetch(
        "SELECT command_id, outcome FROM command WHERE command_id = ANY($1::uuid[])", list(command_ids)
    )
    return {str(row["command_id"]): row["outcome"] for row in rows}

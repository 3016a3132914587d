"""What has to happen later? A timer is a row of its unit; it fires in the unit's transaction and is gone with it.

A gated timer waits for the unit's clock, which stands still while anything upstream lags, so that the absence of an
event is never concluded from a backlog. A timer that is not gated waits for the wall clock alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from libs.common.db import Tx


class Timer(NamedTuple):
    """`key` is unique within a worker's unit: setting it again moves it. `payload` is the owner's own bytes."""

    key: str
    due: datetime
    payload: bytes = b""
    gated: bool = True


async def put(tx: Tx, worker: str, unit: int, timers: Sequence[Timer]) -> None:
    """Set timers; of several with one key the last counts."""
    if not timers:
        return
    last = sorted({timer.key: timer for timer in timers}.values())
    await tx.execute(
        """
        INSERT INTO timer (worker, unit, key, due, payload, gated)
        SELECT $1, $2, * FROM unnest($3::text[], $4::timestamptz[], $5::bytea[], $6::boolean[])
        ON CONFLICT (worker, unit, key)
        DO UPDATE SET due = excluded.due, payload = excluded.payload, gated = excluded.gated
        """,
        worker,
        unit,
        [timer.key for timer in last],
        [timer.due for timer in last],
        [timer.payload for timer in last],
        [timer.gated for timer in last],
    )


async def cancel(tx: Tx, worker: str, unit: int, keys: Sequence[str]) -> None:
    if keys:
        await tx.execute(
            "DELETE FROM timer WHERE worker = $1 AND unit = $2 AND key = ANY($3)", worker, unit, list(keys)
        )


async def hasten(tx: Tx, worker: str, unit: int, keys: Sequence[str], due: datetime) -> None:
    """Let timers that would fire later fire then."""
    if keys:
        await tx.execute(
            "UPDATE timer SET due = $4 WHERE worker = $1 AND unit = $2 AND key = ANY($3) AND due > $4",
            worker,
            unit,
            list(keys),
            due,
        )


async def pop(tx: Tx, worker: str, unit: int, clock: datetime, now: datetime, count_max: int) -> list[Timer]:
    """Take out what is due, in the order of due and key: gated timers by `clock`, others by `now`.

    By their place in the table: joined by key, a table whose statistics do not know yet of a herd of new timers makes
    the planner walk through all of them for each (minutes for twenty thousand).
    """
    rows = await tx.fetch(
        """
        DELETE FROM timer WHERE ctid = ANY (ARRAY(
            (SELECT ctid FROM timer WHERE worker = $1 AND unit = $2 AND gated AND due <= $3 ORDER BY due, key LIMIT $5)
            UNION ALL
            (SELECT ctid FROM timer WHERE worker = $1 AND unit = $2 AND NOT gated AND due <= $4
             ORDER BY due, key LIMIT $5)
        ))
        RETURNING key, due, payload, gated
        """,
        worker,
        unit,
        clock,
        now,
        count_max,
    )
    found = [Timer(row["key"], row["due"], bytes(row["payload"]), row["gated"]) for row in rows]
    return sorted(found, key=lambda timer: (timer.due, timer.key))


async def is_due(tx: Tx, worker: str, unit: int, clock: datetime) -> bool:
    """Whether a gated timer waits that may fire by `clock`."""
    found: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM timer WHERE worker = $1 AND unit = $2 AND gated AND due <= $3)", worker, unit, clock
    )
    return found


async def soonest(connection: Any, worker: str, units: Sequence[int]) -> dict[tuple[int, bool], datetime]:
    """When the first timer of each unit is due, by unit and whether it is gated; absent where there is none."""
    rows = await connection.fetch(
        """
        SELECT unit, gated, due FROM unnest($2::integer[]) AS unit CROSS JOIN (VALUES (true), (false)) AS kind (gated),
        LATERAL (SELECT min(t.due) AS due FROM timer t
                 WHERE t.worker = $1 AND t.unit = unit.unit AND t.gated = kind.gated) AS first
        WHERE due IS NOT NULL
        """,
        worker,
        list(units),
    )
    return {(row["unit"], row["gated"]): row["due"] for row in rows}


async def overdue(connection: Any, worker: str) -> tuple[int, datetime | None]:
    """How many timers wait, and when the first of them is due."""
    row = await connection.fetchrow("SELECT count(*), min(due) FROM timer WHERE worker = $1", worker)
    return int(row[0]), row[1]

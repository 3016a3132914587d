"""Whom shall an agent call, and what came of it?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from libs.common.db import Tx

_COLUMNS = (
    "task_id, unit, message_id, decision_id, campaign_id, customer_id, person_id, state, phone, script, created_at,"
    " due, outcome, note, call_back_at, done_by, done_at"
)


class Task(Struct, frozen=True):
    task_id: str
    unit: int
    message_id: str
    decision_id: str
    campaign_id: str
    customer_id: str
    person_id: str
    state: str
    phone: str
    script: str
    created_at: datetime
    due: datetime
    outcome: str = ""
    note: str = ""
    call_back_at: datetime | None = None
    done_by: str = ""
    done_at: datetime | None = None


async def add(tx: Tx, message_id: str, phone: str, script: str, now: datetime) -> None:
    """One task per message, however often it is handed over."""
    await tx.execute(
        """
        INSERT INTO task (task_id, unit, message_id, decision_id, campaign_id, customer_id, person_id, state, phone,
                          script, created_at, due)
        SELECT message_id, unit, message_id, decision_id, campaign_id, customer_id, person_id, 'open', $2, $3, $4,
               valid_until
        FROM message WHERE message_id = $1 AND NOT erased
        ON CONFLICT (task_id) DO NOTHING
        """,
        message_id,
        phone,
        script,
        now,
    )


async def lock(tx: Tx, task_id: str) -> Task | None:
    row = await tx.fetchrow(f"SELECT {_COLUMNS} FROM task WHERE task_id = $1 FOR UPDATE", task_id)
    return None if row is None else Task(*row.values())


async def finish(tx: Tx, task: Task) -> None:
    await tx.execute(
        "UPDATE task SET state = 'done', outcome = $2, note = $3, call_back_at = $4, done_by = $5, done_at = $6"
        " WHERE task_id = $1",
        task.task_id,
        task.outcome,
        task.note,
        task.call_back_at,
        task.done_by,
        task.done_at,
    )


async def open_page(connection: Any, after: tuple[datetime, str] | None, limit: int) -> list[Task]:
    """Open tasks, the one due first on top."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM task WHERE state = 'open' AND ($1::timestamptz IS NULL OR (due, task_id) > ($1, $2))"
        " ORDER BY due, task_id LIMIT $3",
        *(after or (None, None)),
        limit,
    )
    return [Task(*row.values()) for row in rows]


async def done_page(connection: Any, before: tuple[datetime, str] | None, limit: int) -> list[Task]:
    """Finished tasks, the newest on top."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM task WHERE state = 'done'"
        " AND ($1::timestamptz IS NULL OR (created_at, task_id) < ($1, $2))"
        " ORDER BY created_at DESC, task_id DESC LIMIT $3",
        *(before or (None, None)),
        limit,
    )
    return [Task(*row.values()) for row in rows]

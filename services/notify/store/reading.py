"""What do people ask about messages? Lists page by page, and one message with its whole story."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

_COLUMNS = (
    "message_id, decision_id, campaign_id, customer_id, person_id, trigger_id, event_id, channel, class, template,"
    " template_version, variant, state, reason, settled, attempts, possible_duplicate, provider, provider_ref,"
    " requested_at, planned_at, not_before, valid_until, updated_at, recipient, subject, body, received_ms"
)


class Wanted(Struct, frozen=True):
    """Which messages a list holds; what is None does not narrow it. `before` is the place where the page begins."""

    customer_id: str | None = None
    campaign_id: str | None = None
    event_id: str | None = None
    channel: str | None = None
    state: str | None = None
    before: tuple[datetime, str] | None = None


async def page(connection: Any, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Newest first."""
    values: list[Any] = []
    tests: list[str] = []
    for column in ("customer_id", "campaign_id", "event_id", "channel", "state"):
        value = getattr(wanted, column)
        if value is not None:
            values.append(value)
            tests.append(f"{column} = ${len(values)}")
    if wanted.before is not None:
        values += wanted.before
        tests.append(f"(planned_at, message_id) < (${len(values) - 1}, ${len(values)})")
    condition = f"WHERE {' AND '.join(tests)}" if tests else ""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM message {condition}"
        f" ORDER BY planned_at DESC, message_id DESC LIMIT ${len(values) + 1}",
        *values,
        limit,
    )
    return [dict(row) for row in rows]


async def one(connection: Any, message_id: str) -> dict[str, Any] | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM message WHERE message_id = $1", message_id)
    return None if row is None else dict(row)


async def steps(connection: Any, message_id: str) -> list[dict[str, Any]]:
    rows = await connection.fetch(
        "SELECT at, state, detail FROM message_step WHERE message_id = $1 ORDER BY at, number", message_id
    )
    return [dict(row) for row in rows]


async def responses(connection: Any, message_id: str) -> list[dict[str, Any]]:
    rows = await connection.fetch(
        "SELECT response_id AS id, type, at, data FROM response WHERE message_id = $1 ORDER BY at, response_id",
        message_id,
    )
    return [dict(row) for row in rows]

"""How far has a rule learned of the past? For those who look at it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from libs.common.db import Row
from services.rules.warming import store


class WarmingView(BaseModel):
    """Of `units`, those that are `units_ready` know all that the log tells, from `since` on.

    `read` is how much of the log has been read, from 0 to 1. `error` is why the last attempt failed, if it did: it is
    tried again, and the rule goes on with what it has seen itself.
    """

    version: int
    units_ready: int
    units: int
    read: float
    since: datetime | None
    error: str


async def of_rule(connection: Any, rule_id: str, version: int) -> WarmingView | None:
    """None for a version that had nothing to learn."""
    rows = await store.of_rule(connection, rule_id, version)
    return _view(version, rows) if rows else None


def _view(version: int, rows: Sequence[Row]) -> WarmingView:
    done = [row for row in rows if row["state"] in ("read", "ready")]
    under_way = [row for row in rows if row not in done]
    total = sum(row["messages_total"] or 0 for row in under_way)
    share = sum(row["messages_read"] for row in under_way) / total if total else 0.0
    return WarmingView(
        version=version,
        units_ready=sum(row["state"] == "ready" for row in rows),
        units=len(rows),
        read=round((len(done) + len(under_way) * min(1.0, share)) / len(rows), 3),
        since=max((row["since"] for row in done if row["since"] is not None), default=None),
        error=next((row["error"] for row in under_way if row["error"]), ""),
    )

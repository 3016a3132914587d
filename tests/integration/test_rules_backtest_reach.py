"""Which backtests say how many customers a version would reach, and which say too little to go by?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.common import clock
from services.rules.backtest.store import reach_percent
from tests.rules_place import Place, opened

NOW = clock.from_ms(1_772_000_000_000)


@pytest.fixture
async def place(postgres_url: str, kafka_bootstrap: str, topic_prefix: str, fresh_name: str) -> AsyncIterator[Place]:
    async with opened(postgres_url, kafka_bootstrap, topic_prefix, fresh_name) as found:
        yield found


async def reach(connection: Any, **more: Any) -> float | None:
    """By a backtest of the last 30 days alone, which would hit one in ten; `days` are those back from now."""
    known: dict[str, Any] = {
        "days": 30,
        "until_days": 0,
        "log_days": 400,
        "state": "finished",
        "document": {},
        "before": False,
    } | more
    begins = None if known["log_days"] is None else (NOW - timedelta(days=known["log_days"])).isoformat()
    report = {"customers": 10, "customers_seen": 100, "warm_up": {"log_begins": begins}}
    await connection.execute("DELETE FROM backtest")
    await connection.execute(
        "INSERT INTO backtest (id, state, rule_id, version, document, since, until, overlap, in_force_before,"
        " ignore_valid, examples, actor, note, created_at, ended_at, report)"
        " VALUES ($1, $2, 'any', 1, $3, $4, $5, false, $6, $7, 0, 'anna', '', $8, $8, $9)",
        clock.new_id(),
        known["state"],
        msgspec.json.encode(known["document"]).decode(),
        NOW - timedelta(days=known["days"]),
        NOW - timedelta(days=known["until_days"]),
        known["before"],
        known.get("ignore_valid", False),
        # The question is stored a moment after `to` was taken for it.
        NOW + timedelta(milliseconds=20),
        msgspec.json.encode(report).decode(),
    )
    return await reach_percent(connection, "any", 1)


async def test_a_backtest_counts_that_says_enough(place: Place) -> None:
    connection = await asyncpg.connect(place.settings.database_url_of("rules"))
    try:
        assert await reach(connection) == 10.0
        assert await reach(connection, days=130, until_days=100) == 10.0
        assert await reach(connection, days=29) is None, "a quiet week says nothing of a year"
        assert await reach(connection, days=400, until_days=372) is None
        assert await reach(connection, days=400, until_days=100, log_days=110) is None, "the log holds ten of them"
        assert await reach(connection, days=400, log_days=10) == 10.0, "there is no more"
        assert await reach(connection, days=5, log_days=10) is None
        assert await reach(connection, days=400, until_days=9, log_days=10) is None
        assert await reach(connection, state="failed") is None
        assert await reach(connection, before=True) is None, "limits hold back who was hit before the period"
        closed = {"valid": {"from": "2030-01-01T00:00:00Z"}}
        assert await reach(connection, document=closed) is None, "it would not have been in force"
        assert await reach(connection, document=closed, ignore_valid=True) == 10.0
    finally:
        await connection.close()

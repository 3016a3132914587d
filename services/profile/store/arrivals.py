"""Which events were here before? Ids by day of their time, and what came again with another body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from libs.common.db import Row, Tx

CONFLICTS_AT_ONCE = 5_000


class Sighting(NamedTuple):
    """An event's identity as remembered: the day of its time, and hashes of (source, id) and of its body, in hex."""

    day: date
    key: str
    body: str


Identity = tuple[date, str]
"""What an event is told from others by: the day of its time, and the hash of (source, id) in hex."""


async def remember(tx: Tx, sightings: Iterable[Sighting], *, history: bool) -> dict[Identity, str]:
    """Note events; returns those that were noted before, with the hash of the body they had then."""
    wanted = sorted(sightings)
    if not wanted:
        return {}
    table = "seen_history" if history else "seen"
    columns = [list(column) for column in zip(*wanted, strict=True)]
    # Mostly all of them are new: that they are is one row, and not as many as there are events.
    inserted = await tx.fetchrow(
        f"""
        WITH fresh AS (
            INSERT INTO {table} (day, key, body) SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[])
            ON CONFLICT DO NOTHING RETURNING day, key
        )
        SELECT count(*) AS count, CASE WHEN count(*) < $4 THEN array_agg(day) END AS days,
               CASE WHEN count(*) < $4 THEN array_agg(key) END AS keys FROM fresh
        """,
        *columns,
        len(wanted),
    )
    assert inserted is not None
    if inserted["count"] == len(wanted):
        return {}
    new = {(day, key.hex) for day, key in zip(inserted["days"] or (), inserted["keys"] or (), strict=True)}
    old = [each for each in wanted if (each.day, each.key) not in new]
    rows = await tx.fetch(
        f"SELECT s.day, s.key, s.body FROM {table} s"
        " JOIN unnest($1::date[], $2::uuid[]) AS w (day, key) ON s.day = w.day AND s.key = w.key",
        [each.day for each in old],
        [each.key for each in old],
    )
    return {(row["day"], row["key"].hex): row["body"].hex for row in rows}


async def keep_conflicts(tx: Tx, at: datetime, rows: Sequence[tuple[str, str, datetime, bytes | None]]) -> None:
    """Rows are source, event id, time and the body that came second, None where it must not be kept."""
    if rows:
        await tx.execute(
            "INSERT INTO conflict (at, source, event_id, time, body)"
            " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bytea[]) ON CONFLICT DO NOTHING",
            at,
            *[list(column) for column in zip(*rows, strict=True)],
        )


async def conflicts_page(connection: Any, before: tuple[datetime, str, str] | None, count: int) -> list[Row]:
    """Newest first; `before` is the instant, the source and the id of the last of a page."""
    at, source, event_id = before if before is not None else (None, "", "")
    rows: list[Row] = await connection.fetch(
        "SELECT at, source, event_id, time, body FROM conflict"
        " WHERE $1::timestamptz IS NULL OR (at, source, event_id) < ($1, $2, $3)"
        " ORDER BY at DESC, source DESC, event_id DESC LIMIT $4",
        at,
        source,
        event_id,
        count,
    )
    return rows


async def drop_conflicts(tx: Tx, before: datetime) -> int:
    """Forget some of those that were written down before then; returns how many they were."""
    done = await tx.execute(
        "DELETE FROM conflict WHERE ctid = ANY(ARRAY(SELECT ctid FROM conflict WHERE at < $1 ORDER BY at LIMIT $2))",
        before,
        CONFLICTS_AT_ONCE,
    )
    return int(done.split()[-1])


async def arrange_days(connection: Any, today: date, age_days: int) -> None:
    """Have a partition for each day on which a live event may lie, and drop those that are over."""
    wanted = [today + timedelta(days=offset) for offset in range(-age_days - 1, 3)]
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'seen'::regclass"
    )
    existing = {row["name"] for row in rows}
    for day in wanted:
        name = f"seen_{day:%Y%m%d}"
        if name not in existing:
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF seen"
                f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
            )
    for name in sorted(existing - {f"seen_{day:%Y%m%d}" for day in wanted}):
        await connection.execute(f"DROP TABLE IF EXISTS {name}")

"""What broke the tracking plan, and how often? Functions that take a connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from libs.common.db import Row

Counted = tuple[date, str, str, str, str, str, int, datetime, datetime, str]
"""Day, source, type, pointer, reason, outcome, count, first seen, last seen, id of an event."""
Position = tuple[int, str, str, str, str, str]
"""Count, source, type, pointer, reason, outcome: where a page ends."""


async def add(connection: Any, counted: Sequence[Counted]) -> None:
    """Adds to what was counted before; sorted, so that two writers never wait for one another in a circle."""
    columns = [list(column) for column in zip(*sorted(counted), strict=True)]
    await connection.execute(
        """
        INSERT INTO schema_violation AS held
            (day, source, type, pointer, reason, outcome, count, first_seen, last_seen, event_id)
        SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                             $8::timestamptz[], $9::timestamptz[], $10::text[])
        ON CONFLICT (day, source, type, pointer, reason, outcome) DO UPDATE
        SET count = held.count + excluded.count,
            first_seen = least(held.first_seen, excluded.first_seen),
            last_seen = greatest(held.last_seen, excluded.last_seen),
            event_id = excluded.event_id
        """,
        *columns,
    )


async def report(
    connection: Any,
    source: str | None,
    type_: str | None,
    first: date | None,
    last: date | None,
    limit: int,
    after: Position | None,
) -> list[Row]:
    """Summed over the days from `first` to `last`, the most frequent first."""
    rows: list[Row] = await connection.fetch(
        """
        SELECT * FROM (
            SELECT source, type, pointer, reason, outcome, sum(count)::bigint AS count, min(first_seen) AS first_seen,
                   max(last_seen) AS last_seen, (array_agg(event_id ORDER BY last_seen DESC))[1] AS event_id
            FROM schema_violation
            WHERE ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR type = $2)
              AND day BETWEEN coalesce($3::date, '-infinity') AND coalesce($4::date, 'infinity')
            GROUP BY source, type, pointer, reason, outcome
        ) AS summed
        WHERE $6::bigint IS NULL
           OR (-count, source, type, pointer, reason, outcome) > (-$6::bigint, $7, $8, $9, $10, $11)
        ORDER BY count DESC, source, type, pointer, reason, outcome LIMIT $5
        """,
        source,
        type_,
        first,
        last,
        limit,
        *(after or (None,) * 6),
    )
    return rows


async def forget(connection: Any, before: date) -> None:
    await connection.execute("DELETE FROM schema_violation WHERE day < $1", before)

"""Which backtests were asked for, who is at them, and what came of them?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from libs.common.db import Row, Tx
from services.rules.backtest.gates import GateExample
from services.rules.backtest.shapes import Example, Report, Step

LEASE_SECONDS = 10.0
# Thirty days of a calendar, one of which may have been an hour shorter.
REACH_PERIOD = timedelta(days=30, hours=-1)
_CLAIMS = 0x6261636B


class Asked(NamedTuple):
    """A backtest as it is asked for; `version` 0 is a document that was never stored."""

    id: UUID
    rule_id: str
    version: int
    document: bytes
    since: datetime
    until: datetime
    overlap: bool
    in_force_before: bool
    ignore_valid: bool
    examples: int
    actor: str
    note: str
    campaign: str | None = None
    """An id or a document whose gates are asked, as JSON."""


async def add(tx: Tx, asked: Asked, at: datetime, open_max: int) -> bool:
    """Put it into the queue; False when so many are waiting or under way already."""
    await tx.execute("SELECT pg_advisory_xact_lock($1)", _CLAIMS)
    if await tx.fetchval("SELECT count(*) FROM backtest WHERE state IN ('queued', 'running')") >= open_max:
        return False
    await tx.execute(
        "INSERT INTO backtest (id, state, rule_id, version, document, since, until, overlap, in_force_before,"
        " ignore_valid, examples, actor, note, campaign, created_at)"
        " VALUES ($1, 'queued', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        *asked._replace(document=asked.document.decode()),  # type: ignore[arg-type]
        at,
    )
    return True


async def one(connection: Any, id: UUID) -> Row | None:
    return await connection.fetchrow("SELECT * FROM backtest WHERE id = $1", id)


async def page(connection: Any, before: UUID | None, rule_id: str | None, count: int) -> list[Row]:
    """Newest first: ids sort by time."""
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT * FROM backtest WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR rule_id = $2)"
        " ORDER BY id DESC LIMIT $3",
        before,
        rule_id,
        count,
    )


async def examples(connection: Any, id: UUID) -> list[bytes]:
    rows = await connection.fetch("SELECT body FROM backtest_example WHERE backtest_id = $1 ORDER BY number", id)
    return [row["body"].encode() for row in rows]


async def cancel(tx: Tx, id: UUID, at: datetime) -> bool:
    """Whoever is at it notices with its next renewal; False when it has ended already."""
    found = await tx.fetchval(
        "UPDATE backtest SET state = 'cancelled', ended_at = $2, owner = NULL"
        " WHERE id = $1 AND state IN ('queued', 'running') RETURNING id",
        id,
        at,
    )
    return found is not None


async def claim(tx: Tx, me: str, running_max: int, attempts_max: int, at: datetime) -> list[Row]:
    """Take what has waited longest, as long as fewer than `running_max` are under way anywhere.

    What a process was at that is gone comes first; after so many attempts it has failed.
    """
    await tx.execute("SELECT pg_advisory_xact_lock($1)", _CLAIMS)
    await tx.execute(
        "UPDATE backtest SET state = 'failed', ended_at = $2, owner = NULL,"
        " error = 'its process ended ' || attempts || ' times before it was done; the log of the service says why'"
        " WHERE state = 'running' AND lease_until < clock_timestamp() AND attempts >= $1",
        attempts_max,
        at,
    )
    return await tx.fetch(
        """
        WITH free AS (
            SELECT id FROM backtest
            WHERE state = 'queued' OR (state = 'running' AND lease_until < clock_timestamp())
            ORDER BY id
            LIMIT greatest(0, $2 - (
                SELECT count(*) FROM backtest WHERE state = 'running' AND lease_until >= clock_timestamp()))
        )
        UPDATE backtest b
        SET state = 'running', owner = $1, attempts = attempts + 1, started_at = $3, messages_read = 0,
            events_read = 0, messages_total = NULL, reached = NULL,
            lease_until = clock_timestamp() + make_interval(secs => $4)
        FROM free WHERE b.id = free.id RETURNING b.*
        """,
        me,
        running_max,
        at,
        LEASE_SECONDS,
    )


async def renew(connection: Any, me: str, steps: Mapping[UUID, Step | None]) -> set[UUID]:
    """Say how far each job is, and that somebody is at it; returns those that are to go on."""
    told = list(steps.items())
    rows = await connection.fetch(
        """
        UPDATE backtest b
        SET lease_until = clock_timestamp() + make_interval(secs => $3),
            messages_read = coalesce(s.read, b.messages_read), messages_total = coalesce(s.total, b.messages_total),
            events_read = coalesce(s.events, b.events_read), reached = coalesce(s.reached, b.reached)
        FROM unnest($2::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[])
            AS s (id, read, total, events, reached)
        WHERE b.id = s.id AND b.owner = $1 AND b.state = 'running' RETURNING b.id
        """,
        me,
        [id for id, _ in told],
        LEASE_SECONDS,
        [None if step is None else step.messages_read for _, step in told],
        [None if step is None else step.messages_total for _, step in told],
        [None if step is None else step.events_read for _, step in told],
        [None if step is None else step.reached for _, step in told],
    )
    return {row["id"] for row in rows}


async def give_back(connection: Any, me: str, ids: Collection[UUID], *, interrupted: bool) -> None:
    """Let others have it, or the next process: at once, or where it was interrupted, as an attempt that counts."""
    await connection.execute(
        "UPDATE backtest SET owner = NULL, lease_until = '-infinity',"
        " state = CASE WHEN $3 THEN state ELSE 'queued' END, attempts = attempts - CASE WHEN $3 THEN 0 ELSE 1 END"
        " WHERE owner = $1 AND id = ANY($2) AND state = 'running'",
        me,
        list(ids),
        interrupted,
    )


async def end(
    tx: Tx, me: str, id: UUID, at: datetime, report: Report | None, found: Sequence[Example | GateExample], error: str
) -> bool:
    """Keep what came of it; False when nobody wants to know any more."""
    kept = await tx.fetchval(
        "UPDATE backtest SET state = $3, ended_at = $4, owner = NULL, error = $5, report = $6"
        " WHERE id = $2 AND owner = $1 AND state = 'running' RETURNING id",
        me,
        id,
        "failed" if error else "finished",
        at,
        error,
        None if report is None else msgspec.json.encode(report).decode(),
    )
    if kept is None:
        return False
    # Locked against whoever erases a customer at this moment: one of the two sees the other.
    await tx.execute("LOCK TABLE backtest_erased IN SHARE ROW EXCLUSIVE MODE")
    await tx.execute(
        "INSERT INTO backtest_example (backtest_id, number, customer_id, body)"
        " SELECT $1, number, customer_id, body FROM unnest($2::integer[], $3::text[], $4::json[])"
        "  AS given (number, customer_id, body)"
        " WHERE NOT EXISTS (SELECT 1 FROM backtest_erased e WHERE e.customer_id = given.customer_id)",
        id,
        list(range(len(found))),
        [each.customer_id for each in found],
        [msgspec.json.encode(each).decode() for each in found],
    )
    return True


async def forget(tx: Tx, customer_ids: Iterable[str], at: datetime) -> None:
    """Whoever is erased is no example: not in what was found, nor in what the log, which has them still, may show."""
    wanted = sorted(set(customer_ids))
    await tx.execute(
        "INSERT INTO backtest_erased SELECT *, $2 FROM unnest($1::text[]) ON CONFLICT DO NOTHING", wanted, at
    )
    await tx.execute("DELETE FROM backtest_example WHERE customer_id = ANY($1)", wanted)


async def trim(tx: Tx, asked_before: datetime, erased_before: datetime) -> int:
    """Forget what was asked for long ago, and who was erased before the log began; returns how many questions."""
    rows = await tx.fetch("DELETE FROM backtest WHERE created_at < $1 RETURNING id", asked_before)
    await tx.execute("DELETE FROM backtest_erased WHERE at < $1", erased_before)
    return len(rows)


async def reach_percent(connection: Any, rule_id: str, version: int) -> float | None:
    """Of the people of whom the newest backtest of this version saw anything, the share that it would have hit.

    One that could say too little does not count: over less than 30 days, unless the log held no more; as if firings
    before it held the rule back; or with a validity of the rule that may have lain elsewhere.
    """
    row = await connection.fetchrow(
        """
        SELECT (report ->> 'customers')::bigint AS hit, (report ->> 'customers_seen')::bigint AS seen
        FROM backtest, LATERAL (SELECT (report #>> '{warm_up,log_begins}')::timestamptz AS begins) AS log
        WHERE rule_id = $1 AND version = $2 AND state = 'finished'
          AND NOT in_force_before AND (ignore_valid OR document ->> 'valid' IS NULL)
          AND (until - greatest(since, log.begins) >= $3
               OR (since <= log.begins AND until > created_at - interval '1 minute'))
        ORDER BY ended_at DESC LIMIT 1
        """,
        rule_id,
        version,
        REACH_PERIOD,
    )
    return 100.0 * row["hit"] / row["seen"] if row is not None and row["seen"] else None

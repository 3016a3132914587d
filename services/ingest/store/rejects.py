"""What is kept of what was refused? Functions that take a connection or a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from libs.common.db import Row, Tx
from services.ingest.rejects.keeping import Seen, Slot, Used

GROUPS_MAX = 50
COUNTED_MAX = 100_000
"""Nobody needs to know exactly how many more than these there are."""


class Filter(NamedTuple):
    """Which rejects are meant; None leaves open. A `door` that ends in / stands for all below it."""

    reason: str | None = None
    source: str | None = None
    type: str | None = None
    door: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Settled(NamedTuple):
    """What a replay came to for one reject; where `reason` is None the words of the refusal stay."""

    reject_id: str
    state: str
    result: str
    reason: str | None = None
    detail: str | None = None
    pointer: str | None = None


# The seven values of a Filter, as $1 to $7.
_MATCHES = """
    ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR source = $2) AND ($3::text IS NULL OR type = $3)
    AND ($4::text IS NULL OR door = $4 OR (right($4, 1) = '/' AND starts_with(door, $4)))
    AND ($5::text IS NULL OR state = $5)
    AND ($6::timestamptz IS NULL OR last_at >= $6) AND ($7::timestamptz IS NULL OR last_at < $7)
"""

_SHOWN = """
    reject_id, state, reason, detail, pointer, source, type, event_id, door, write_key_id, kept, body_bytes, attempts,
    first_at, last_at, replayed_at, replay_result, settled_by
"""

_FOR_REPLAY = """
    SELECT reject_id, reason, source, type, event_id, door, write_key_id, context, kept, body, first_at
    FROM reject WHERE reject_id = ANY($1::uuid[]) AND state = 'open' ORDER BY first_at, reject_id
"""


# --- the worker's side -------------------------------------------------------------------------------------------


async def count_again(tx: Tx, seen: Sequence[Seen]) -> set[str]:
    """The ids of those that are known; an open one takes over the newest reason."""
    rows = await tx.fetch(
        """
        UPDATE reject r
        SET attempts = r.attempts + s.attempts, first_at = least(r.first_at, s.first_at),
            last_at = greatest(r.last_at, s.last_at),
            reason = CASE WHEN r.state = 'open' THEN s.reason ELSE r.reason END,
            detail = CASE WHEN r.state = 'open' THEN s.detail ELSE r.detail END,
            pointer = CASE WHEN r.state = 'open' THEN s.pointer ELSE r.pointer END
        FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
             AS s (reject_id, attempts, first_at, last_at, reason, detail, pointer)
        WHERE r.reject_id = s.reject_id RETURNING r.reject_id
        """,
        [each.reject_id for each in seen],
        [each.attempts for each in seen],
        [each.first_at for each in seen],
        [each.last_at for each in seen],
        [each.reason for each in seen],
        [each.detail for each in seen],
        [each.pointer for each in seen],
    )
    return {str(row["reject_id"]) for row in rows}


async def add(tx: Tx, unit: int, seen: Sequence[Seen]) -> None:
    await tx.execute(
        """
        INSERT INTO reject AS r (unit, reject_id, reason, detail, pointer, source, type, event_id, door, write_key_id,
                                 context, kept, body, body_bytes, attempts, first_at, last_at)
        SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                                 $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::integer[],
                                 $15::bigint[], $16::timestamptz[], $17::timestamptz[])
        ON CONFLICT (reject_id) DO UPDATE
        SET attempts = r.attempts + excluded.attempts, last_at = greatest(r.last_at, excluded.last_at)
        """,
        unit,
        [each.reject_id for each in seen],
        [each.reason for each in seen],
        [each.detail for each in seen],
        [each.pointer for each in seen],
        [each.source for each in seen],
        [each.type for each in seen],
        [each.event_id for each in seen],
        [each.door for each in seen],
        [each.write_key_id for each in seen],
        [msgspec.json.encode(each.context).decode() for each in seen],
        [each.kept for each in seen],
        [each.body for each in seen],
        [each.body_bytes for each in seen],
        [each.attempts for each in seen],
        [each.first_at for each in seen],
        [each.last_at for each in seen],
    )


async def used(tx: Tx, slots: Sequence[Slot]) -> dict[Slot, Used]:
    """What these keys have filled in these hours, over all units."""
    rows = await tx.fetch(
        """
        SELECT write_key_id, hour, sum(bodies)::bigint AS bodies, sum(bytes)::bigint AS bytes
        FROM unnest($1::text[], $2::timestamptz[]) AS slot (write_key_id, hour)
        JOIN reject_quota USING (write_key_id, hour) GROUP BY write_key_id, hour
        """,
        [slot.write_key_id for slot in slots],
        [slot.hour for slot in slots],
    )
    return {Slot(row["write_key_id"], row["hour"]): Used(row["bodies"], row["bytes"]) for row in rows}


async def note_used(tx: Tx, unit: int, added: Mapping[Slot, Used]) -> None:
    """Each unit has rows of its own, so that no two of them ever wait for one another."""
    if added:
        await tx.execute(
            """
            INSERT INTO reject_quota AS q (unit, write_key_id, hour, bodies, bytes)
            SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[])
            ON CONFLICT (write_key_id, hour, unit)
            DO UPDATE SET bodies = q.bodies + excluded.bodies, bytes = q.bytes + excluded.bytes
            """,
            unit,
            [slot.write_key_id for slot in added],
            [slot.hour for slot in added],
            [each.bodies for each in added.values()],
            [each.bytes for each in added.values()],
        )


async def purge(tx: Tx, before: datetime, count_max: int) -> int:
    """Forget what last came before then; what somebody is replaying just now waits for the next time."""
    status = await tx.execute(
        """
        DELETE FROM reject WHERE reject_id = ANY (ARRAY(
            SELECT reject_id FROM reject WHERE last_at < $1 ORDER BY last_at, reject_id LIMIT $2
            FOR UPDATE SKIP LOCKED))
        """,
        before,
        count_max,
    )
    return int(status.rsplit(" ", 1)[1])


async def purge_used(tx: Tx, before: datetime) -> None:
    await tx.execute("DELETE FROM reject_quota WHERE hour < $1", before)


# --- what people ask ---------------------------------------------------------------------------------------------


async def page(connection: Any, which: Filter, limit: int, after: tuple[datetime, UUID] | None) -> list[Row]:
    """The newest first, without bodies, from the one after `after`."""
    rows: list[Row] = await connection.fetch(
        f"""
        SELECT {_SHOWN} FROM reject
        WHERE {_MATCHES} AND ($9::timestamptz IS NULL OR (last_at, reject_id) < ($9, $10::uuid))
        ORDER BY last_at DESC, reject_id DESC LIMIT $8
        """,
        *which,
        limit,
        *(after or (None, None)),
    )
    return rows


async def one(connection: Any, reject_id: str) -> Row | None:
    row: Row | None = await connection.fetchrow(
        f"SELECT {_SHOWN}, context, body FROM reject WHERE reject_id = $1", reject_id
    )
    return row


async def summary(connection: Any, which: Filter) -> list[Row]:
    """Rows of `what` (reason, source, type), name, rejects and attempts, the largest of each first."""
    rows: list[Row] = await connection.fetch(
        f"""
        WITH chosen AS MATERIALIZED (SELECT reason, source, type, attempts FROM reject WHERE {_MATCHES}),
        counted AS (
            SELECT CASE WHEN grouping(reason) = 0 THEN 'reason' WHEN grouping(source) = 0 THEN 'source'
                        ELSE 'type' END AS what,
                   coalesce(reason, source, type) AS name, count(*) AS rejects, sum(attempts)::bigint AS attempts
            FROM chosen GROUP BY GROUPING SETS ((reason), (source), (type))
        ), ranked AS (
            SELECT *, row_number() OVER (PARTITION BY what ORDER BY rejects DESC, name) AS place FROM counted
        )
        SELECT what, name, rejects, attempts FROM ranked WHERE place <= {GROUPS_MAX} ORDER BY what, place
        """,
        *which,
    )
    return rows


async def open_by_reason(connection: Any) -> dict[str, int]:
    rows = await connection.fetch("SELECT reason, count(*) FROM reject WHERE state = 'open' GROUP BY reason")
    return {row["reason"]: row["count"] for row in rows}


async def dismiss(connection: Any, reject_id: str, actor: str) -> None:
    """Only what is open changes."""
    await connection.execute(
        "UPDATE reject SET state = 'dismissed', settled_by = $2 WHERE reject_id = $1 AND state = 'open'",
        reject_id,
        actor,
    )


# --- replays -----------------------------------------------------------------------------------------------------


async def in_order(
    connection: Any, which: Filter, limit: int, after: tuple[datetime, UUID] | None
) -> tuple[list[Row], int]:
    """Open ones in the order in which they came, and how many more follow these (counted up to `COUNTED_MAX`)."""
    arguments = (*which._replace(state="open"), *(after or (None, None)))
    following = f"""
        FROM reject WHERE state = 'open' AND {_MATCHES}
        AND ($8::timestamptz IS NULL OR (first_at, reject_id) > ($8, $9::uuid))
    """
    rows = await connection.fetch(
        f"SELECT reject_id, body_bytes, first_at {following} ORDER BY first_at, reject_id LIMIT $10", *arguments, limit
    )
    more = 0
    if len(rows) == limit:
        counted = f"SELECT count(*) FROM (SELECT 1 {following} LIMIT $10) AS all_of_them"
        more = await connection.fetchval(counted, *arguments, COUNTED_MAX) - len(rows)
    return rows, more


async def sizes(connection: Any, reject_ids: Sequence[str]) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT reject_id, body_bytes, first_at FROM reject WHERE reject_id = ANY($1::uuid[])"
        " ORDER BY first_at, reject_id",
        list(reject_ids),
    )
    return rows


async def states(connection: Any, reject_ids: Sequence[str]) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT reject_id, state FROM reject WHERE reject_id = ANY($1::uuid[])", list(reject_ids)
    )
    return {str(row["reject_id"]): row["state"] for row in rows}


async def read_open(tx: Tx, reject_ids: Sequence[str]) -> list[Row]:
    return await tx.fetch(_FOR_REPLAY, list(reject_ids))


async def lock_open(tx: Tx, reject_ids: Sequence[str]) -> list[Row]:
    """Those of them that are open and that nobody else is replaying, for the rest of the transaction."""
    return await tx.fetch(f"{_FOR_REPLAY} FOR UPDATE SKIP LOCKED", list(reject_ids))


async def settle(tx: Tx, settled: Sequence[Settled], actor: str, now: datetime) -> None:
    await tx.execute(
        """
        UPDATE reject r
        SET state = s.state, replay_result = s.result, replayed_at = $1, settled_by = $2,
            reason = coalesce(s.reason, r.reason), detail = coalesce(s.detail, r.detail),
            pointer = coalesce(s.pointer, r.pointer)
        FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
             AS s (reject_id, state, result, reason, detail, pointer)
        WHERE r.reject_id = s.reject_id
        """,
        now,
        actor,
        *([each[index] for each in settled] for index in range(len(Settled._fields))),
    )

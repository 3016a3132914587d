"""Which files are known, and what became of them? Functions that take a connection or a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from libs.common.db import Row
from services.ingest.imports.progress import AT_WORK, DISAGREE, EXPIRED, UNFINISHED, UPLOADING, WAITING


class NewImport(NamedTuple):
    """`size` is None while nobody knows how much is to come; `instructions` are the order as JSON."""

    import_id: str
    key_id: str
    channel: str
    filename: str
    source: str
    branch: str
    sheet_date: date | None
    instructions: str
    metadata: str
    size: int | None


class Held(NamedTuple):
    """What is stored of unfinished imports: how many of one key, and the bytes of all."""

    of_key: int
    bytes: int


async def held(connection: Any, key_id: str) -> Held:
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE key_id = $1) AS of_key,"
        " coalesce(sum(greatest(size, received)), 0)::bigint AS bytes"
        " FROM import_file WHERE state = ANY($2)",
        key_id,
        list(UNFINISHED),
    )
    return Held(row["of_key"], row["bytes"])


async def create(connection: Any, new: NewImport, now: datetime) -> None:
    """An empty file is complete at once."""
    state = WAITING if new.size == 0 else UPLOADING
    await connection.execute(
        "INSERT INTO import_file (import_id, key_id, channel, filename, source, branch, sheet_date, instructions,"
        " metadata, size, state, created_at, moved_at, uploaded_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::bigint, $11, $12::timestamptz, $12,"
        " CASE WHEN $10 = 0 THEN $12 END)",
        *new,
        state,
        now,
    )


async def find(connection: Any, import_id: str) -> Row | None:
    return await connection.fetchrow("SELECT * FROM import_file WHERE import_id = $1", import_id)


class Wanted(NamedTuple):
    """Which imports a list shows; None leaves open."""

    key_id: str | None = None
    state: str | None = None
    branch: str | None = None
    source: str | None = None


async def page(connection: Any, wanted: Wanted, limit: int, after: tuple[datetime, str] | None) -> list[Row]:
    """The newest first, from the one after `after`."""
    rows: list[Row] = await connection.fetch(
        "SELECT * FROM import_file"
        " WHERE ($2::timestamptz IS NULL OR (created_at, import_id) < ($2, $3))"
        " AND ($4::text IS NULL OR key_id = $4) AND ($5::text IS NULL OR state = $5)"
        " AND ($6::text IS NULL OR branch = $6) AND ($7::text IS NULL OR source = $7)"
        " ORDER BY created_at DESC, import_id DESC LIMIT $1",
        limit,
        *(after or (None, None)),
        *wanted,
    )
    return rows


async def rejects(connection: Any, import_id: str, limit: int, after: tuple[int, int]) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT line, part, reason, pointer, detail, body FROM import_reject"
        " WHERE import_id = $1 AND (line, part) > ($2, $3) ORDER BY line, part LIMIT $4",
        import_id,
        *after,
        limit,
    )
    return rows


async def end(connection: Any, import_id: str, state: str, detail: str, now: datetime) -> bool:
    """Ends an import that is not finished yet and drops its bytes; False when there was nothing to end."""
    ended: bool = await connection.fetchval(
        "WITH ended AS ("
        " UPDATE import_file SET state = $2, detail = $3, finished_at = $4, moved_at = $4, owner = NULL, writer = NULL,"
        " lease_until = '-infinity' WHERE import_id = $1 AND state = ANY($5) RETURNING import_id"
        "), dropped AS (DELETE FROM import_chunk c USING ended e WHERE c.import_id = e.import_id)"
        " SELECT count(*) > 0 FROM ended",
        import_id,
        state,
        detail,
        now,
        list(UNFINISHED),
    )
    return ended


async def accept_totals(connection: Any, import_id: str, now: datetime) -> bool:
    """False when the import does not wait for this."""
    answer: str = await connection.execute(
        "UPDATE import_file SET state = $2, totals_agreed = true, detail = '', moved_at = $3, lease_until = '-infinity'"
        " WHERE import_id = $1 AND state = $4",
        import_id,
        WAITING,
        now,
        DISAGREE,
    )
    return answer.endswith(" 1")


async def expire(connection: Any, idle_since: datetime, disagreeing_since: datetime, now: datetime) -> list[str]:
    """Ends uploads, and disagreements, that nobody has moved for too long; returns which."""
    rows = await connection.fetch(
        "SELECT import_id FROM import_file WHERE (state = $1 AND moved_at < $2) OR (state = $3 AND moved_at < $4)"
        " ORDER BY import_id LIMIT 100",
        UPLOADING,
        idle_since,
        DISAGREE,
        disagreeing_since,
    )
    found = [row["import_id"] for row in rows]
    for import_id in found:
        await end(connection, import_id, EXPIRED, "Nothing happened to it for too long.", now)
    return found


async def forget_rejects(connection: Any, finished_before: datetime) -> None:
    await connection.execute(
        "DELETE FROM import_reject r USING import_file f WHERE r.import_id = f.import_id AND f.finished_at < $1",
        finished_before,
    )


async def backlog(connection: Any) -> tuple[int, float]:
    """How many imports wait for somebody to take them, and for how many seconds the oldest does."""
    row = await connection.fetchrow(
        "SELECT count(*) AS number, coalesce(extract(epoch FROM clock_timestamp() - min(uploaded_at)), 0)::float AS age"
        " FROM import_file WHERE state = ANY($1) AND lease_until <= clock_timestamp()",
        list(AT_WORK),
    )
    return row["number"], max(0.0, row["age"])


async def come(connection: Any, days: Sequence[date]) -> list[tuple[str, date, str]]:
    """Branch, day and source of the sheets of these days that were imported."""
    rows = await connection.fetch(
        "SELECT DISTINCT branch, sheet_date, source FROM import_file WHERE state = 'done' AND sheet_date = ANY($1)",
        list(days),
    )
    return [(row["branch"], row["sheet_date"], row["source"]) for row in rows]

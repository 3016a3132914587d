"""How do the bytes of a file get into the database? One piece at a time, from one writer at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.ingest.imports.progress import UPLOADING, WAITING

CHUNK_BYTES = 256 * 1024


async def begin(connection: Any, import_id: str, offset: int, writer: str, size: int | None, now: datetime) -> bool:
    """Makes `writer` the one who goes on at `offset`; False when that is not where the file ends.

    Whoever wrote before writes no more, and what they had put down beyond `offset` without counting it is gone. `size`
    is taken when none was known.
    """
    begun: bool = await connection.fetchval(
        "WITH begun AS ("
        " UPDATE import_file SET writer = $3, size = coalesce(size, $4), moved_at = $5"
        " WHERE import_id = $1 AND received = $2 AND state = $6 RETURNING import_id"
        "), dropped AS ("
        " DELETE FROM import_chunk c USING begun b WHERE c.import_id = b.import_id AND c.start >= $2"
        ") SELECT count(*) > 0 FROM begun",
        import_id,
        offset,
        writer,
        size,
        now,
        UPLOADING,
    )
    return begun


async def put(
    connection: Any, import_id: str, writer: str, start: int, data: bytes, now: datetime, counted: bool
) -> bool:
    """Stores a piece; False when somebody else writes now, or the import has ended.

    A piece that is `counted` is part of the file from now on, and the last one completes it.
    """
    stored: bool = await connection.fetchval(
        "WITH held AS ("
        " UPDATE import_file SET moved_at = $6::timestamptz,"
        " received = received + CASE WHEN $7::boolean THEN $5::bigint ELSE 0 END,"
        " state = CASE WHEN $7 AND received + $5 = size THEN $9 ELSE state END,"
        " uploaded_at = CASE WHEN $7 AND received + $5 = size THEN $6 END"
        " WHERE import_id = $1 AND writer = $2 AND state = $8 AND (NOT $7 OR received = $3) RETURNING import_id"
        "), put AS (INSERT INTO import_chunk SELECT import_id, $3, $4 FROM held)"
        " SELECT count(*) > 0 FROM held",
        import_id,
        writer,
        start,
        data,
        len(data),
        now,
        counted,
        UPLOADING,
        WAITING,
    )
    return stored


async def count(connection: Any, import_id: str, writer: str, received: int, now: datetime) -> bool:
    """Counts everything up to `received` that this writer has put down; False when somebody else writes now."""
    answer: str = await connection.execute(
        "UPDATE import_file SET received = $3::bigint, moved_at = $4::timestamptz,"
        " state = CASE WHEN size = $3 THEN $6 ELSE state END, uploaded_at = CASE WHEN size = $3 THEN $4 END"
        " WHERE import_id = $1 AND writer = $2 AND state = $5",
        import_id,
        writer,
        received,
        now,
        UPLOADING,
        WAITING,
    )
    return answer.endswith(" 1")


async def complete(connection: Any, import_id: str, writer: str, now: datetime) -> bool:
    """Says that what has come is all, of a file whose size nobody had announced."""
    answer: str = await connection.execute(
        "UPDATE import_file SET size = received, state = $4, uploaded_at = $3, moved_at = $3"
        " WHERE import_id = $1 AND writer = $2 AND state = $5 AND (size IS NULL OR size = received)",
        import_id,
        writer,
        now,
        WAITING,
        UPLOADING,
    )
    return answer.endswith(" 1")

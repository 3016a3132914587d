"""Who works on an import, and how far are they? Leases and progress; time is the database's alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row
from services.ingest.imports.progress import (
    AT_WORK,
    CHECKING,
    DISAGREE,
    DONE,
    IMPORTING,
    WAITING,
    Progress,
    RefusedLine,
)

LEASE_SECONDS = 3.0


async def claim(connection: Any, me: str, mine: Collection[str]) -> Row | None:
    """Takes the import that has waited longest and that nobody holds; None when there is none."""
    return await connection.fetchrow(
        "WITH free AS ("
        " SELECT import_id FROM import_file WHERE state = ANY($3) AND lease_until <= clock_timestamp()"
        " AND import_id <> ALL($2) ORDER BY uploaded_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " UPDATE import_file f SET owner = $1, epoch = epoch + 1,"
        " lease_until = clock_timestamp() + make_interval(secs => $4), pace_since = clock_timestamp(),"
        " pace_line = lines_read, state = CASE WHEN state <> $5 THEN state WHEN totals_agreed THEN $7 ELSE $6 END"
        " FROM free WHERE f.import_id = free.import_id RETURNING f.*",
        me,
        list(mine),
        list(AT_WORK),
        LEASE_SECONDS,
        WAITING,
        CHECKING,
        IMPORTING,
    )


async def renew(connection: Any, me: str, mine: Collection[str]) -> set[str]:
    """Prolongs what is mine; returns what still is."""
    rows = await connection.fetch(
        "UPDATE import_file SET lease_until = clock_timestamp() + make_interval(secs => $3)"
        " WHERE import_id = ANY($2) AND owner = $1 AND state = ANY($4) RETURNING import_id",
        me,
        sorted(mine),
        LEASE_SECONDS,
        list(AT_WORK),
    )
    return {row["import_id"] for row in rows}


async def release(connection: Any, me: str, import_id: str, epoch: int) -> None:
    await connection.execute(
        "UPDATE import_file SET owner = NULL, lease_until = '-infinity'"
        " WHERE import_id = $1 AND owner = $2 AND epoch = $3",
        import_id,
        me,
        epoch,
    )


async def chunks(connection: Any, import_id: str, place: int, number: int) -> list[Row]:
    """Pieces in their order, from the one that holds the byte at `place`."""
    rows: list[Row] = await connection.fetch(
        "SELECT start, bytes FROM import_chunk WHERE import_id = $1 AND start >= coalesce("
        " (SELECT max(start) FROM import_chunk WHERE import_id = $1 AND start <= $2), 0)"
        " AND start + octet_length(bytes) > $2 ORDER BY start LIMIT $3",
        import_id,
        place,
        number,
    )
    return rows


async def checked(
    connection: Any, work: tuple[str, str, int], found: tuple[int, str], layout: tuple[str, Progress], disagreement: str
) -> bool:
    """Ends the first pass with what it found; `work` is import, owner and epoch. False when it is not ours any more."""
    (import_id, me, epoch), (lines, sums), (text, start) = work, found, layout
    answer: str = await connection.execute(
        "UPDATE import_file SET lines_total = $4, found = $5, layout = $6, position = $7, line = $8, detail = $9,"
        " state = CASE WHEN $9 = '' THEN $11 ELSE $12 END, totals_agreed = $9 = '', moved_at = clock_timestamp(),"
        " lease_until = CASE WHEN $9 = '' THEN lease_until ELSE '-infinity' END, lines_read = 0,"
        " pace_since = clock_timestamp(), pace_line = 0"
        " WHERE import_id = $1 AND owner = $2 AND epoch = $3 AND state = $10",
        import_id,
        me,
        epoch,
        lines,
        sums,
        text,
        start.position,
        start.line,
        disagreement,
        CHECKING,
        IMPORTING,
        DISAGREE,
    )
    return answer.endswith(" 1")


async def seen(connection: Any, work: tuple[str, str, int], lines: int) -> bool:
    """How many lines the first pass has read; False when the import is not ours any more."""
    answer: str = await connection.execute(
        "UPDATE import_file SET lines_read = $4, moved_at = clock_timestamp()"
        " WHERE import_id = $1 AND owner = $2 AND epoch = $3 AND state = $5",
        *work,
        lines,
        CHECKING,
    )
    return answer.endswith(" 1")


async def advance(
    connection: Any, work: tuple[str, str, int], progress: Progress, sent: str, refused: Sequence[RefusedLine]
) -> bool:
    """Writes down that a block is acknowledged; False when the import is not ours any more. Twice is as once."""
    advanced: bool = await connection.fetchval(
        "WITH mine AS ("
        " UPDATE import_file SET position = $4, line = $5, lines_read = $6, lines_accepted = $7, lines_refused = $8,"
        " lines_skipped = $9, events_sent = $10, sent = $11, moved_at = clock_timestamp(),"
        " lease_until = clock_timestamp() + make_interval(secs => $12)"
        " WHERE import_id = $1 AND owner = $2 AND epoch = $3 AND state = $13 RETURNING import_id"
        "), kept AS ("
        " INSERT INTO import_reject SELECT m.import_id, r.* FROM mine m CROSS JOIN"
        " unnest($14::bigint[], $15::int[], $16::text[], $17::text[], $18::text[], $19::bytea[]) r"
        " ON CONFLICT DO NOTHING"
        ") SELECT count(*) > 0 FROM mine",
        *work,
        progress.position,
        progress.line,
        progress.read,
        progress.accepted,
        progress.refused,
        progress.skipped,
        progress.events,
        sent,
        LEASE_SECONDS,
        IMPORTING,
        *([each[index] for each in refused] for index in range(6)),
    )
    return advanced


async def finish(connection: Any, work: tuple[str, str, int], now: datetime) -> bool:
    """Everything is through, and the bytes are gone with it; False when the import is not ours any more."""
    finished: bool = await connection.fetchval(
        "WITH mine AS ("
        " UPDATE import_file SET state = $4, finished_at = $5, moved_at = $5, owner = NULL, lease_until = '-infinity'"
        " WHERE import_id = $1 AND owner = $2 AND epoch = $3 AND state = $6 RETURNING import_id"
        "), dropped AS (DELETE FROM import_chunk c USING mine m WHERE c.import_id = m.import_id)"
        " SELECT count(*) > 0 FROM mine",
        *work,
        DONE,
        now,
        IMPORTING,
    )
    return finished

"""How is everything of a person taken out of the tables? Set-based, in pieces, and counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Row, Tx

ROWS_AT_ONCE = 5_000

_KEPT = (
    # A mark that the record is gone for good, without anything in it.
    "customer",
    # The proof, and what asked for it.
    "erasure",
    "privacy_request",
    # Who looked at whom is to be answered for longer than the customer is known.
    "audit",
)
_ROW = (
    "erasure_id, request_id, customer_id, reason, asked_by, asked_at, stage, stage_at, records, trail, forgotten_at,"
    " finished_at, trouble"
)


async def ask(
    tx: Tx, erasure_id: str, request_id: str, customer_id: str, reason: str, actor: str, at: datetime
) -> Row | None:
    """None when there is an erasure of that request id already."""
    return await tx.fetchrow(
        "INSERT INTO erasure (erasure_id, request_id, customer_id, reason, asked_by, asked_at, stage, stage_at)"
        f" VALUES ($1, $2, $3, $4, $5, $6, 'asked', $6) ON CONFLICT (request_id) DO NOTHING RETURNING {_ROW}",
        erasure_id,
        request_id,
        customer_id,
        reason,
        actor,
        at,
    )


async def by_request(connection: Any, request_id: str) -> Row | None:
    return await connection.fetchrow(f"SELECT {_ROW} FROM erasure WHERE request_id = $1", request_id)


async def one(connection: Any, erasure_id: str) -> Row | None:
    return await connection.fetchrow(f"SELECT {_ROW} FROM erasure WHERE erasure_id = $1", erasure_id)


async def page(connection: Any, before: tuple[datetime, str] | None, count: int) -> list[Row]:
    at, erasure_id = before if before is not None else (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        f"SELECT {_ROW} FROM erasure WHERE $1::timestamptz IS NULL OR (asked_at, erasure_id) < ($1, $2::uuid)"
        " ORDER BY asked_at DESC, erasure_id DESC LIMIT $3",
        at,
        erasure_id,
        count,
    )


async def claim(tx: Tx, owner: str, lease_seconds: float, stages: Collection[str], count: int) -> list[Row]:
    """Open erasures at these stages that nobody else is at; ours for so long."""
    return await tx.fetch(
        f"""
        UPDATE erasure SET lease_owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2)
        WHERE erasure_id IN (
            SELECT erasure_id FROM erasure
            WHERE finished_at IS NULL AND stage = ANY($3::text[])
              AND (lease_owner = $1 OR lease_until < clock_timestamp())
            -- What was tried longest ago, or never, is next: what cannot move holds up nothing else.
            ORDER BY lease_until, asked_at LIMIT $4 FOR UPDATE SKIP LOCKED
        ) RETURNING {_ROW}
        """,
        owner,
        lease_seconds,
        list(stages),
        count,
    )


async def renew(tx: Tx, owner: str, lease_seconds: float, erasure_ids: Collection[Any]) -> None:
    """Those that are still ours stay so for as long again."""
    await tx.execute(
        "UPDATE erasure SET lease_until = clock_timestamp() + make_interval(secs => $2)"
        " WHERE erasure_id = ANY($3::uuid[]) AND lease_owner = $1",
        owner,
        lease_seconds,
        list(erasure_ids),
    )


async def holds_still(tx: Tx, erasure_id: Any, stage: str) -> bool:
    """Whether the erasure is at this stage, which it stays at until the end of the transaction."""
    found = await tx.fetchval("SELECT stage FROM erasure WHERE erasure_id = $1 FOR UPDATE", erasure_id)
    return bool(found == stage)


async def earlier(tx: Tx, customer_id: Any) -> Row | None:
    """The erasure by which this record went, or is going: who asks again is told of what it found."""
    return await tx.fetchrow(
        f"SELECT {_ROW} FROM erasure WHERE records @> ARRAY[$1::uuid] ORDER BY asked_at LIMIT 1", customer_id
    )


async def move_on(tx: Tx, erasure_id: Any, stage: str, at: datetime) -> None:
    await tx.execute(
        "UPDATE erasure SET stage = $2, stage_at = $3, trouble = '' WHERE erasure_id = $1", erasure_id, stage, at
    )


async def note_trouble(tx: Tx, erasure_ids: Collection[Any], trouble: str) -> None:
    await tx.execute("UPDATE erasure SET trouble = $2 WHERE erasure_id = ANY($1::uuid[])", list(erasure_ids), trouble)


async def note_trail(tx: Tx, erasure_id: Any, records: Sequence[str], trail: bytes, at: datetime) -> None:
    await tx.execute(
        "UPDATE erasure SET records = $2::uuid[], trail = $3, forgotten_at = $4 WHERE erasure_id = $1",
        erasure_id,
        list(records),
        trail,
        at,
    )


async def finish(tx: Tx, erasure_id: Any, at: datetime) -> None:
    """What led to the person is forgotten as well."""
    await tx.execute(
        "UPDATE erasure SET stage = 'done', stage_at = $2, finished_at = $2, trail = '', trouble = ''"
        " WHERE erasure_id = $1",
        erasure_id,
        at,
    )
    await tx.execute("UPDATE privacy_request SET reference = '' WHERE erasure_id = $1 AND reference <> ''", erasure_id)


async def open_stages(connection: Any) -> dict[str, datetime]:
    """The stages at which there are erasures, and since when the first of each is."""
    rows = await connection.fetch(
        "SELECT stage, min(stage_at) AS since FROM erasure WHERE finished_at IS NULL GROUP BY stage"
    )
    return {row["stage"]: row["since"] for row in rows}


# --- marks ---------------------------------------------------------------------------------------------------------


async def add_marks(tx: Tx, marks: Collection[bytes], at: datetime) -> None:
    await tx.execute(
        "INSERT INTO erasure_mark (mark, erased_at) SELECT *, $2 FROM unnest($1::bytea[])"
        " ON CONFLICT (mark) DO UPDATE SET erased_at = greatest(erasure_mark.erased_at, excluded.erased_at)",
        sorted(marks),
        at,
    )


async def marked(tx: Tx, marks: Collection[bytes]) -> dict[bytes, datetime]:
    """Those of these marks that are known, and when their people were erased."""
    rows = await tx.fetch("SELECT mark, erased_at FROM erasure_mark WHERE mark = ANY($1::bytea[])", list(marks))
    return {bytes(row["mark"]): row["erased_at"] for row in rows}


# --- rows ----------------------------------------------------------------------------------------------------------


async def forget_identity(tx: Tx, records: Collection[str]) -> dict[str, int]:
    """The records, which are locked, what they are known by, and what joined them or keeps them apart."""
    ids = sorted(records)
    statements = {
        "identifier": "DELETE FROM identifier WHERE record_id = ANY($1::uuid[]) RETURNING 1",
        "link": "DELETE FROM link WHERE one = ANY($1::uuid[]) OR other = ANY($1::uuid[]) RETURNING 1",
        "kept_apart": "DELETE FROM kept_apart WHERE record_id = ANY($1::uuid[]) OR other = ANY($1::uuid[]) RETURNING 1",
        "duplicate_pair": "DELETE FROM duplicate_pair"
        " WHERE one = ANY($1::uuid[]) OR other = ANY($1::uuid[]) RETURNING 1",
        "record": "DELETE FROM record WHERE record_id = ANY($1::uuid[]) RETURNING 1",
    }
    return {table: len(await tx.fetch(statement, ids)) for table, statement in statements.items()}


async def tables_of_customers(connection: Any) -> list[tuple[str, str, str]]:
    """(table, column, type) for all that is kept by customer, so that no table is forgotten when one is added."""
    rows = await connection.fetch(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS type
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname IN ('customer_id', 'record_id', 'one', 'other')
          AND a.atttypid IN ('uuid'::regtype, 'text'::regtype)
          AND c.relname <> ALL($1::text[])
        ORDER BY c.relname, a.attname
        """,
        list(_KEPT),
    )
    return [(row["relname"], row["attname"], row["type"]) for row in rows]


async def delete_some(tx: Tx, table: str, column: str, kind: str, records: Collection[str]) -> int:
    """Names come from the catalogue of the database, never from a request."""
    done = await tx.execute(
        f'DELETE FROM "{table}" WHERE ctid = ANY(ARRAY(SELECT ctid FROM "{table}"'
        f' WHERE "{column}" = ANY($1::{kind}[]) LIMIT {ROWS_AT_ONCE}))',
        sorted(records),
    )
    return int(done.split()[-1])


async def conflicts_after(connection: Any, place: tuple[datetime, str, str], count: int) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT at, source, event_id, body FROM conflict"
        " WHERE body IS NOT NULL AND (at, source, event_id) > ($1, $2, $3)"
        " ORDER BY at, source, event_id LIMIT $4",
        *place,
        count,
    )


async def delete_conflicts(tx: Tx, rows: Sequence[Row]) -> None:
    await tx.execute(
        "DELETE FROM conflict USING unnest($1::timestamptz[], $2::text[], $3::text[]) AS gone (at, source, event_id)"
        " WHERE conflict.at = gone.at AND conflict.source = gone.source AND conflict.event_id = gone.event_id",
        [row["at"] for row in rows],
        [row["source"] for row in rows],
        [row["event_id"] for row in rows],
    )


# --- proof ---------------------------------------------------------------------------------------------------------


async def add_part(tx: Tx, erasure_id: Any, place: str, count: int, at: datetime) -> None:
    """Adds up what went from one place piece by piece, with the transaction in which it went."""
    await tx.execute(
        "INSERT INTO erasure_part AS part (erasure_id, place, count, done_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (erasure_id, place)"
        " DO UPDATE SET count = part.count + excluded.count, done_at = excluded.done_at",
        erasure_id,
        place,
        count,
        at,
    )


async def set_part(tx: Tx, erasure_id: Any, place: str, count: int, at: datetime) -> None:
    """Of what is found again until it is gone the highest count is kept."""
    await tx.execute(
        "INSERT INTO erasure_part AS part (erasure_id, place, count, done_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (erasure_id, place)"
        " DO UPDATE SET count = greatest(part.count, excluded.count), done_at = excluded.done_at",
        erasure_id,
        place,
        count,
        at,
    )


async def parts(connection: Any, erasure_id: Any) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT place, count, done_at FROM erasure_part WHERE erasure_id = $1 ORDER BY done_at, place", erasure_id
    )


async def keep_notes(tx: Tx, rows: Sequence[tuple[str, str, str, datetime]]) -> None:
    """(record, service, counts as JSON, when): what other services have told; the first word counts."""
    await tx.execute(
        "INSERT INTO erasure_note (record, service, counts, at)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::timestamptz[]) ON CONFLICT DO NOTHING",
        *(list(column) for column in zip(*sorted(rows), strict=True)),
    )


async def notes(connection: Any, records: Collection[Any]) -> list[Row]:
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT record, service, counts, at FROM erasure_note WHERE record = ANY($1::uuid[]) ORDER BY at, service",
        list(records),
    )


def counted(rows: Sequence[Row]) -> Mapping[str, int]:
    return {row["place"]: row["count"] for row in rows}

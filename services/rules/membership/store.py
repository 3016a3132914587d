"""How is the list of members written and read? A row per record that says anything; a person's newest counts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from libs.common import clock
from libs.common.db import Tx
from services.rules.engine.segments import Entry

CLEARED_AT_ONCE = 1_000
COUNTED_AT_ONCE = 1_000
"""So many people are counted whenever somebody asks; more of them now and then."""
COUNTED_EVERY_SECONDS = 60.0
RESTS_TIMES = 20
"""Counting rests for so many times as long as it takes."""
_NEWEST = """
    SELECT DISTINCT ON (person_id) person_id, customer_id, inside, since, version
    FROM segment_member WHERE segment_id = $1 AND person_id > $2
    ORDER BY person_id, judged_ms DESC, customer_id
"""
COUNT_PEOPLE = f"SELECT count(*) FROM ({_NEWEST}) newest WHERE inside"
"""All that it needs lies in the index."""


async def write(tx: Tx, unit: int, entries: Sequence[Entry]) -> None:
    """One entry per segment and record. No statement where there is nothing to say."""
    listed = sorted(each for each in entries if each.inside is not None)
    if listed:
        await tx.execute(
            """
            INSERT INTO segment_member
                (unit, segment_id, customer_id, person_id, inside, since, judged_ms, version)
            SELECT $1, * FROM unnest(
                $2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[], $7::bigint[], $8::integer[])
            ON CONFLICT (unit, segment_id, customer_id) DO UPDATE SET person_id = excluded.person_id,
                inside = excluded.inside, since = excluded.since, judged_ms = excluded.judged_ms,
                version = excluded.version
            """,
            unit,
            [each.segment_id for each in listed],
            [each.customer_id for each in listed],
            [each.person_id for each in listed],
            [each.inside for each in listed],
            [clock.from_ms(each.since_ms) for each in listed],
            [each.judged_ms for each in listed],
            [each.version for each in listed],
        )
    gone = sorted((each.segment_id, each.customer_id) for each in entries if each.inside is None)
    if gone:
        await tx.execute(
            """
            DELETE FROM segment_member AS held
            USING unnest($2::text[], $3::text[]) AS given (segment_id, customer_id)
            WHERE held.unit = $1 AND held.segment_id = given.segment_id AND held.customer_id = given.customer_id
            """,
            unit,
            [segment_id for segment_id, _ in gone],
            [customer_id for _, customer_id in gone],
        )


async def listed(tx: Tx, customer_ids: Iterable[str]) -> list[tuple[str, str, bool, datetime, int, int]]:
    """Customer, segment, whether inside and since when, when that was judged, and by which version."""
    rows = await tx.fetch(
        "SELECT customer_id, segment_id, inside, since, judged_ms, version FROM segment_member"
        " WHERE customer_id = ANY($1)",
        sorted(set(customer_ids)),
    )
    return [tuple(row) for row in rows]


async def forget(tx: Tx, customer_ids: Iterable[str]) -> dict[str, int]:
    """Returns in how many segments each was listed."""
    rows = await tx.fetch(
        """
        WITH gone AS (DELETE FROM segment_member WHERE customer_id = ANY($1) RETURNING customer_id)
        SELECT customer_id, count(*) AS count FROM gone GROUP BY customer_id
        """,
        sorted(set(customer_ids)),
    )
    return {row["customer_id"]: row["count"] for row in rows}


async def clear(tx: Tx, unit: int, in_force: Collection[str]) -> bool:
    """Take lists of segments that are in force no more from the unit, a piece at a time; whether there may be more."""
    gone = [each for each in await _listed(tx, unit) if each not in in_force]
    if not gone:
        return False
    rows = await tx.fetch(
        """
        DELETE FROM segment_member WHERE unit = $1 AND (segment_id, customer_id) IN (
            SELECT segment_id, customer_id FROM segment_member
            WHERE unit = $1 AND segment_id = ANY ($2::text[]) LIMIT $3
        ) RETURNING 1
        """,
        unit,
        gone,
        CLEARED_AT_ONCE,
    )
    return len(rows) == CLEARED_AT_ONCE


async def _listed(tx: Tx, unit: int) -> list[str]:
    """The segments of which the unit has a list: it leaps from one to the next, whatever the number of members."""
    rows = await tx.fetch(
        """
        WITH RECURSIVE held AS (
            (SELECT segment_id FROM segment_member WHERE unit = $1 ORDER BY segment_id LIMIT 1)
            UNION ALL
            SELECT (
                SELECT segment_id FROM segment_member WHERE unit = $1 AND segment_id > held.segment_id
                ORDER BY segment_id LIMIT 1
            ) FROM held WHERE held.segment_id IS NOT NULL
        )
        SELECT segment_id FROM held WHERE segment_id IS NOT NULL
        """,
        unit,
    )
    return [row["segment_id"] for row in rows]


# --- reading ---------------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """`customer_id` is the record that says so."""

    person_id: str
    customer_id: str
    since: datetime
    version: int


async def page(connection: Any, segment_id: str, after: str, limit: int) -> list[Member]:
    """People in the order of their ids, each once."""
    rows = await connection.fetch(
        f"SELECT person_id, customer_id, since, version FROM ({_NEWEST}) newest WHERE inside LIMIT {limit:d}",
        segment_id,
        after,
    )
    return [Member(*row) for row in rows]


class Counted(NamedTuple):
    """People, and as of when."""

    people: int
    counted_at: datetime


async def people(connection: Any, segment_id: str) -> Counted | None:
    """A few are counted now, of many the last count is told; None where there has been none yet."""
    found: int = await connection.fetchval(
        f"SELECT count(*) FROM (SELECT FROM ({_NEWEST}) newest WHERE inside LIMIT $3) few",
        segment_id,
        "",
        COUNTED_AT_ONCE + 1,
    )
    if found <= COUNTED_AT_ONCE:
        return Counted(found, clock.now())
    return (await counted(connection, [segment_id])).get(segment_id)


async def counted(connection: Any, segment_ids: Iterable[str]) -> dict[str, Counted]:
    """What was found when each was counted last."""
    rows = await connection.fetch(
        "SELECT segment_id, people, counted_at FROM segment_count WHERE segment_id = ANY ($1)", sorted(set(segment_ids))
    )
    return {row["segment_id"]: Counted(row["people"], row["counted_at"]) for row in rows}


async def count_next(tx: Tx, segment_ids: Iterable[str]) -> bool:
    """Counts the segment whose turn it is; False where there is none, or another process is at it."""
    if not await tx.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended('segment_count', 0))"):
        return False
    wanted = sorted(set(segment_ids))
    rows = await tx.fetch(
        "SELECT segment_id, counted_at, took_seconds FROM segment_count WHERE segment_id = ANY ($1)", wanted
    )
    rest = max(COUNTED_EVERY_SECONDS, RESTS_TIMES * sum(row["took_seconds"] for row in rows))
    fresh = {row["segment_id"] for row in rows if clock.now() < row["counted_at"] + timedelta(seconds=rest)}
    id = next((each for each in wanted if each not in fresh), None)
    if id is None:
        return False
    began = time.perf_counter()
    found = await tx.fetchval(COUNT_PEOPLE, id, "")
    await tx.execute(
        """
        INSERT INTO segment_count (segment_id, people, counted_at, took_seconds) VALUES ($1, $2, $3, $4)
        ON CONFLICT (segment_id) DO UPDATE SET people = excluded.people, counted_at = excluded.counted_at,
            took_seconds = excluded.took_seconds
        """,
        id,
        found,
        clock.now(),
        time.perf_counter() - began,
    )
    return True


class Belonging(NamedTuple):
    segment_id: str
    since: datetime
    version: int


async def of_person(connection: Any, customer_ids: Iterable[str]) -> list[Belonging]:
    """The segments of a person, by all records that belong to them; those that people have written."""
    rows = await connection.fetch(
        """
        SELECT segment_id, since, version FROM (
            SELECT DISTINCT ON (segment_id) segment_id, inside, since, version FROM segment_member
            WHERE customer_id = ANY($1) AND segment_id NOT LIKE '%:%'
            ORDER BY segment_id, judged_ms DESC, customer_id
        ) newest WHERE inside ORDER BY segment_id
        """,
        sorted(set(customer_ids)),
    )
    return [Belonging(*row) for row in rows]


# --- definitions -----------------------------------------------------------------------------------------------------


async def written(connection: Any, *, in_force: bool) -> dict[str, bytes]:
    """The documents of segments by id: those in force or paused, or of each beside them the newest that is not
    retired.
    """
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (id) id, body FROM document
        WHERE kind = 'segment' AND status = ANY ($1::text[])
        ORDER BY id, (status IN ('active', 'paused')) DESC, version DESC
        """,
        ["active", "paused"] if in_force else ["active", "paused", "draft"],
    )
    return {row["id"]: row["body"].encode() for row in rows}


async def at_versions(connection: Any, versions: Mapping[str, int]) -> dict[str, bytes]:
    """What these segments meant when these were their versions."""
    rows = await connection.fetch(
        """
        SELECT document.id, document.body FROM document
        JOIN unnest($1::text[], $2::integer[]) AS given (id, version) USING (id, version)
        WHERE document.kind = 'segment'
        """,
        list(versions),
        list(versions.values()),
    )
    return {row["id"]: row["body"].encode() for row in rows}

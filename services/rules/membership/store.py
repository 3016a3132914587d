"""How is the list of members written and read? A row per record that says anything; a person's newest counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from libs.common import clock
from libs.common.db import Tx
from services.rules.engine.segments import Entry

CLEARED_AT_ONCE = 1_000
_NEWEST = """
    SELECT DISTINCT ON (person_id) person_id, customer_id, inside, since, version
    FROM segment_member WHERE segment_id = $1 AND person_id > $2
    ORDER BY person_id, judged_ms DESC, customer_id
"""


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
    rows = await tx.fetch(
        """
        DELETE FROM segment_member WHERE unit = $1 AND (segment_id, customer_id) IN (
            SELECT segment_id, customer_id FROM segment_member
            WHERE unit = $1 AND segment_id <> ALL ($2::text[]) LIMIT $3
        ) RETURNING 1
        """,
        unit,
        sorted(in_force),
        CLEARED_AT_ONCE,
    )
    return len(rows) == CLEARED_AT_ONCE


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


async def count(connection: Any, segment_id: str) -> int:
    """People."""
    found: int = await connection.fetchval(f"SELECT count(*) FROM ({_NEWEST}) newest WHERE inside", segment_id, "")
    return found


async def counts(connection: Any, segment_ids: Iterable[str]) -> Mapping[str, int]:
    return {each: await count(connection, each) for each in sorted(segment_ids)}


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

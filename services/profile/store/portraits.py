"""How are portraits written, looked through for people, and read? Set-based; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from libs.common.db import Row, Tx


class Stored(NamedTuple):
    """A portrait and what its record is found by; without a body there is none."""

    record_id: str
    body: bytes
    keys: frozenset[int]
    terms: frozenset[str]


async def load(tx: Tx, records: Collection[str]) -> dict[str, Stored]:
    rows = await tx.fetch(
        "SELECT record_id::text, body, keys, terms FROM portrait WHERE record_id = ANY($1::uuid[])", list(records)
    )
    return {
        row["record_id"]: Stored(row["record_id"], row["body"], frozenset(row["keys"]), frozenset(row["terms"]))
        for row in rows
    }


async def save(tx: Tx, unit: int, fresh: Sequence[Stored], known: Mapping[str, Stored]) -> None:
    """Write what differs from what is `known`, in one statement: no row is touched by two of its parts."""
    none = Stored("", b"", frozenset(), frozenset())
    pairs = [(each, known.get(each.record_id, none)) for each in fresh]
    kept = sorted((each for each in fresh if each.body), key=lambda each: each.record_id)
    await tx.execute(
        """
        WITH gone AS (
            DELETE FROM portrait WHERE record_id = ANY($6::uuid[])
        ), gone_keys AS (
            DELETE FROM portrait_key k USING unnest($7::bigint[], $8::uuid[]) AS gone (key, record)
            WHERE k.key = gone.key AND k.record = gone.record
        ), gone_terms AS (
            DELETE FROM portrait_term t USING unnest($11::text[], $12::uuid[]) AS gone (term, record)
            WHERE t.term = gone.term AND t.record = gone.record
        ), keys AS (
            INSERT INTO portrait_key (key, record) SELECT * FROM unnest($9::bigint[], $10::uuid[])
        ), terms AS (
            INSERT INTO portrait_term (term, record) SELECT * FROM unnest($13::text[], $14::uuid[])
        )
        INSERT INTO portrait (unit, record_id, body, keys, terms)
        SELECT $1, record_id, body, keys::bigint[], string_to_array(terms, E'\\n')
        FROM unnest($2::uuid[], $3::bytea[], $4::text[], $5::text[]) AS new (record_id, body, keys, terms)
        ON CONFLICT (record_id) DO UPDATE SET
            unit = excluded.unit, body = excluded.body, keys = excluded.keys, terms = excluded.terms
        """,
        unit,
        [each.record_id for each in kept],
        [each.body for each in kept],
        ["{" + ",".join(map(str, sorted(each.keys))) + "}" for each in kept],
        ["\n".join(sorted(each.terms)) for each in kept],
        [each.record_id for each in fresh if not each.body],
        *_columns(sorted((key, old.record_id) for new, old in pairs for key in old.keys - new.keys)),
        *_columns(sorted((key, new.record_id) for new, old in pairs for key in new.keys - old.keys)),
        *_columns(sorted((term, old.record_id) for new, old in pairs for term in old.terms - new.terms)),
        *_columns(sorted((term, new.record_id) for new, old in pairs for term in new.terms - old.terms)),
    )


async def look_again(tx: Tx, records: Sequence[str]) -> None:
    await tx.execute("INSERT INTO duplicate_look (record_id) SELECT * FROM unnest($1::uuid[])", list(records))


def _columns(rows: Sequence[tuple[Any, Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[], []]


class Sought(NamedTuple):
    """One thing that somebody typed: beginnings of terms, beginnings and ends of cards, ends of telephones, a key."""

    terms: Sequence[str] = ()
    cards: Sequence[str] = ()
    card_ends: Sequence[str] = ()
    phone_ends: Sequence[str] = ()
    keys: Sequence[str] = ()


_LAST = "\U0010ffff"
"""The last letter there is: what begins with a text lies before the text with this one behind it."""

_CARD = "loyalty_card:"


async def found(connection: Any, sought: Sought, branch: str | None, scanned: int, count: int) -> list[Row]:
    """Records by what they were found by, at most `count`; of each beginning no more than `scanned` are looked at.

    `branch` keeps those of whom one record says that it is their home, and all that consist of several records. In
    each row stands how many were looked at in all.
    """
    rows: list[Row] = await connection.fetch(
        """
        SELECT record_id::text, what, looked_at FROM (SELECT *, count(*) OVER () AS looked_at FROM (
            SELECT t.record AS record_id, left(t.term, 1) AS what
            FROM unnest($1::text[]) AS beginning CROSS JOIN LATERAL (
                SELECT record, term FROM portrait_term
                WHERE term >= beginning AND term < beginning || $9 ORDER BY term LIMIT $7
            ) AS t
            UNION ALL
            SELECT i.record_id, 'card' FROM unnest($2::text[]) AS beginning CROSS JOIN LATERAL (
                SELECT record_id FROM identifier
                WHERE key LIKE 'loyalty\\_card:%' AND key ~>=~ beginning AND key ~<~ (beginning || $9)
                ORDER BY key USING ~<~ LIMIT $7
            ) AS i
            UNION ALL
            SELECT i.record_id, 'card' FROM unnest($3::text[]) AS ending CROSS JOIN LATERAL (
                SELECT record_id FROM identifier
                WHERE key LIKE 'loyalty\\_card:%' AND reverse(key) ~>=~ ending AND reverse(key) ~<~ (ending || $9)
                ORDER BY reverse(key) USING ~<~ LIMIT $7
            ) AS i
            UNION ALL
            SELECT i.record_id, 'phone' FROM unnest($4::text[]) AS ending CROSS JOIN LATERAL (
                SELECT record_id FROM identifier
                WHERE key LIKE 'phone:%' AND reverse(key) ~>=~ ending AND reverse(key) ~<~ (ending || $9)
                ORDER BY reverse(key) USING ~<~ LIMIT $7
            ) AS i
            UNION ALL
            SELECT record_id, split_part(key, ':', 1) FROM identifier WHERE key = ANY($5)
        ) AS each) AS hit
        WHERE $6::text IS NULL
           OR (SELECT q.branch = $6 OR q.person_id IS NOT NULL FROM quality q WHERE q.customer_id = hit.record_id)
        LIMIT $8
        """,
        list(sought.terms),
        [_CARD + each for each in sought.cards],
        [each[::-1] for each in sought.card_ends],
        [each[::-1] for each in sought.phone_ends],
        list(sought.keys),
        branch,
        scanned,
        count,
        _LAST,
    )
    return rows


async def people_of(connection: Any, records: Collection[str], *, terms: bool) -> list[Row]:
    """All records of the people whom these belong to, the eldest of each first, with their portraits and branches."""
    rows: list[Row] = await connection.fetch(
        """
        SELECT r.person_id::text, r.record_id::text, p.body, q.branch, q.branch_rank,
            CASE WHEN $2 THEN p.terms END AS terms
        FROM (
            SELECT DISTINCT person_id FROM unnest($1::uuid[]) AS asked (record_id) JOIN record USING (record_id)
        ) AS person JOIN record r USING (person_id)
        LEFT JOIN portrait p ON p.record_id = r.record_id
        LEFT JOIN quality q ON q.customer_id = r.record_id
        ORDER BY r.person_id, r.created_at, r.record_id
        """,
        list(records),
        terms,
    )
    return rows

"""Who is to be looked at, whom might they be one with, and what is to be asked of people? Set-based; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from libs.common.clock import derived_id
from libs.common.db import Row, Tx

# --- looks -----------------------------------------------------------------------------------------------------------


async def take_looks(tx: Tx, count: int, lease_seconds: float) -> list[Row]:
    """The eldest (number, record_id) that nobody else is at; ours for so long."""
    return await tx.fetch(
        """
        UPDATE duplicate_look SET taken_until = clock_timestamp() + make_interval(secs => $2)
        WHERE number = ANY(ARRAY(
            SELECT number FROM duplicate_look WHERE taken_until < clock_timestamp()
            ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED
        )) RETURNING number, record_id::text
        """,
        count,
        lease_seconds,
    )


async def end_looks(tx: Tx, numbers: Collection[int]) -> None:
    await tx.execute("DELETE FROM duplicate_look WHERE number = ANY($1::bigint[])", sorted(numbers))


async def give_back_looks(tx: Tx, numbers: Collection[int], rest_seconds: float) -> None:
    """They are looked at again after a while."""
    await tx.execute(
        "UPDATE duplicate_look SET taken_until = clock_timestamp() + make_interval(secs => $2)"
        " WHERE number = ANY($1::bigint[])",
        sorted(numbers),
        rest_seconds,
    )


async def waiting(connection: Any, most: int) -> int:
    """How many looks are to be done, counted no further than `most`."""
    return int(
        await connection.fetchval("SELECT count(*) FROM (SELECT 1 FROM duplicate_look LIMIT $1) AS counted", most)
    )


async def drop_looks(tx: Tx, count: int) -> int:
    done = await tx.execute(
        "DELETE FROM duplicate_look WHERE number = ANY(ARRAY("
        "SELECT number FROM duplicate_look ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED))",
        count,
    )
    return int(done.split()[-1])


# --- candidates ------------------------------------------------------------------------------------------------------


async def bodies(connection: Any, records: Collection[str]) -> dict[str, bytes]:
    rows = await connection.fetch(
        "SELECT record_id::text, body FROM portrait WHERE record_id = ANY($1::uuid[])", list(records)
    )
    return {row["record_id"]: row["body"] for row in rows}


async def block_sizes(connection: Any, keys: Collection[int], most: int) -> dict[int, int]:
    """How many records have each key, counted no further than `most`."""
    rows = await connection.fetch(
        "SELECT key, (SELECT count(*) FROM (SELECT 1 FROM portrait_key k WHERE k.key = asked.key LIMIT $2) AS counted)"
        " AS size FROM unnest($1::bigint[]) AS asked (key)",
        sorted(keys),
        most,
    )
    return {row["key"]: row["size"] for row in rows}


async def members(connection: Any, keys: Collection[int]) -> list[Row]:
    """(key, record) of all who have one of these keys."""
    rows: list[Row] = await connection.fetch(
        "SELECT key, record::text FROM portrait_key WHERE key = ANY($1::bigint[])", sorted(keys)
    )
    return rows


async def people_of(connection: Any, records: Collection[str], uniques: Sequence[str]) -> list[Row]:
    """(person_id, record_id, body, keys, apart): all records of the people whom these belong to.

    `keys` are their identifiers of the types that nobody has two of, `apart` the records that nothing automatic joins
    them with.
    """
    rows: list[Row] = await connection.fetch(
        """
        SELECT r.person_id::text, r.record_id::text, p.body,
            ARRAY(SELECT i.key FROM identifier i WHERE i.record_id = r.record_id
                  AND EXISTS (SELECT 1 FROM unnest($2::text[]) AS kind WHERE starts_with(i.key, kind || ':'))) AS keys,
            CASE WHEN r.links_revision > 0 THEN ARRAY(
                SELECT other::text FROM kept_apart a WHERE a.record_id = r.record_id) END AS apart
        FROM (
            SELECT DISTINCT person_id FROM unnest($1::uuid[]) AS asked (record_id) JOIN record USING (record_id)
        ) AS person JOIN record r USING (person_id) LEFT JOIN portrait p ON p.record_id = r.record_id
        ORDER BY r.person_id, r.created_at, r.record_id
        """,
        list(records),
        list(uniques),
    )
    return rows


async def customers_about(connection: Any) -> int:
    """How many records have a portrait: exactly while they are few, by the server's own estimate later."""
    guess = await connection.fetchval("SELECT reltuples::bigint FROM pg_class WHERE oid = 'portrait'::regclass")
    if guess > 100_000:
        return int(guess)
    return int(await connection.fetchval("SELECT count(*) FROM (SELECT 1 FROM portrait LIMIT 200000) AS counted"))


async def portraits_after(connection: Any, record_id: str, count: int) -> list[Row]:
    """(record_id, body) in the order of their ids, which says nothing of who they are."""
    rows: list[Row] = await connection.fetch(
        "SELECT record_id::text, body FROM portrait WHERE record_id > $1::uuid ORDER BY record_id LIMIT $2",
        record_id,
        count,
    )
    return rows


# --- pairs -----------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Two records, the smaller id first; `odds` are log2 odds that they are one person."""

    one: str
    other: str
    odds: float
    guards: Sequence[str]
    weights: int

    @property
    def pair_id(self) -> str:
        return str(derived_id("duplicate", self.one, self.other))


async def open_among(connection: Any, records: Collection[str]) -> list[Row]:
    """(pair_id, one, other, odds) of the open pairs that one of these belongs to."""
    rows: list[Row] = await connection.fetch(
        """
        SELECT pair_id::text, one::text, other::text, odds FROM duplicate_pair
        WHERE one = ANY($1::uuid[]) AND state = 'open'
        UNION SELECT pair_id::text, one::text, other::text, odds FROM duplicate_pair
        WHERE other = ANY($1::uuid[]) AND state = 'open'
        """,
        list(records),
    )
    return rows


async def ask(tx: Tx, pairs: Collection[Pair], at: datetime) -> int:
    """Open these, or say anew how probable they are; returns how many were not open. Whoever is erased is no pair."""
    ordered = sorted(pairs)
    rows = await tx.fetch(
        """
        INSERT INTO duplicate_pair AS known (pair_id, one, other, state, odds, guards, weights, found_at)
        SELECT pair_id, one, other, 'open', odds, string_to_array(guards, ' '), weights, $7
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::float8[], $5::text[], $6::integer[])
            AS new (pair_id, one, other, odds, guards, weights)
        WHERE EXISTS (SELECT 1 FROM record r WHERE r.record_id = one)
          AND EXISTS (SELECT 1 FROM record r WHERE r.record_id = other)
        ON CONFLICT (pair_id) DO UPDATE SET
            state = 'open', odds = excluded.odds, guards = excluded.guards, weights = excluded.weights,
            found_at = CASE WHEN known.state = 'open' THEN known.found_at ELSE excluded.found_at END
        RETURNING found_at = $7 AS fresh
        """,
        [each.pair_id for each in ordered],
        [each.one for each in ordered],
        [each.other for each in ordered],
        [each.odds for each in ordered],
        [" ".join(each.guards) for each in ordered],
        [each.weights for each in ordered],
        at,
    )
    return sum(row["fresh"] for row in rows)


async def drop_pairs(tx: Tx, pair_ids: Collection[str], at: datetime) -> int:
    """Nobody needs to say anything of them any more."""
    done = await tx.execute(
        "UPDATE duplicate_pair SET state = 'gone', decided_at = $2 WHERE pair_id = ANY($1::uuid[]) AND state = 'open'",
        sorted(pair_ids),
        at,
    )
    return int(done.split()[-1])


async def decide(tx: Tx, pair_id: str, state: str, actor: str, reason: str, at: datetime) -> None:
    await tx.execute(
        "UPDATE duplicate_pair SET state = $2, decided_by = $3, reason = $4, decided_at = $5 WHERE pair_id = $1",
        pair_id,
        state,
        actor,
        reason,
        at,
    )


_PAIR = (
    "d.pair_id::text, d.one::text, d.other::text, d.state, d.odds, d.guards, d.found_at, d.decided_at, d.decided_by,"
    " d.reason"
)
_HOME = (
    "(SELECT q.branch FROM record r JOIN quality q ON q.customer_id = r.record_id WHERE r.person_id = {0}.person_id"
    " ORDER BY q.branch_rank DESC, q.customer_id LIMIT 1)"
)


async def pairs_page(
    connection: Any, state: str, branch: str | None, after: tuple[float, str] | None, count: int
) -> list[Row]:
    """The surest first. Of the open ones, those are left out whose people were linked or parted meanwhile."""
    odds, pair_id = after if after is not None else (None, None)
    rows: list[Row] = await connection.fetch(
        f"""
        SELECT {_PAIR} FROM duplicate_pair d
        LEFT JOIN record mine ON mine.record_id = d.one LEFT JOIN record theirs ON theirs.record_id = d.other
        WHERE d.state = $1 AND ($3::float8 IS NULL OR (-d.odds, d.pair_id) > (-$3, $4::uuid))
          AND ($3::float8 IS NULL OR d.odds <= $3)
          AND (d.state <> 'open' OR (mine.person_id <> theirs.person_id AND NOT EXISTS (
              SELECT 1 FROM record r JOIN kept_apart a ON a.record_id = r.record_id
              JOIN record s ON s.record_id = a.other
              WHERE r.person_id = mine.person_id AND s.person_id = theirs.person_id)))
          AND ($2::text IS NULL OR ({_HOME.format("mine")} = $2 AND {_HOME.format("theirs")} = $2))
        ORDER BY d.odds DESC, d.pair_id LIMIT $5
        """,
        state,
        branch,
        odds,
        pair_id,
        count,
    )
    return rows


async def pair(connection: Any, pair_id: str) -> Row | None:
    return await connection.fetchrow(f"SELECT {_PAIR} FROM duplicate_pair d WHERE d.pair_id = $1", pair_id)

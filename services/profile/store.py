"""Which tables does profile have, and how are they read and written? Set-based, keys sorted; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from libs.common.db import Row, Tx
from services.profile.identity import Directory, Link, Person


class Sighting(NamedTuple):
    """An event's identity as remembered: the day of its time, and hashes of (source, id) and of its body, in hex."""

    day: date
    key: str
    body: str


async def remember(tx: Tx, sightings: Iterable[Sighting], *, history: bool) -> dict[str, str]:
    """Note events; returns those that were noted before, by key, with the hash of the body they had then."""
    wanted = sorted(sightings)
    if not wanted:
        return {}
    table = "seen_history" if history else "seen"
    columns = [list(column) for column in zip(*wanted, strict=True)]
    inserted = await tx.fetch(
        f"INSERT INTO {table} (day, key, body) SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[])"
        " ON CONFLICT DO NOTHING RETURNING key",
        *columns,
    )
    if len(inserted) == len(wanted):
        return {}
    new = {row["key"].hex for row in inserted}
    old = [each for each in wanted if each.key not in new]
    rows = await tx.fetch(
        f"SELECT s.key, s.body FROM {table} s"
        " JOIN unnest($1::date[], $2::uuid[]) AS w (day, key) ON s.day = w.day AND s.key = w.key",
        [each.day for each in old],
        [each.key for each in old],
    )
    return {row["key"].hex: row["body"].hex for row in rows}


async def keep_conflicts(tx: Tx, at: datetime, rows: Sequence[tuple[str, str, datetime, bytes]]) -> None:
    """Rows are source, event id, time and the body that came second."""
    if rows:
        await tx.execute(
            "INSERT INTO conflict (at, source, event_id, time, body)"
            " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bytea[]) ON CONFLICT DO NOTHING",
            at,
            *[list(column) for column in zip(*rows, strict=True)],
        )


async def directory_of(tx: Tx, keys: Collection[str], record_ids: Collection[str]) -> Directory:
    """Everything known of the people whom `keys` (or ids of records) belong to, all their identifiers included.

    A `customer_id` that is the id of one of our own records finds that record.
    """
    rows = await tx.fetch(
        """
        WITH hit AS (
            SELECT r.person_id FROM identifier i JOIN record r USING (record_id) WHERE i.key = ANY($1)
            UNION SELECT person_id FROM record WHERE record_id = ANY($2::uuid[])
        )
        SELECT r.person_id, r.record_id, r.created_at, array_agg(i.key) FILTER (WHERE i.key IS NOT NULL) AS keys
        FROM hit JOIN record r USING (person_id) LEFT JOIN identifier i USING (record_id)
        GROUP BY r.record_id ORDER BY r.created_at, r.record_id
        """,
        list(keys),
        list(record_ids),
    )
    directory = Directory()
    people: dict[str, Person] = {}
    for row in rows:
        person_id, record = str(row["person_id"]), str(row["record_id"])
        person = people.setdefault(person_id, Person(person_id, []))
        person.records.append(record)
        held = row["keys"] or []
        person.keys.update(held)
        directory.add(person, dict.fromkeys(held, record))
        if record in record_ids:
            directory.record_of[f"customer_id:{record}"] = record
    return directory


async def add_identifiers(tx: Tx, keys: Mapping[str, str], at: datetime) -> bool:
    """False when somebody else has just learned one of them: this transaction must be done again."""
    ordered = sorted(keys.items())
    inserted = await tx.fetch(
        "INSERT INTO identifier (key, record_id, learned_at)"
        " SELECT *, $3 FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING RETURNING key",
        [key for key, _ in ordered],
        [record for _, record in ordered],
        at,
    )
    return len(inserted) == len(ordered)


async def add_records(tx: Tx, records: Sequence[str], at: datetime) -> None:
    """A new record is a person of its own; one that a repeated batch makes again is the same."""
    await tx.execute(
        "INSERT INTO record (record_id, person_id, created_at)"
        " SELECT id, id, $2::timestamptz + (n || ' microseconds')::interval"
        " FROM unnest($1::uuid[]) WITH ORDINALITY AS r (id, n) ON CONFLICT DO NOTHING",
        list(records),
        at,
    )


async def add_links(tx: Tx, links: Sequence[Link], at: datetime) -> None:
    for link in links:
        await tx.execute(
            "UPDATE record SET person_id = $1 WHERE record_id IN"
            " (SELECT record_id FROM record WHERE record_id = ANY($2::uuid[]) ORDER BY record_id FOR UPDATE)",
            link.person,
            list(link.joined),
        )
        await tx.execute(
            "INSERT INTO link (person_id, joined, evidence, event_id, linked_at) VALUES ($1, $2::uuid[], $3, $4, $5)",
            link.person,
            list(link.joined),
            list(link.evidence),
            link.event_id,
            at,
        )


async def load_customers(tx: Tx, customer_ids: Collection[str]) -> dict[str, bytes]:
    rows = await tx.fetch(
        "SELECT customer_id, body FROM customer WHERE customer_id = ANY($1::uuid[])", list(customer_ids)
    )
    return {str(row["customer_id"]): bytes(row["body"]) for row in rows}


async def save(
    tx: Tx, unit: int, customers: Sequence[tuple[str, int, bytes]], timeline: Sequence[tuple[Any, ...]]
) -> None:
    """Customers are id, version and body, one row each; timeline rows as its columns, without the unit.

    One statement for both, since every trip to the database is paid once a batch.
    """
    states = sorted(customers)
    await tx.execute(
        """
        WITH past AS (
            INSERT INTO timeline (unit, customer_id, time, event_id, type, source, channel, body)
            SELECT $1, * FROM unnest(
                $5::uuid[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[])
        )
        INSERT INTO customer (unit, customer_id, version, body)
        SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::bytea[])
        ON CONFLICT (customer_id) DO UPDATE SET version = excluded.version, body = excluded.body
        """,
        unit,
        *_columns(states, 3),
        *_columns(timeline, 7),
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


async def note_commands(tx: Tx, unit: int, rows: Sequence[tuple[str, str, str, int]], at: datetime) -> None:
    """Rows are command id, customer id, outcome (empty when applied) and the profile's version after it."""
    if rows:
        await tx.execute(
            "INSERT INTO command (unit, command_id, customer_id, outcome, version, applied_at)"
            " SELECT $1, *, $6 FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bigint[]) ON CONFLICT DO NOTHING",
            unit,
            *[list(column) for column in zip(*rows, strict=True)],
            at,
        )


async def known_commands(tx: Tx, command_ids: Collection[str]) -> set[str]:
    rows = await tx.fetch("SELECT command_id FROM command WHERE command_id = ANY($1::uuid[])", list(command_ids))
    return {str(row["command_id"]) for row in rows}


async def command_outcome(connection: Any, command_id: str) -> tuple[str, int] | None:
    row = await connection.fetchrow("SELECT outcome, version FROM command WHERE command_id = $1", command_id)
    return None if row is None else (row["outcome"], row["version"])


async def records_of(connection: Any, *, key: str = "", record_id: str = "") -> list[str]:
    """All records of the person whom an identifier or one of their records names, oldest first; empty if unknown."""
    rows = await connection.fetch(
        """
        SELECT r.record_id FROM record r WHERE r.person_id = coalesce(
            (SELECT o.person_id FROM identifier i JOIN record o USING (record_id) WHERE i.key = $1),
            (SELECT o.person_id FROM record o WHERE o.record_id = $2::uuid)
        ) ORDER BY r.created_at, r.record_id
        """,
        key,
        record_id or None,
    )
    return [str(row["record_id"]) for row in rows]


async def person_of(connection: Any, record_id: str) -> str | None:
    found = await connection.fetchval("SELECT person_id FROM record WHERE record_id = $1", record_id)
    return None if found is None else str(found)


async def identifiers_of(connection: Any, records: Sequence[str]) -> list[str]:
    rows = await connection.fetch(
        "SELECT key FROM identifier WHERE record_id = ANY($1::uuid[]) ORDER BY key", list(records)
    )
    return [row["key"] for row in rows]


async def timeline_page(
    connection: Any, records: Sequence[str], before: tuple[datetime, str] | None, count: int
) -> list[Row]:
    """Newest first; `before` is the time and event id of the last row of the page before."""
    time, event_id = before if before is not None else (None, "")
    rows: list[Row] = await connection.fetch(
        "SELECT customer_id, time, event_id, type, source, channel, body FROM timeline"
        " WHERE customer_id = ANY($1::uuid[]) AND ($2::timestamptz IS NULL OR (time, event_id) < ($2, $3))"
        " ORDER BY time DESC, event_id DESC LIMIT $4",
        list(records),
        time,
        event_id,
        count,
    )
    return rows


async def conflicts_page(connection: Any, before: datetime | None, count: int) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT at, source, event_id, time, body FROM conflict WHERE $1::timestamptz IS NULL OR at < $1"
        " ORDER BY at DESC LIMIT $2",
        before,
        count,
    )
    return rows


async def arrange_days(connection: Any, today: date, age_days: int) -> None:
    """Have a partition for each day on which a live event may lie, and drop those that are over."""
    wanted = [today + timedelta(days=offset) for offset in range(-age_days - 1, 3)]
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'seen'::regclass"
    )
    existing = {row["name"] for row in rows}
    for day in wanted:
        name = f"seen_{day:%Y%m%d}"
        if name not in existing:
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF seen"
                f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
            )
    for name in sorted(existing - {f"seen_{day:%Y%m%d}" for day in wanted}):
        await connection.execute(f"DROP TABLE IF EXISTS {name}")

"""Whose are identifiers, and which records are one person? Set-based, keys sorted; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.common.db import Tx
from services.profile.identity import Directory, Link, Person


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

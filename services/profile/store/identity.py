"""Whose are identifiers, and which records are one person? Set-based, keys sorted; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from libs.common.db import Row, Tx
from services.profile.identity import Born, Directory, Edge, Person


async def directory_rows(tx: Tx, keys: Collection[str], record_ids: Collection[str]) -> list[Row]:
    """Everything known of the people whom `keys` (or ids of records) belong to, a row for each of their records.

    Of identifiers beyond the limit of a person, of which there may be any number, only those that are asked for.
    Only records that were ever linked can have links or be kept apart: the others cost no look into those tables.
    """
    return await tx.fetch(
        """
        WITH hit AS (
            SELECT r.person_id FROM identifier i JOIN record r USING (record_id) WHERE i.key = ANY($1)
            UNION SELECT person_id FROM record WHERE record_id = ANY($2::uuid[])
        )
        SELECT r.person_id::text, r.record_id::text, r.created_at, r.links_revision,
               array_agg(i.key) FILTER (WHERE i.key IS NOT NULL) AS keys,
               array_agg(i.key) FILTER (WHERE i.silent <> '') AS silent,
               CASE WHEN r.links_revision > 0 THEN ARRAY(
                   SELECT other::text FROM kept_apart a WHERE a.record_id = r.record_id) END AS apart,
               CASE WHEN r.links_revision > 0 THEN ARRAY(
                   SELECT evidence FROM link
                   WHERE one = r.record_id AND kind = 'event' AND ended_at IS NULL) END AS claims
        FROM hit JOIN record r USING (person_id)
        LEFT JOIN identifier i ON i.record_id = r.record_id AND (i.silent <> 'limit' OR i.key = ANY($1))
        GROUP BY r.record_id ORDER BY r.created_at, r.record_id
        """,
        list(keys),
        list(record_ids),
    )


def directory_of(rows: Sequence[Row], record_ids: Collection[str]) -> Directory:
    """A directory of its own for each call. A `customer_id` that is the id of one of our records finds that record."""
    directory = Directory()
    people: dict[str, Person] = {}
    for person_id, record, created_at, revision, keys, silent, apart, claims in rows:
        person = people.get(person_id)
        if person is None:
            person = people[person_id] = Person(person_id, [], set(), revision)
        person.records.append(record)
        directory.person_of[record] = person
        directory.born[record] = (created_at, record)
        if keys:
            person.keys.update(keys)
            for key in keys:
                directory.record_of[key] = record
        if silent:
            directory.silent.update(silent)
        if apart:
            directory.apart[record] = set(apart)
        if claims:
            directory.claims.update(map(tuple, claims))
        if record in record_ids:
            directory.record_of[f"customer_id:{record}"] = record
            directory.own.add(f"customer_id:{record}")
    return directory


async def standing_links(tx: Tx, records: Collection[str]) -> list[Edge]:
    """The links between these records that have not been taken back."""
    rows = await tx.fetch(
        "SELECT link_id::text, one::text, other::text, kind, evidence FROM link"
        " WHERE one = ANY($1::uuid[]) AND ended_at IS NULL ORDER BY link_id",
        list(records),
    )
    return [Edge(link_id, one, other, kind, tuple(evidence)) for link_id, one, other, kind, evidence in rows]


async def lock_records(tx: Tx, records: Collection[str]) -> None:
    """Until the end of the transaction nobody else changes whose these are, or what is known of them."""
    await tx.execute(
        "SELECT record_id FROM record WHERE record_id = ANY($1::uuid[]) ORDER BY record_id FOR UPDATE", sorted(records)
    )


async def next_revision(tx: Tx) -> int:
    """Grows with each change of the same records, for those are locked before it is taken."""
    return int(await tx.fetchval("SELECT nextval('links_revision')"))


async def add_identifiers(tx: Tx, keys: Mapping[str, str], silenced: Mapping[str, str], at: datetime) -> bool:
    """False when somebody else has just learned one of them: this transaction must be done again."""
    ordered = sorted(keys.items())
    inserted = await tx.fetch(
        "INSERT INTO identifier (key, record_id, silent, learned_at)"
        " SELECT *, $4 FROM unnest($1::text[], $2::uuid[], $3::text[]) ON CONFLICT DO NOTHING RETURNING key",
        [key for key, _ in ordered],
        [record for _, record in ordered],
        [silenced.get(key, "") for key, _ in ordered],
        at,
    )
    return len(inserted) == len(ordered)


async def silence(tx: Tx, keys: Mapping[str, str]) -> None:
    """Known identifiers that join nobody from now on, with the reason."""
    ordered = sorted(keys.items())
    await tx.execute(
        "UPDATE identifier SET silent = new.silent FROM unnest($1::text[], $2::text[]) AS new (key, silent)"
        " WHERE identifier.key = new.key AND identifier.silent = ''",
        [key for key, _ in ordered],
        [why for _, why in ordered],
    )


async def add_records(tx: Tx, born: Mapping[str, Born]) -> None:
    """A new record is a person of its own; one that a repeated batch makes again is the same."""
    await tx.execute(
        "INSERT INTO record (record_id, person_id, created_at)"
        " SELECT id, id, at FROM unnest($1::uuid[], $2::timestamptz[]) AS r (id, at) ON CONFLICT DO NOTHING",
        list(born),
        [at for at, _ in born.values()],
    )


async def set_persons(tx: Tx, person_of: Mapping[str, str], revision: int) -> None:
    """Records, which are locked or new, and the person that each belongs to from now on."""
    await tx.execute(
        "UPDATE record SET person_id = new.person_id, links_revision = $3"
        " FROM unnest($1::uuid[], $2::uuid[]) AS new (record_id, person_id) WHERE record.record_id = new.record_id",
        list(person_of),
        list(person_of.values()),
        revision,
    )


async def add_links(tx: Tx, links: Sequence[Edge], at: datetime) -> None:
    await tx.execute(
        "INSERT INTO link (link_id, one, other, kind, evidence, event_id, actor, about, linked_at)"
        " SELECT link_id, one, other, kind, array_remove(ARRAY[own, key], NULL), event_id, actor, about, $10"
        " FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],"
        " $9::jsonb[]) AS new (link_id, one, other, kind, own, key, event_id, actor, about) ON CONFLICT DO NOTHING",
        [each.link_id for each in links],
        [each.one for each in links],
        [each.other for each in links],
        [each.kind for each in links],
        [each.evidence[0] if each.evidence else None for each in links],
        [each.evidence[1] if each.evidence else None for each in links],
        [each.event_id for each in links],
        [each.actor for each in links],
        [msgspec.json.encode(each.about).decode() for each in links],
        at,
    )


async def end_links(tx: Tx, link_ids: Mapping[str, tuple[str, str]], at: datetime) -> None:
    """By id: who takes it back, and why."""
    await tx.execute(
        "UPDATE link SET ended_at = $4, ended_by = gone.actor, ended_why = gone.reason"
        " FROM unnest($1::uuid[], $2::text[], $3::text[]) AS gone (link_id, actor, reason)"
        " WHERE link.link_id = gone.link_id AND link.ended_at IS NULL",
        list(link_ids),
        [actor for actor, _ in link_ids.values()],
        [reason for _, reason in link_ids.values()],
        at,
    )


async def keep_apart(tx: Tx, pairs: Collection[tuple[str, str]], at: datetime) -> None:
    both = sorted({*pairs, *((other, one) for one, other in pairs)})
    await tx.execute(
        "INSERT INTO kept_apart (record_id, other, parted_at)"
        " SELECT *, $3 FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING",
        [one for one, _ in both],
        [other for _, other in both],
        at,
    )


async def forget_apart(tx: Tx, pairs: Collection[tuple[str, str]]) -> None:
    both = sorted({*pairs, *((other, one) for one, other in pairs)})
    await tx.execute(
        "DELETE FROM kept_apart USING unnest($1::uuid[], $2::uuid[]) AS pair (record_id, other)"
        " WHERE kept_apart.record_id = pair.record_id AND kept_apart.other = pair.other",
        [one for one, _ in both],
        [other for _, other in both],
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


async def links_page(
    connection: Any, records: Sequence[str], before: tuple[datetime, UUID] | None, count: int
) -> list[Row]:
    """All links that these records have or had, newest first; `before` is the time and id of the last of a page."""
    at, link_id = before if before is not None else (None, None)
    rows: list[Row] = await connection.fetch(
        "SELECT link_id::text, one::text, other::text, kind, evidence, event_id, actor, about, linked_at, ended_at,"
        " ended_by, ended_why FROM link WHERE (one = ANY($1::uuid[]) OR other = ANY($1::uuid[]))"
        " AND ($2::timestamptz IS NULL OR (linked_at, link_id) < ($2, $3::uuid))"
        " ORDER BY linked_at DESC, link_id DESC LIMIT $4",
        list(records),
        at,
        link_id,
        count,
    )
    return rows

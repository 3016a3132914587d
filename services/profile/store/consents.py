"""What was said of consent, in which words, and what is owed for it? Ledger, wordings and duties."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from libs.common.db import Row, Tx


class Entry(NamedTuple):
    """A row of the ledger: one statement on one channel and purpose."""

    customer_id: str
    event_id: str
    source: str
    type: str
    channel: str
    purpose: str
    status: str
    wording: str
    proof: str
    reason: str
    at: datetime
    received_at: datetime


class Debt(NamedTuple):
    """What is owed to a record, None when nothing is, and when such a duty was last done."""

    customer_id: str
    duty: str
    due_on: date | None
    done_on: date | None


Place = tuple[datetime, str, str, str, str]
"""Where a page of the ledger ends: time, event, channel, purpose and source of its last row."""


async def add_entries(tx: Tx, unit: int, entries: Sequence[Entry]) -> None:
    """A statement that is there already is not added again, and its wording not counted again."""
    if entries:
        await tx.execute(
            """
            WITH added AS (
                INSERT INTO consent_ledger (unit, customer_id, event_id, source, type, channel, purpose, status,
                                            wording, proof, reason, at, received_at)
                SELECT $1, * FROM unnest(
                    $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                    $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[])
                ON CONFLICT DO NOTHING RETURNING wording, received_at
            )
            INSERT INTO consent_wording_use AS known (wording, unit, statements, first_at, last_at)
            SELECT wording, $1, count(*), min(received_at), max(received_at) FROM added WHERE wording <> ''
            GROUP BY wording
            ON CONFLICT (wording, unit) DO UPDATE SET
                statements = known.statements + excluded.statements,
                first_at = least(known.first_at, excluded.first_at),
                last_at = greatest(known.last_at, excluded.last_at)
            """,
            unit,
            *[list(column) for column in zip(*sorted(entries), strict=True)],
        )


async def ledger_page(connection: Any, records: Sequence[str], after: Place | None, count: int) -> list[Row]:
    """Newest first; `known` says whether the wording is one of ours, null where none is named."""
    rows: list[Row] = await connection.fetch(
        """
        SELECT l.*, CASE WHEN l.wording <> '' THEN EXISTS (
            SELECT FROM consent_wording w WHERE w.wording_id || '@' || w.version = l.wording
                AND w.wording_id = split_part(l.wording, '@', 1)) END AS known
        FROM consent_ledger l
        WHERE customer_id = ANY($1::uuid[])
            AND ($2::timestamptz IS NULL OR (at, event_id, channel, purpose, source) < ($2, $3, $4, $5, $6))
        ORDER BY at DESC, event_id DESC, channel DESC, purpose DESC, source DESC LIMIT $7
        """,
        list(records),
        *(after or (None, "", "", "", "")),
        count,
    )
    return rows


async def known_wordings(connection: Any, names: Collection[str]) -> set[str]:
    """Which of these references, `id@version`, name a wording that is there."""
    rows = await connection.fetch(
        "SELECT wording_id || '@' || version AS name FROM consent_wording WHERE wording_id = ANY($1)",
        sorted({name.partition("@")[0] for name in names}),
    )
    return {row["name"] for row in rows}.intersection(names)


async def unknown_wordings(connection: Any, after: str, count: int) -> list[Row]:
    """Wordings that statements name and nobody has written down, by name."""
    rows: list[Row] = await connection.fetch(
        """
        SELECT wording, sum(statements)::bigint AS statements, min(first_at) AS first_at, max(last_at) AS last_at
        FROM consent_wording_use u
        WHERE wording > $1 AND NOT EXISTS (
            SELECT FROM consent_wording w WHERE w.wording_id || '@' || w.version = u.wording
                AND w.wording_id = split_part(u.wording, '@', 1))
        GROUP BY wording ORDER BY wording LIMIT $2
        """,
        after,
        count,
    )
    return rows


async def add_wording(tx: Tx, wording_id: str, version: int, row: tuple[Any, ...]) -> bool:
    """`row` is language, purpose, channels, text, valid from, actor, now; False when that version is there already."""
    done = await tx.execute(
        "INSERT INTO consent_wording (wording_id, version, language, purpose, channels, text, valid_from, actor,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        wording_id,
        version,
        *row,
    )
    return done.endswith(" 1")


async def wording(connection: Any, wording_id: str, version: int | None = None) -> Row | None:
    """A version of a wording, the newest where none is named."""
    return await connection.fetchrow(
        "SELECT * FROM consent_wording WHERE wording_id = $1 AND ($2::integer IS NULL OR version = $2)"
        " ORDER BY version DESC LIMIT 1",
        wording_id,
        version,
    )


async def wording_versions(connection: Any, wording_id: str, before: int | None, count: int) -> list[Row]:
    rows: list[Row] = await connection.fetch(
        "SELECT * FROM consent_wording WHERE wording_id = $1 AND ($2::integer IS NULL OR version < $2)"
        " ORDER BY version DESC LIMIT $3",
        wording_id,
        before,
        count,
    )
    return rows


async def wordings_page(connection: Any, after: str, count: int) -> list[Row]:
    """The newest version of each wording, by id."""
    rows: list[Row] = await connection.fetch(
        "SELECT DISTINCT ON (wording_id) * FROM consent_wording WHERE wording_id > $1"
        " ORDER BY wording_id, version DESC LIMIT $2",
        after,
        count,
    )
    return rows


async def set_debts(tx: Tx, unit: int, debts: Sequence[Debt]) -> None:
    """The present state of duties, one row for each customer and duty that there is anything to say of."""
    if debts:
        await tx.execute(
            """
            INSERT INTO consent_duty AS known (unit, customer_id, duty, due_on, done_on)
            SELECT $1, w.* FROM unnest($2::uuid[], $3::text[], $4::date[], $5::date[])
                AS w (customer_id, duty, due_on, done_on)
            WHERE w.due_on IS NOT NULL OR w.done_on IS NOT NULL OR EXISTS (
                SELECT FROM consent_duty d WHERE d.customer_id = w.customer_id AND d.duty = w.duty)
            ON CONFLICT (customer_id, duty) DO UPDATE SET due_on = excluded.due_on, done_on = excluded.done_on
            WHERE (known.due_on, known.done_on) IS DISTINCT FROM (excluded.due_on, excluded.done_on)
            """,
            unit,
            *[list(column) for column in zip(*sorted(debts, key=lambda debt: debt[:2]), strict=True)],
        )


async def debts_page(
    connection: Any, due_before: date, duty: str | None, after: tuple[date, UUID, str] | None, count: int
) -> list[Row]:
    """What is owed before a day, the earliest first; `after` is due day, customer and duty of the last row."""
    rows: list[Row] = await connection.fetch(
        """
        SELECT customer_id, duty, due_on, done_on FROM consent_duty
        WHERE due_on < $1 AND ($2::text IS NULL OR duty = $2)
            AND ($3::date IS NULL OR (due_on, customer_id, duty) > ($3, $4::uuid, $5))
        ORDER BY due_on, customer_id, duty LIMIT $6
        """,
        due_before,
        duty,
        *(after or (None, None, "")),
        count,
    )
    return rows


async def records_of_people(connection: Any, records: Collection[str]) -> dict[str, tuple[str, list[str]]]:
    """By record, the person it belongs to and all of their records, the eldest first."""
    rows = await connection.fetch(
        """
        SELECT one.record_id, one.person_id, array_agg(every.record_id ORDER BY every.created_at, every.record_id)
            AS records
        FROM record one JOIN record every ON every.person_id = one.person_id
        WHERE one.record_id = ANY($1::uuid[]) GROUP BY one.record_id
        """,
        sorted(records),
    )
    return {str(row["record_id"]): (str(row["person_id"]), [str(each) for each in row["records"]]) for row in rows}

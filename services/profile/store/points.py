"""How is the ledger of points locked, read and written? Set-based, keys sorted; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from libs.common.clock import from_ms, to_ms
from libs.common.db import Tx
from services.profile.person.points import NEVER
from services.profile.points.book import Book, Entry, Known, Lot, Open, Posting, drawn

OPENS_LOOKED_AT_MAX = 100
"""Of one record, and as many that are over; a source that reports nothing but spends cannot make every entry slower."""


# --- before ----------------------------------------------------------------------------------------------------


async def lock_accounts(tx: Tx, customer_ids: Collection[str]) -> dict[str, bytes]:
    """The summaries of those that have an account, which nobody else changes until the end of the transaction.

    What is not among them must not be written: its account may come into being at this moment in another unit.
    """
    rows = await tx.fetch(
        "SELECT customer_id, summary FROM points_account WHERE customer_id = ANY($1::uuid[])"
        " ORDER BY customer_id FOR UPDATE",
        sorted(customer_ids),
    )
    return {str(row["customer_id"]): bytes(row["summary"]) for row in rows}


async def add_accounts(tx: Tx, unit: int, customer_ids: Iterable[str], summary: bytes) -> None:
    """Accounts of records of this unit, which nobody else makes."""
    await tx.execute(
        "INSERT INTO points_account (customer_id, unit, balance, summary) SELECT id, $2, 0, $3"
        " FROM unnest($1::uuid[]) AS id",
        sorted(customer_ids),
        unit,
        summary,
    )


async def summaries(connection: Any, customer_ids: Collection[str]) -> dict[str, bytes]:
    rows = await connection.fetch(
        "SELECT customer_id, summary FROM points_account WHERE customer_id = ANY($1::uuid[])", list(customer_ids)
    )
    return {str(row["customer_id"]): bytes(row["summary"]) for row in rows}


async def lots_of(tx: Tx, customer_ids: Collection[str]) -> list[Lot]:
    rows = await tx.fetch(
        "SELECT customer_id, business_unit, expires_on, left_points, expired FROM points_lot"
        " WHERE customer_id = ANY($1::uuid[]) AND (left_points > 0 OR expired > 0)",
        list(customer_ids),
    )
    return [
        Lot(
            str(row["customer_id"]),
            row["business_unit"],
            row["expires_on"].toordinal(),
            row["left_points"],
            row["expired"],
        )
        for row in rows
    ]


async def drawn_from(tx: Tx, entry_ids: Collection[str]) -> set[str]:
    """Whose points these entries, or what settled them, took. What an entry took never changes: no lock is needed."""
    rows = await tx.fetch(
        """
        WITH taker AS (
            SELECT unnest($1::uuid[]) AS entry_id
            UNION SELECT entry_id FROM points_entry WHERE settles = ANY($1::uuid[]) AND kind IN ('spend', 'adjust')
        )
        SELECT DISTINCT p.customer_id FROM points_posting p JOIN taker USING (entry_id)
        WHERE p.kind IN ('spend', 'adjust') AND p.points < 0
        """,
        list(entry_ids),
    )
    return {str(row["customer_id"]) for row in rows}


async def opens_of(tx: Tx, customer_ids: Collection[str], entry_ids: Collection[str], today: int) -> list[Open]:
    """What is open of these records, of each the first that end, and what stands under these ids, open or not.

    What is over is owed for good and is tried no more: it does not take the place of what can still be done.
    """
    rows = await tx.fetch(
        """
        SELECT o.* FROM unnest($1::uuid[]) AS record (id), LATERAL (
            (SELECT * FROM points_open WHERE customer_id = record.id AND state = 'open' AND until_on >= $4
             ORDER BY until_on, at, entry_id LIMIT $3)
            UNION ALL
            (SELECT * FROM points_open WHERE customer_id = record.id AND state = 'open' AND until_on < $4
             ORDER BY until_on, at, entry_id LIMIT $3)
        ) AS o
        UNION SELECT * FROM points_open WHERE entry_id = ANY($2::uuid[])
        """,
        list(customer_ids),
        list(entry_ids),
        OPENS_LOOKED_AT_MAX,
        _on(today),
    )
    return [
        Open(
            str(row["entry_id"]),
            str(row["customer_id"]),
            row["kind"],
            row["points"],
            to_ms(row["at"]),
            row["day"].toordinal(),
            row["until_on"].toordinal(),
            row["business_unit"],
            str(row["awaits"] or ""),
            row["state"],
            row["note"],
            row["by"],
        )
        for row in rows
    ]


async def known_of(
    tx: Tx, entry_ids: Collection[str], taken_back: Collection[str]
) -> tuple[dict[str, Known], dict[str, str]]:
    """Those of the entries that are in the ledger, and which entries settled them, by what they settled.

    Of the ids in `taken_back`, and of what settled them, also how much was reversed, and what they drew from.
    """
    if not entry_ids:
        return {}, {}
    rows = await tx.fetch(
        """
        WITH found AS (
            SELECT * FROM points_entry WHERE entry_id = ANY($1::uuid[])
            UNION ALL SELECT * FROM points_entry WHERE settles = ANY($2::uuid[]) AND kind IN ('spend', 'adjust')
        )
        SELECT f.*, (SELECT sum(r.points) FROM points_entry r
                     WHERE r.reverses = f.entry_id AND r.kind = 'reverse' AND r.status = 'done')::bigint AS reversed
        FROM found f
        """,
        list(entry_ids),
        list(taken_back),
    )
    settled_by = {str(row["settles"]): str(row["entry_id"]) for row in rows if row["settles"] is not None}
    known = {str(row["entry_id"]): _known(row) for row in rows}
    takers = {*taken_back, *settled_by.values()} & {
        id_ for id_, each in known.items() if each.kind in ("spend", "adjust")
    }
    if takers:
        for id_, postings in (await _postings_of(tx, takers)).items():
            known[id_].drawn = drawn(postings)
    return known, settled_by


def _known(row: Any) -> Known:
    return Known(
        str(row["customer_id"]),
        row["kind"],
        row["points"],
        row["status"],
        row["day"].toordinal(),
        row["business_unit"],
        row["expires_on"].toordinal(),
        row["reversed"] or 0,
    )


async def _postings_of(tx: Tx, entry_ids: Collection[str]) -> dict[str, list[Posting]]:
    rows = await tx.fetch(
        "SELECT entry_id, customer_id, business_unit, expires_on, kind, points FROM points_posting"
        " WHERE entry_id = ANY($1::uuid[])",
        list(entry_ids),
    )
    found: dict[str, list[Posting]] = {}
    for row in rows:
        name, day = str(row["entry_id"]), row["expires_on"].toordinal()
        posting = Posting(name, str(row["customer_id"]), row["business_unit"], day, row["kind"], row["points"])
        found.setdefault(name, []).append(posting)
    return found


# --- after -----------------------------------------------------------------------------------------------------


async def write(tx: Tx, unit: int, book: Book, summaries_of: Mapping[str, tuple[int, bytes]], now: datetime) -> None:
    """Append what is new and write what changed; `summaries_of` are balance and summary of the records touched."""
    await _add_entries(tx, unit, book.entries, now)
    await _add_postings(tx, unit, book.postings, now)
    await _write_lots(tx, book)
    await _write_opens(tx, unit, [each for each in book.opens.values() if each.changed], now)
    await _write_totals(tx, unit, book)
    ids = sorted(summaries_of)
    await tx.execute(
        "UPDATE points_account SET balance = new.balance, summary = new.summary"
        " FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS new (customer_id, balance, summary)"
        " WHERE points_account.customer_id = new.customer_id",
        ids,
        [summaries_of[each][0] for each in ids],
        [summaries_of[each][1] for each in ids],
    )


async def _add_entries(tx: Tx, unit: int, entries: Sequence[Entry], now: datetime) -> None:
    rows = [
        (
            *(each.id, each.customer_id, each.kind, each.points, each.moved, each.status, each.why),
            *(each.business_unit, each.partner, each.reference, each.reason),
            *(each.reverses or None, each.settles or None, _on(each.day), _on(each.expires_day)),
            *(each.actor, from_ms(each.at_ms)),
        )
        for each in sorted(entries, key=lambda each: each.id)
    ]
    await tx.execute(
        """
        INSERT INTO points_entry (
            unit, booked_at, entry_id, customer_id, kind, points, moved, status, why, business_unit, partner,
            reference, reason, reverses, settles, day, expires_on, actor, at)
        SELECT $1, $2, * FROM unnest(
            $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[],
            $11::text[], $12::text[], $13::text[], $14::uuid[], $15::uuid[], $16::date[], $17::date[], $18::text[],
            $19::timestamptz[])
        """,
        unit,
        now,
        *_columns(rows, 17),
    )


async def _add_postings(tx: Tx, unit: int, postings: Sequence[Posting], now: datetime) -> None:
    rows = [
        (each.entry_id, each.customer_id, each.business_unit, _on(each.expires_day), each.kind, each.points)
        for each in postings
    ]
    await tx.execute(
        "INSERT INTO points_posting (unit, booked_at, entry_id, customer_id, business_unit, expires_on, kind, points)"
        " SELECT $1, $2, * FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::date[], $7::text[], $8::bigint[])",
        unit,
        now,
        *_columns(rows, 6),
    )


async def _write_lots(tx: Tx, book: Book) -> None:
    changed = [lot for lot in book.lots_of(book.lots) if lot.changed]
    rows = sorted(
        (each.customer_id, _on(each.expires_day), each.business_unit, each.left, each.expired) for each in changed
    )
    await tx.execute(
        """
        INSERT INTO points_lot (customer_id, expires_on, business_unit, left_points, expired)
        SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[])
        ON CONFLICT (customer_id, expires_on, business_unit)
        DO UPDATE SET left_points = excluded.left_points, expired = excluded.expired
        """,
        *_columns(rows, 5),
    )


async def _write_opens(tx: Tx, unit: int, opens: Sequence[Open], now: datetime) -> None:
    rows = [
        (
            *(each.entry_id, each.customer_id, each.kind, each.points, each.business_unit, each.awaits or None),
            *(from_ms(each.at_ms), _on(each.day), _on(each.until_day), each.state, each.note, each.by),
        )
        for each in sorted(opens, key=lambda each: each.entry_id)
    ]
    if rows:
        await tx.execute(
            """
            INSERT INTO points_open (unit, changed_at, entry_id, customer_id, kind, points, business_unit, awaits, at,
                                     day, until_on, state, note, by)
            SELECT $1, $2, * FROM unnest(
                $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::uuid[], $9::timestamptz[],
                $10::date[], $11::date[], $12::text[], $13::text[], $14::text[])
            ON CONFLICT (entry_id) DO UPDATE SET points = excluded.points, state = excluded.state,
                note = excluded.note, by = excluded.by, changed_at = excluded.changed_at
            """,
            unit,
            now,
            *_columns(rows, 12),
        )


async def _write_totals(tx: Tx, unit: int, book: Book) -> None:
    units = {each.id: each.business_unit for each in book.entries}
    moved = [
        (each.kind, each.business_unit, units[each.entry_id], each.expires_day, each.points) for each in book.postings
    ]
    await _count(tx, unit, [each for each in moved if each[-1]])


async def _count(tx: Tx, unit: int, moved: Iterable[tuple[str, str, str, int, int]]) -> None:
    """`moved` are kind, whose points, where, last day and how many."""
    totals: dict[tuple[str, str, str], int] = {}
    months: dict[tuple[str, date], int] = {}
    for kind, issuer, business_unit, day, points in moved:
        total, month = (kind, issuer, business_unit), (issuer, _month(day))
        totals[total] = totals.get(total, 0) + points
        months[month] = months.get(month, 0) + points
    await tx.execute(
        """
        INSERT INTO points_total AS t (unit, kind, issuer, business_unit, points)
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
        ON CONFLICT (unit, kind, issuer, business_unit) DO UPDATE SET points = t.points + excluded.points
        """,
        unit,
        *_columns([(*key, points) for key, points in sorted(totals.items())], 4),
    )
    await tx.execute(
        """
        INSERT INTO points_liability AS t (unit, issuer, month, points)
        SELECT $1, * FROM unnest($2::text[], $3::date[], $4::bigint[])
        ON CONFLICT (unit, issuer, month) DO UPDATE SET points = t.points + excluded.points
        """,
        unit,
        *_columns([(*key, points) for key, points in sorted(months.items())], 3),
    )


async def forfeit(tx: Tx, unit: int, customer_id: str) -> None:
    """Nobody can spend what an erased customer had, nor is anything given back to them; the sums say so."""
    if not await lock_accounts(tx, [customer_id]):
        return
    rows = await tx.fetch(
        "DELETE FROM points_lot WHERE customer_id = $1 RETURNING business_unit, expires_on, left_points", customer_id
    )
    moved = [
        ("erase", row["business_unit"], "", row["expires_on"].toordinal(), -row["left_points"])
        for row in rows
        if row["left_points"]
    ]
    await _count(tx, unit, moved)
    await tx.execute("DELETE FROM points_account WHERE customer_id = $1", customer_id)


def _on(day: int) -> date:
    return date.fromordinal(day)


def _month(day: int) -> date:
    return date.fromordinal(day).replace(day=1) if day != NEVER else date.max


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]

"""What is held of a person, all of it, in a form that other programs can read? Piece by piece, however much it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from libs.common import clock
from libs.common.db import Database, Row
from services.profile import reading
from services.profile.person import Definitions
from services.profile.store import customers as customer_store
from services.profile.store import erasing as tables
from services.profile.store import exporting as store
from services.profile.timeline import told_of

LINES_AT_ONCE: Final = 500
VERSION: Final = 1

_APART: Final = frozenset(
    (
        "timeline",
        # What follows from the rest, for search and for work that is to be done.
        "portrait",
        "portrait_key",
        "portrait_term",
        "duplicate_look",
        "record",
        "identifier",
        "link",
    )
)
"""Tables that have a part of their own, or nothing that was ever said of the person."""


async def pieces(
    database: Database, customer_id: str, records: Sequence[str], definitions: Definitions
) -> AsyncIterator[bytes]:
    """One JSON object. Each page is read for itself: whoever reads slowly holds no transaction open."""
    async with database.connection() as connection:
        head = {
            "format": {"name": "dangol.customer", "version": VERSION},
            "exported_at": clock.now(),
            "customer": await reading.customer(connection, customer_id, records, definitions),
            "identifiers": [_plain(row) for row in await store.identifiers(connection, records)],
            "records": [_plain(row) for row in await store.records(connection, records)],
            "links": [_plain(row) for row in await store.links(connection, records)],
        }
        kept = [table for table in await tables.tables_of_customers(connection) if table[0] not in _APART]
    yield msgspec.json.encode(head, enc_hook=str)[:-1] + b',"tables":{'
    for at, name in enumerate(sorted({table for table, _, _ in kept})):
        columns = [(column, kind) for table, column, kind in kept if table == name]
        yield (b"," if at else b"") + msgspec.json.encode(name) + b":["
        async for piece in _rows(database, name, columns, records):
            yield piece
        yield b"]"
    yield b'},"timeline":['
    async for piece in _timeline(database, records):
        yield piece
    yield b'],"seen_by":['
    async for piece in _seen_by(database, records):
        yield piece
    yield b"]}\n"


async def _rows(
    database: Database, table: str, columns: Sequence[tuple[str, str]], records: Sequence[str]
) -> AsyncIterator[bytes]:
    first = True
    for column, kind in columns:
        async with database.connection() as connection:
            rows = await store.rows_of(connection, table, column, kind, records)
        for start in range(0, len(rows), LINES_AT_ONCE):
            yield _joined([_plain(row) for row in rows[start : start + LINES_AT_ONCE]], first)
            first = False


async def _timeline(database: Database, records: Sequence[str]) -> AsyncIterator[bytes]:
    place: tuple[datetime, str] | None = None
    first, nothing = True, customer_store.Chosen()
    while True:
        async with database.connection() as connection:
            rows = await customer_store.timeline_page(connection, records, nothing, place, LINES_AT_ONCE)
        if not rows:
            return
        place = rows[-1]["time"], rows[-1]["event_id"]
        yield _joined([_line(row) for row in rows], first)
        first = False


async def _seen_by(database: Database, records: Sequence[str]) -> AsyncIterator[bytes]:
    before: int | None = None
    first = True
    while True:
        async with database.connection() as connection:
            rows = await store.seen_by(connection, records, before, LINES_AT_ONCE)
        if not rows:
            return
        before = rows[-1]["number"]
        yield _joined([_plain(row) for row in rows], first)
        first = False


def _line(row: Row) -> dict[str, Any]:
    """With the identifiers by which it came, which people who look at a timeline need not see."""
    return reading.line(row) | {"identifiers": told_of(row).identifiers}


def _plain(row: Row) -> dict[str, Any]:
    return {name: value for name, value in dict(row).items() if not isinstance(value, bytes | memoryview)}


def _joined(items: Sequence[Any], first: bool) -> bytes:
    return (b"" if first else b",") + b",".join(msgspec.json.encode(item, enc_hook=str) for item in items)

"""Which version of a document is asked for, and which documents counted at a snapshot?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from libs.common.documents.shapes import (
    ActiveDocument,
    Connection,
    DocumentChange,
    DocumentReview,
    DocumentVersion,
    ListedDocument,
    Status,
)
from libs.common.errors import NotFound

COLUMNS = "kind, id, version, status, ramp_percent, body, author, note, created_at, review"

Which = int | Literal["latest", "active", "live"]
"""A version number, the newest one, the active one, or the one that is active or paused."""

_CHOICE = {
    "latest": "TRUE ORDER BY version DESC LIMIT 1",
    "active": "status = 'active'",
    "live": "status IN ('active', 'paused')",
}


async def get(connection: Connection, kind: str, id: str, which: Which = "latest") -> DocumentVersion:
    """Raises NotFound, saying which version is missing."""
    wanted = f"SELECT {COLUMNS} FROM document WHERE kind = $1 AND id = $2 AND "
    if isinstance(which, int):
        # A number from an address may be larger than any version can be.
        row = await connection.fetchrow(wanted + "version = $3", kind, id, min(which, 2**31 - 1))
    else:
        row = await connection.fetchrow(wanted + _CHOICE[which], kind, id)
    if row is None:
        named = f"version {which}" if isinstance(which, int) else f"{which} version"
        raise NotFound(f"There is no {kind} {id!r}." if which == "latest" else f"{kind} {id!r} has no {named}.")
    return version_of(row)


async def page(
    connection: Connection, kind: str, *, after: str = "", limit: int = 100, status: Status | None = None
) -> list[ListedDocument]:
    """One entry per document in the order of ids, beginning behind `after`.

    `status` is that of the active or paused version, or else of the latest; `review` finds the documents of which
    any version waits for a second person.
    """
    rows = await connection.fetch(
        f"""
        SELECT latest.*, live.version AS live_version, live.status AS live_status, asked.version AS review_version
        FROM (
            SELECT DISTINCT ON (id) {COLUMNS} FROM document
            WHERE kind = $1 AND id > $2 ORDER BY id, version DESC
        ) latest
        LEFT JOIN document live
            ON live.kind = latest.kind AND live.id = latest.id AND live.status IN ('active', 'paused')
        LEFT JOIN document asked
            ON asked.kind = latest.kind AND asked.id = latest.id AND asked.review = 'asked'
        WHERE $4::text IS NULL OR ($4 = 'review' AND asked.version IS NOT NULL)
            OR (coalesce(live.status, latest.status) = $4 AND (live.version IS NOT NULL OR latest.review <> 'asked'))
        ORDER BY latest.id LIMIT $3
        """,
        kind,
        after,
        limit,
        status,
    )
    return [
        ListedDocument(version_of(row), row["live_version"], row["live_status"], row["review_version"]) for row in rows
    ]


async def versions(
    connection: Connection, kind: str, id: str, *, before: int = 2**31 - 1, limit: int = 100
) -> list[DocumentVersion]:
    """Newest first, beginning below `before`."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM document WHERE kind = $1 AND id = $2 AND version < $3
        ORDER BY version DESC LIMIT $4
        """,
        kind,
        id,
        before,
        limit,
    )
    return [version_of(row) for row in rows]


async def changes(
    connection: Connection, kind: str, *, id: str | None = None, before: int = 2**63 - 1, limit: int = 100
) -> list[DocumentChange]:
    """Who switched what and why, newest first, beginning below the snapshot number `before`."""
    rows = await connection.fetch(
        """
        SELECT kind, number, id, version, status, ramp_percent, was_version, was_status, author, note, at,
            reach_percent
        FROM document_change WHERE kind = $1 AND ($2::text IS NULL OR id = $2) AND number < $3
        ORDER BY number DESC LIMIT $4
        """,
        kind,
        id,
        before,
        limit,
    )
    return [DocumentChange(**dict(row)) for row in rows]


async def reviews(
    connection: Connection, kind: str, id: str, *, before: int = 2**63 - 1, limit: int = 100
) -> list[DocumentReview]:
    """Who was asked for a second opinion on which version, and what they said; newest first."""
    rows = await connection.fetch(
        """
        SELECT kind, id, number, version, verdict, author, note, at
        FROM document_review WHERE kind = $1 AND id = $2 AND number < $3 ORDER BY number DESC LIMIT $4
        """,
        kind,
        id,
        before,
        limit,
    )
    return [DocumentReview(**dict(row)) for row in rows]


async def snapshot_number(connection: Connection, kind: str) -> int:
    """0 before anything of the kind was ever activated."""
    return int(await connection.fetchval("SELECT number FROM document_snapshot WHERE kind = $1", kind) or 0)


async def load_snapshot(
    connection: Connection, kind: str, *, at: int | None = None, with_paused: bool = False
) -> tuple[int, list[ActiveDocument]]:
    """What counts now, or what counted at the snapshot `at`; in the order of ids.

    The number and the documents come from one statement: they belong together, whatever is switched now.
    """
    statuses = ["active", "paused"] if with_paused else ["active"]
    rows = await connection.fetch(
        """
        WITH upto AS (
            SELECT least(number, coalesce($2::bigint, number)) AS number
            FROM document_snapshot WHERE kind = $1
        ), state AS (
            SELECT DISTINCT ON (change.id) change.id, change.version, change.status, change.ramp_percent
            FROM document_change change, upto
            WHERE change.kind = $1 AND change.number <= upto.number ORDER BY change.id, change.number DESC
        )
        SELECT upto.number, state.*, document.body
        FROM upto
        LEFT JOIN state ON state.status = ANY ($3::text[])
        LEFT JOIN document
            ON document.kind = $1 AND document.id = state.id AND document.version = state.version
        ORDER BY state.id
        """,
        kind,
        at,
        statuses,
    )
    if not rows:
        return 0, []
    return int(rows[0]["number"]), [_active(row) for row in rows if row["id"] is not None]


async def load_together(
    connection: Connection, kind: str, beside: Sequence[str], meaning: Sequence[str]
) -> tuple[int, list[ActiveDocument]]:
    """What counts or is paused now, of a kind and of those beside it, with the number of the kind, which whoever
    switches one of the others raises as well. One statement, so that they belong together.

    Fields of the documents that `meaning` names are what they mean: as long as these are the same, an edit is no break.
    """
    rows = await connection.fetch(
        """
        SELECT snapshot.number, live.kind, live.id, live.version, live.status, live.ramp_percent, live.body,
            coalesce((
                SELECT max(change.number) FROM document_change change
                LEFT JOIN document was
                    ON was.kind = change.kind AND was.id = change.id AND was.version = change.was_version
                LEFT JOIN document now
                    ON now.kind = change.kind AND now.id = change.id AND now.version = change.version
                WHERE change.kind = live.kind AND change.id = live.id AND change.status IN ('active', 'paused')
                    AND (change.was_status NOT IN ('active', 'paused') OR EXISTS (
                        SELECT FROM unnest($3::text[]) AS part (name)
                        WHERE was.body->>part.name IS DISTINCT FROM now.body->>part.name
                    ))
            ), 0) AS began
        FROM document_snapshot snapshot
        LEFT JOIN document live ON live.kind = ANY ($2::text[]) AND live.status IN ('active', 'paused')
        WHERE snapshot.kind = $1
        ORDER BY live.kind, live.id
        """,
        kind,
        [kind, *beside],
        list(meaning),
    )
    if not rows:
        return 0, []
    documents = [
        msgspec.structs.replace(_active(row), kind=row["kind"], began=row["began"])
        for row in rows
        if row["id"] is not None
    ]
    return int(rows[0]["number"]), documents


async def raise_number(tx: Connection, kind: str) -> None:
    """Something that is read beside a kind was switched; waits for whoever switches documents of the kind."""
    await tx.fetch(
        """
        INSERT INTO document_snapshot AS held (kind, number) VALUES ($1, 1)
        ON CONFLICT (kind) DO UPDATE SET number = held.number + 1
        """,
        kind,
    )


def version_of(row: Mapping[str, Any]) -> DocumentVersion:
    return DocumentVersion(
        kind=row["kind"],
        id=row["id"],
        version=row["version"],
        status="review" if row["status"] == "draft" and row["review"] == "asked" else row["status"],
        ramp_percent=row["ramp_percent"],
        body=row["body"].encode(),
        author=row["author"],
        note=row["note"],
        created_at=row["created_at"],
        review=row["review"],
    )


def _active(row: Mapping[str, Any]) -> ActiveDocument:
    return ActiveDocument(row["id"], row["version"], row["status"], row["ramp_percent"], row["body"].encode())

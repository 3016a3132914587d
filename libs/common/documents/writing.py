"""How does a document get a version, and how does a version begin and cease to count?

Every write takes the row of its kind in `document_snapshot` first. People write documents, so one at a time
is fast enough, and snapshot numbers become visible in the order in which they were given.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from libs.common import clock
from libs.common.db import Tx
from libs.common.documents.reading import COLUMNS, get, version_of
from libs.common.documents.shapes import DocumentVersion, Status
from libs.common.errors import Conflict, NotFound, Stale


async def create_version(
    tx: Tx, kind: str, id: str, body: bytes, *, author: str, note: str = "", expected: int | None = None
) -> DocumentVersion:
    """A new draft, numbered one above the latest.

    `expected` is the latest version that the author has read, 0 for a document that must be new: Stale or
    Conflict when somebody was faster. None appends whatever there is.
    """
    await lock(tx, kind)
    latest = await _latest(tx, kind, id)
    if expected == 0 and latest.version:
        raise Conflict(f"There is a {kind} {id!r} already{latest.told()}; change it by a new version.")
    _require(kind, id, expected, latest)
    row = await tx.fetchrow(
        f"""
        INSERT INTO document (kind, id, version, status, body, author, note, created_at)
        VALUES ($1, $2, $3, 'draft', $4, $5, $6, $7) RETURNING {COLUMNS}
        """,
        kind,
        id,
        latest.version + 1,
        body.decode("utf-8"),
        author,
        note,
        clock.now(),
    )
    assert row is not None
    return version_of(row)


async def activate(
    tx: Tx,
    kind: str,
    id: str,
    version: int,
    *,
    author: str,
    note: str = "",
    expected: int | None = None,
    ramp_percent: int = 100,
    reach_percent: float | None = None,
) -> DocumentVersion:
    """Makes a version count instead of the one before, which is retired.

    `reach_percent` is kept beside the change: what was known of its reach when it was allowed.
    """
    await lock(tx, kind)
    _require(kind, id, expected, await _latest(tx, kind, id))
    wanted = await get(tx, kind, id, version)
    if wanted.status == "active" and wanted.ramp_percent == ramp_percent:
        return wanted
    return await _switch(tx, wanted, "active", ramp_percent, author, note, reach_percent)


async def rollback(
    tx: Tx, kind: str, id: str, *, author: str, note: str = "", expected: int | None = None
) -> DocumentVersion:
    """Puts the version that was in force before the present one in force again, with the ramp that it had then."""
    live = await _live(tx, kind, id, expected)
    before = await tx.fetchrow(
        """
        SELECT version, ramp_percent FROM document_change
        WHERE kind = $1 AND id = $2 AND version <> $3 AND status = 'active' ORDER BY number DESC LIMIT 1
        """,
        kind,
        id,
        live.version,
    )
    if before is None:
        raise Conflict(f"{kind} {id!r} has nothing to go back to: only version {live.version} was ever in force.")
    wanted = await get(tx, kind, id, before["version"])
    reason = note or f"Back from version {live.version}."
    return await _switch(tx, wanted, "active", before["ramp_percent"], author, reason)


async def pause(
    tx: Tx, kind: str, id: str, *, author: str, note: str = "", expected: int | None = None
) -> DocumentVersion:
    """Stops the active version until it is resumed; Conflict when none is active."""
    live = await _live(tx, kind, id, expected)
    if live.status == "paused":
        return live
    return await _switch(tx, live, "paused", live.ramp_percent, author, note)


async def resume(
    tx: Tx, kind: str, id: str, *, author: str, note: str = "", expected: int | None = None
) -> DocumentVersion:
    live = await _live(tx, kind, id, expected)
    if live.status == "active":
        return live
    return await _switch(tx, live, "active", live.ramp_percent, author, note)


async def require_active(tx: Tx, kind: str, id: str, expected: int | None = None) -> DocumentVersion:
    """The active version, with the lock of the kind taken; Conflict when none is."""
    live = await _live(tx, kind, id, expected)
    if live.status == "paused":
        raise Conflict(f"{kind} {id!r} is paused; resume it first, or activate a version.")
    return live


async def retire(
    tx: Tx, kind: str, id: str, *, author: str, note: str = "", expected: int | None = None
) -> DocumentVersion:
    """Ends the active or paused version, or else puts the latest draft away."""
    await lock(tx, kind)
    _require(kind, id, expected, await _latest(tx, kind, id))
    try:
        ending = await get(tx, kind, id, "live")
    except NotFound:
        ending = await get(tx, kind, id, "latest")
    if ending.status == "retired":
        return ending
    await withdraw(tx, kind, id, author)
    return await _switch(tx, ending, "retired", ending.ramp_percent, author, note)


async def withdraw(tx: Tx, kind: str, id: str, author: str) -> None:
    """Nobody is asked about any version of it any more; the caller holds the lock of the kind."""
    await tx.execute(
        """
        WITH asked AS (
            UPDATE document SET review = '' WHERE kind = $1 AND id = $2 AND review = 'asked' RETURNING version
        )
        INSERT INTO document_review (kind, id, version, verdict, author, note, at)
        SELECT $1, $2, asked.version, 'withdrawn', $3, '', $4 FROM asked
        """,
        kind,
        id,
        author,
        clock.now(),
    )


async def _live(tx: Tx, kind: str, id: str, expected: int | None) -> DocumentVersion:
    await lock(tx, kind)
    _require(kind, id, expected, await _latest(tx, kind, id))
    try:
        return await get(tx, kind, id, "live")
    except NotFound:
        latest = await get(tx, kind, id, "latest")
        raise Conflict(f"{kind} {id!r} is {latest.status}: no version of it is active or paused.") from None


async def _switch(
    tx: Tx,
    document: DocumentVersion,
    status: Status,
    ramp_percent: int,
    author: str,
    note: str,
    reach_percent: float | None = None,
) -> DocumentVersion:
    """One change, one snapshot number; the caller holds the lock of the kind."""
    kind, id, version = document.kind, document.id, document.version
    was = await tx.fetchrow(
        """
        SELECT version, status FROM document
        WHERE kind = $1 AND id = $2 AND (version = $3 OR status IN ('active', 'paused'))
        ORDER BY status IN ('active', 'paused') DESC LIMIT 1
        """,
        kind,
        id,
        version,
    )
    assert was is not None
    await tx.execute(
        """
        UPDATE document SET status = 'retired'
        WHERE kind = $1 AND id = $2 AND version <> $3 AND status IN ('active', 'paused')
        """,
        kind,
        id,
        version,
    )
    row = await tx.fetchrow(
        f"""
        UPDATE document SET status = $4, ramp_percent = $5 WHERE kind = $1 AND id = $2 AND version = $3
        RETURNING {COLUMNS}
        """,
        kind,
        id,
        version,
        status,
        ramp_percent,
    )
    assert row is not None
    await tx.execute(
        """
        WITH next AS (UPDATE document_snapshot SET number = number + 1 WHERE kind = $1 RETURNING number)
        INSERT INTO document_change
            (kind, number, id, version, status, ramp_percent, was_version, was_status, author, note, at,
             reach_percent)
        SELECT $1, next.number, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM next
        """,
        *(kind, id, version, status, ramp_percent),
        *(was["version"], was["status"], author, note, clock.now(), reach_percent),
    )
    return version_of(row)


async def lock(tx: Tx, kind: str) -> None:
    """From here on until the end of the transaction nobody else writes or switches documents of this kind."""
    await tx.execute(
        """
        INSERT INTO document_snapshot AS held (kind, number) VALUES ($1, 0)
        ON CONFLICT (kind) DO UPDATE SET number = held.number
        """,
        kind,
    )


class _Latest(NamedTuple):
    """The newest version of a document, 0 where there is none, and who wrote it when."""

    version: int
    author: str = ""
    created_at: datetime | None = None

    def told(self) -> str:
        when = "" if self.created_at is None else self.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f", written by {self.author} at {when}" if when else ""


async def _latest(tx: Tx, kind: str, id: str) -> _Latest:
    row = await tx.fetchrow(
        """
        SELECT version, author, created_at FROM document
        WHERE kind = $1 AND id = $2 ORDER BY version DESC LIMIT 1
        """,
        kind,
        id,
    )
    return _Latest(0) if row is None else _Latest(row["version"], row["author"], row["created_at"])


def _require(kind: str, id: str, expected: int | None, latest: _Latest) -> None:
    if expected is None or expected == latest.version:
        return
    if latest.version == 0:
        raise NotFound(f"There is no {kind} {id!r}.")
    told = f"{kind} {id!r} is at version {latest.version} by now, not {expected}{latest.told()}."
    raise Stale(f"{told} Read it again, make your change upon that, and send it with the ETag that came with it.")

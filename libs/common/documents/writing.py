"""How does a document get a version, and how does a version begin and cease to count?

Every write takes the row of its kind in `document_snapshot` first. People write documents, so one at a time
is fast enough, and snapshot numbers become visible in the order in which they were given.
"""

from __future__ import annotations

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
    await _lock(tx, kind)
    latest = await _latest(tx, kind, id)
    if expected == 0 and latest:
        raise Conflict(f"There is a {kind} {id!r} already; change it by a new version.")
    _require(kind, id, expected, latest)
    row = await tx.fetchrow(
        f"""
        INSERT INTO document (kind, id, version, status, body, author, note, created_at)
        VALUES ($1, $2, $3, 'draft', $4, $5, $6, $7) RETURNING {COLUMNS}
        """,
        kind,
        id,
        latest + 1,
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
) -> DocumentVersion:
    """Makes a version count instead of the one before, which is retired; an older version is a rollback."""
    await _lock(tx, kind)
    _require(kind, id, expected, await _latest(tx, kind, id))
    wanted = await get(tx, kind, id, version)
    if wanted.status == "active" and wanted.ramp_percent == ramp_percent:
        return wanted
    return await _switch(tx, wanted, "active", ramp_percent, author, note)


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


async def retire(
    tx: Tx, kind: str, id: str, *, author: str, note: str = "", expected: int | None = None
) -> DocumentVersion:
    """Ends the active or paused version, or else puts the latest draft away."""
    await _lock(tx, kind)
    _require(kind, id, expected, await _latest(tx, kind, id))
    try:
        ending = await get(tx, kind, id, "live")
    except NotFound:
        ending = await get(tx, kind, id, "latest")
    if ending.status == "retired":
        return ending
    return await _switch(tx, ending, "retired", ending.ramp_percent, author, note)


async def _live(tx: Tx, kind: str, id: str, expected: int | None) -> DocumentVersion:
    await _lock(tx, kind)
    _require(kind, id, expected, await _latest(tx, kind, id))
    try:
        return await get(tx, kind, id, "live")
    except NotFound:
        latest = await get(tx, kind, id, "latest")
        raise Conflict(f"{kind} {id!r} is {latest.status}: no version of it is active or paused.") from None


async def _switch(
    tx: Tx, document: DocumentVersion, status: Status, ramp_percent: int, author: str, note: str
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
            (kind, number, id, version, status, ramp_percent, was_version, was_status, author, note, at)
        SELECT $1, next.number, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM next
        """,
        *(kind, id, version, status, ramp_percent),
        *(was["version"], was["status"], author, note, clock.now()),
    )
    return version_of(row)


async def _lock(tx: Tx, kind: str) -> None:
    await tx.execute(
        """
        INSERT INTO document_snapshot AS held (kind, number) VALUES ($1, 0)
        ON CONFLICT (kind) DO UPDATE SET number = held.number
        """,
        kind,
    )


async def _latest(tx: Tx, kind: str, id: str) -> int:
    return int(await tx.fetchval("SELECT max(version) FROM document WHERE kind = $1 AND id = $2", kind, id) or 0)


def _require(kind: str, id: str, expected: int | None, latest: int) -> None:
    if expected is None or expected == latest:
        return
    if latest == 0:
        raise NotFound(f"There is no {kind} {id!r}.")
    raise Stale(f"{kind} {id!r} is at version {latest} by now, not {expected}. Read it again.")

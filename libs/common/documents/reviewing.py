"""Has somebody else than its author agreed to a version, and does it need that before it counts?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.common import clock
from libs.common.db import Tx
from libs.common.documents.reading import COLUMNS, get, version_of
from libs.common.documents.shapes import Connection, DocumentVersion, Verdict
from libs.common.documents.writing import lock, withdraw
from libs.common.errors import Conflict, Fault, Forbidden

Reach = Callable[[Connection, str, int], Awaitable[float | None]]
"""The percentage of the customers whom a version of a document would reach, by the newest backtest; None without."""


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Above which reach a version needs a second person's word: a percentage of the customers, 0 for any reach, None
    for never; `asked` asks for it where it may change. `reach` asks what is known; where it knows nothing the estimate
    of whoever activates stands in."""

    above_percent: float | None = None
    reach: Reach | None = None
    asked: Callable[[Connection], Awaitable[float | None]] | None = None

    async def limit(self, connection: Connection) -> float | None:
        return self.above_percent if self.asked is None else await self.asked(connection)


async def submit(tx: Tx, kind: str, id: str, version: int | None, *, author: str, note: str = "") -> DocumentVersion:
    """Asks for a second person's word on a version, the latest if none is named, instead of any other of the same
    document."""
    await lock(tx, kind)
    wanted = await get(tx, kind, id, version or "latest")
    if wanted.review in ("asked", "approved"):
        return wanted
    await withdraw(tx, kind, id, author)
    return await _told(tx, wanted, "asked", author, note)


async def approve(tx: Tx, kind: str, id: str, version: int, *, author: str, note: str = "") -> DocumentVersion:
    """Conflict when nobody asks about this version; Forbidden for whoever wrote it."""
    return await _judged(tx, kind, id, version, "approved", author, note)


async def reject(tx: Tx, kind: str, id: str, version: int, *, author: str, note: str = "") -> DocumentVersion:
    return await _judged(tx, kind, id, version, "rejected", author, note)


async def _judged(
    tx: Tx, kind: str, id: str, version: int, verdict: Verdict, author: str, note: str
) -> DocumentVersion:
    await lock(tx, kind)
    wanted = await get(tx, kind, id, version)
    if wanted.review == verdict:
        return wanted
    if wanted.review != "asked":
        raise Conflict(f"Version {version} of {kind} {id!r} is not in review; somebody has to submit it first.")
    if wanted.author == author and verdict == "approved":
        raise Forbidden(f"Version {version} of {kind} {id!r} is your own; somebody else has to approve it.")
    return await _told(tx, wanted, verdict, author, note)


async def _told(tx: Tx, version: DocumentVersion, verdict: Verdict, author: str, note: str) -> DocumentVersion:
    row = await tx.fetchrow(
        f"UPDATE document SET review = $4 WHERE kind = $1 AND id = $2 AND version = $3 RETURNING {COLUMNS}",
        *(version.kind, version.id, version.version, verdict),
    )
    assert row is not None
    await tx.execute(
        """
        INSERT INTO document_review (kind, id, version, verdict, author, note, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        *(version.kind, version.id, version.version, verdict, author, note, clock.now()),
    )
    return version_of(row)


async def require_agreement(
    tx: Tx, wanted: DocumentVersion, policy: ApprovalPolicy, *, ramp_percent: int, estimate: float | None
) -> float | None:
    """What is known of its reach; Conflict, saying what is missing, when a version may not count without approval.

    The caller holds the lock of the kind, so that what is true here is true when it is switched.
    """
    found = None if policy.reach is None else await policy.reach(tx, wanted.id, wanted.version)
    reach = estimate if found is None else found
    above = await policy.limit(tx)
    if above is None or wanted.review == "approved":
        return reach
    # Less of what is in force already, or the same again, is nothing that anybody has to agree to.
    if wanted.status in ("active", "paused") and ramp_percent <= wanted.ramp_percent:
        return reach
    if reach is not None and above > 0 and reach * ramp_percent / 100 <= above:
        return reach
    raise _refusal(wanted, above, reach, ramp_percent)


def _refusal(wanted: DocumentVersion, above: float, reach: float | None, ramp_percent: int) -> Conflict:
    named = f"Version {wanted.version} of {wanted.kind} {wanted.id!r}"
    faults = [Fault("/version", f"has to be approved by somebody else than {wanted.author}: {_next_step(wanted)}")]
    if above == 0:
        return Conflict(f"{named} needs approval, as every activation does here.", faults)
    if reach is None:
        estimate = "nobody has said how many customers it reaches: run a backtest of it, or give an estimate in percent"
        faults.insert(0, Fault("/reach_percent", estimate))
        return Conflict(f"{named} needs approval, or a reach of at most {above:g} % of the customers.", faults)
    share = f"{reach:g} %" if ramp_percent == 100 else f"{ramp_percent} % of {reach:g} %"
    return Conflict(f"{named} would reach {share} of the customers; above {above:g} % it needs approval.", faults)


def _next_step(wanted: DocumentVersion) -> str:
    if wanted.review == "asked":
        return "it is in review, and an approver may approve it"
    if wanted.review == "rejected":
        return "it was rejected; write another version, or submit it once more with a reason"
    return "submit it first, then an approver may approve it"

"""How far is an import, and what came of it so far? The heart of an import: verdicts in, the next state out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from services.ingest import strict
from services.ingest.imports.totals import Found, Sum
from services.ingest.imports.translation import Judged

UPLOADING: Final = "uploading"
WAITING: Final = "waiting"
CHECKING: Final = "checking"
DISAGREE: Final = "totals_disagree"
IMPORTING: Final = "importing"
DONE: Final = "done"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"
EXPIRED: Final = "expired"

STATES: Final = (UPLOADING, WAITING, CHECKING, DISAGREE, IMPORTING, DONE, CANCELLED, FAILED, EXPIRED)
AT_WORK: Final = (WAITING, CHECKING, IMPORTING)
UNFINISHED: Final = (UPLOADING, *AT_WORK, DISAGREE)

_DETAIL_LENGTH_MAX = 1_000


class Progress(Struct, frozen=True):
    """What is acknowledged and written down: all lines before `position`, where line number `line` begins.

    `read` is `accepted` + `refused` + `skipped`, in lines; a line is refused when any of its events is.
    """

    position: int = 0
    line: int = 1
    read: int = 0
    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    events: int = 0
    sent: Found = Found()


class RefusedLine(NamedTuple):
    """`part` tells the refusals of one line apart."""

    line: int
    part: int
    reason: str
    pointer: str
    detail: str
    body: bytes


def advanced(progress: Progress, block: Sequence[Judged]) -> Progress:
    """The progress once everything of the block is acknowledged."""
    refused = sum(1 for judged in block if judged.rejected)
    accepted = sum(1 for judged in block if judged.accepted and not judged.rejected)
    total = Sum(progress.sent)
    total.add(money for judged in block for money in judged.moneys)
    last = block[-1].line
    return Progress(
        position=last.end,
        line=last.following,
        read=progress.read + len(block),
        accepted=progress.accepted + accepted,
        refused=progress.refused + refused,
        skipped=progress.skipped + len(block) - accepted - refused,
        events=progress.events + sum(len(judged.accepted) for judged in block),
        sent=total.found(),
    )


def refused_lines(block: Sequence[Judged]) -> list[RefusedLine]:
    return [
        RefusedLine(
            judged.line.number,
            part,
            reject.reason,
            strict.printable(reject.pointer),
            strict.printable(reject.detail, _DETAIL_LENGTH_MAX),
            reject.body,
        )
        for judged in block
        for part, reject in enumerate(judged.rejected)
    ]


class Speed(NamedTuple):
    """`seconds_left` is None while nobody can tell."""

    lines_per_second: float
    seconds_left: float | None


def speed_of(read: int, total: int | None, begun_at: int, since: datetime | None, until: datetime) -> Speed | None:
    """How fast the lines went since this process took the import over; None while it does not run."""
    if since is None or (seconds := (until - since).total_seconds()) <= 0:
        return None
    rate = (read - begun_at) / seconds
    left = (total - read) / rate if total is not None and rate > 0 else None
    return Speed(round(rate, 1), None if left is None else round(max(left, 0.0), 1))

"""What is kept of what was refused? Pure: messages in, rows out, within what one key may fill in an hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from libs.common import clock
from libs.common.events import EventRejected
from services.ingest.records import WHOLE_BODY_BYTES, reject_id_of

WHOLE: Final = "whole"
CUT: Final = "cut"
COUNTED: Final = "counted"
NATIVE: Final = "events"

_NAME_LENGTH_MAX = 200
_DETAIL_LENGTH_MAX = 2_000


@dataclass(slots=True)
class Seen:
    """One refused thing with how often, and from when to when, it came; `last_at` goes with the newest reason."""

    reject_id: str
    reason: str
    detail: str
    pointer: str
    source: str
    type: str
    event_id: str
    door: str
    write_key_id: str
    context: dict[str, str]
    kept: str
    body: bytes | None
    body_bytes: int
    first_at: datetime
    last_at: datetime
    attempts: int = 1


class Allowance(NamedTuple):
    """What one key may fill in one hour."""

    bodies: int
    bytes: int


class Slot(NamedTuple):
    """Whose allowance, and of which hour."""

    write_key_id: str
    hour: datetime


@dataclass(slots=True)
class Used:
    bodies: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Allotted:
    """`stored` are rows with a body, `counted` stand for many of which nothing but the number is kept."""

    stored: list[Seen] = field(default_factory=list)
    counted: list[Seen] = field(default_factory=list)
    used: dict[Slot, Used] = field(default_factory=dict)


def gathered(rejected: Iterable[EventRejected]) -> list[Seen]:
    """One for each thing that was refused, by id; what was refused again within the batch is counted."""
    found: dict[str, Seen] = {}
    for each in rejected:
        # The first messages named no door, for there was one.
        door = each.door or NATIVE
        reject_id = each.reject_id or reject_id_of(door, each.write_key_id, each.body)
        known = found.get(reject_id)
        if known is None:
            found[reject_id] = _seen(reject_id, door, each)
        else:
            known.attempts += 1
            known.first_at = min(known.first_at, each.rejected_at)
            known.last_at = max(known.last_at, each.rejected_at)
            known.reason, known.detail, known.pointer = _verdict(each)
    return [found[reject_id] for reject_id in sorted(found)]


def slot_of(seen: Seen) -> Slot:
    return Slot(seen.write_key_id, seen.first_at.replace(minute=0, second=0, microsecond=0))


def allot(new: Sequence[Seen], before: Mapping[Slot, Used], allowance: Allowance, unit: int) -> Allotted:
    """Which of them get a row of their own; `before` is what their keys have filled in those hours so far."""
    result = Allotted()
    counted: dict[str, Seen] = {}
    for each in new:
        slot = slot_of(each)
        so_far, added = before.get(slot, Used()), result.used.setdefault(slot, Used())
        size = len(each.body or b"")
        bodies, filled = so_far.bodies + added.bodies + 1, so_far.bytes + added.bytes + size
        if bodies <= allowance.bodies and filled <= allowance.bytes:
            added.bodies += 1
            added.bytes += size
            result.stored.append(each)
        else:
            _count(counted, each, slot, allowance, unit)
    result.counted = [counted[reject_id] for reject_id in sorted(counted)]
    result.used = {slot: used for slot, used in sorted(result.used.items()) if used.bodies}
    return result


def in_slices(seen: Sequence[Seen], bytes_max: int) -> Iterator[list[Seen]]:
    """Pieces that one statement may carry without holding up whoever shares the loop; never an empty one."""
    piece: list[Seen] = []
    filled = 0
    for each in seen:
        size = len(each.body or b"")
        if piece and filled + size > bytes_max:
            yield piece
            piece, filled = [], 0
        piece.append(each)
        filled += size
    if piece:
        yield piece


def _count(counted: dict[str, Seen], each: Seen, slot: Slot, allowance: Allowance, unit: int) -> None:
    """Few rows, however much comes: one for each hour, key, door and reason, and for each unit, which writes alone."""
    hour = slot.hour.isoformat()
    reject_id = str(clock.derived_id("reject-count", unit, each.write_key_id, hour, each.door, each.reason))
    known = counted.get(reject_id)
    if known is None:
        counted[reject_id] = _count_of(reject_id, each, allowance)
        return
    known.attempts += each.attempts
    known.first_at = min(known.first_at, each.first_at)
    known.last_at = max(known.last_at, each.last_at)


def _count_of(reject_id: str, first: Seen, allowance: Allowance) -> Seen:
    detail = (
        f"Counted only: more than {allowance.bodies} rejects, or {allowance.bytes} bytes of them, came by this key "
        f"within an hour. The first of these: {first.detail}"
    )
    return Seen(
        reject_id=reject_id,
        reason=first.reason,
        detail=detail[:_DETAIL_LENGTH_MAX],
        pointer=first.pointer,
        source=first.source,
        type=first.type,
        event_id=first.event_id,
        door=first.door,
        write_key_id=first.write_key_id,
        context={},
        kept=COUNTED,
        body=None,
        body_bytes=0,
        first_at=first.first_at,
        last_at=first.last_at,
        attempts=first.attempts,
    )


def _seen(reject_id: str, door: str, each: EventRejected) -> Seen:
    whole = each.context.get(WHOLE_BODY_BYTES)
    reason, detail, pointer = _verdict(each)
    return Seen(
        reject_id=reject_id,
        reason=reason,
        detail=detail,
        pointer=pointer,
        source=_plain(each.source),
        type=_plain(each.type),
        event_id=_plain(each.id),
        door=_plain(door),
        write_key_id=_plain(each.write_key_id),
        context=each.context,
        kept=WHOLE if whole is None else CUT,
        body=each.body,
        body_bytes=len(each.body) if whole is None else int(whole),
        first_at=each.rejected_at,
        last_at=each.rejected_at,
    )


def _verdict(each: EventRejected) -> tuple[str, str, str]:
    return _plain(each.reason), _plain(each.detail, _DETAIL_LENGTH_MAX), _plain(each.pointer, _DETAIL_LENGTH_MAX)


def _plain(text: str, length_max: int = _NAME_LENGTH_MAX) -> str:
    """Text that PostgreSQL takes, and an index too."""
    return text[:length_max].replace("\x00", "\ufffd")

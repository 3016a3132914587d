"""What was in the log before it began? The archive's rows as messages, for whoever reads the log after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from libs.common import progress
from libs.common.errors import Misconfigured
from libs.common.kafka import Earlier, Run
from services.rules.archive import files
from services.rules.archive.files import Found, Piece

_ABOUT = "history.json"


class About(msgspec.Struct, frozen=True):
    """What a folder holds. Customers of other partition counts lie elsewhere, so that cannot be mixed."""

    topic: str
    partitions: int


class _Message(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def checked(folder: Path, wanted: About, *, make: bool = False) -> None:
    """Misconfigured: no archive is there, or one of another topic or number of partitions."""
    about = folder / _ABOUT
    if not about.is_file():
        if not make:
            raise Misconfigured(f"there is no archive of history in {folder}; `make archive` writes one")
        folder.mkdir(parents=True, exist_ok=True)
        about.write_bytes(msgspec.json.encode(wanted))
    found = msgspec.json.decode(about.read_bytes(), type=About)
    if found != wanted:
        raise Misconfigured(
            f"the archive in {folder} is of {found.topic} in {found.partitions} partitions, not of {wanted.topic} in "
            f"{wanted.partitions}"
        )


def earlier(folder: Path, wanted: About, since_ms: int, alive: Callable[[], None] = lambda: None) -> Earlier:
    """All of the archive that was appended at `since_ms` or later, and where the log goes on behind it.

    `alive` is called with each file that is looked at, here and while the runs are read: there can be many thousands.
    """
    checked(folder, wanted)
    held = files.pieces(folder)
    firsts = [first for own in held.values() if (first := files.begins_ms(own[0])) is not None]
    needed = {
        partition: [piece for piece in own if not files.ends_before(piece, since_ms)] for partition, own in held.items()
    }
    messages = 0
    for own in needed.values():
        for piece in own:
            alive()
            messages += files.rows_of(piece, since_ms)
    return Earlier(
        begins={partition: own[-1].end for partition, own in held.items()},
        runs={partition: _runs(own, since_ms, alive) for partition, own in needed.items()},
        messages=messages,
        begins_ms=min(firsts, default=None),
    )


def _runs(own: Sequence[Piece], since_ms: int, alive: Callable[[], None]) -> Iterator[list[Run]]:
    for piece in own:
        alive()
        for rows in files.read(piece, since_ms):
            yield [
                (append_ms, piece.partition, [_message(each) for each in some])
                for append_ms, some in groupby(rows, key=lambda each: each.append_ms)
            ]


def _message(row: Found) -> _Message:
    if row.value is None:
        stamp = progress.MARK, progress.stamp(row.origin, row.mark_ms)
        return _Message(row.offset, row.append_ms, None, None, (stamp,))
    headers = ((progress.ORIGIN, progress.stamp(row.origin, row.seq)),) if row.origin else ()
    return _Message(row.offset, row.append_ms, (row.customer_id or "").encode(), row.value, headers)

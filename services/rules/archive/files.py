"""How does a piece of history lie in a file? One row for each message of one partition and day, in Parquet.

    FOLDER/history.json                                           of how many partitions it is
    FOLDER/partition=003/day=2026-11-22/<begin>-<end>.parquet     the offsets from begin to before end

A piece appears whole or not at all, and its name says what it covers, also where messages have been taken out of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.errors import Misconfigured
from libs.common.events import EMPTY, ERASED, EventResolved

_ROWS_AT_ONCE = 2_000
_UNFINISHED = ".being-written"
_NAME = re.compile(r"^partition=(\d{3,})/day=(\d{4}-\d\d-\d\d)/(\d{20})-(\d{20})\.parquet$")
_OWN = ("offset", "append_ms", "origin", "seq", "mark_ms", "utc_offset_minutes")
"""Columns that are of the message and not of the event; a mark has these alone."""
FIELDS = EventResolved.__struct_fields__
_changed = msgspec.json.Encoder()


class Piece(NamedTuple):
    """The messages of one partition and day with offsets from `begin` to before `end`."""

    partition: int
    begin: int
    end: int
    day: date
    path: Path


class Row(NamedTuple):
    """A message: an event, or the mark of an origin. `origin` and `seq` tell repeats apart."""

    offset: int
    append_ms: int
    origin: str = ""
    seq: int = 0
    mark_ms: int = 0
    event: EventResolved | None = None


class _Written(msgspec.Struct, omit_defaults=True):
    """A resolved event as its topic has it, whose changes nobody needs to take apart."""

    event_id: str
    customer_id: str
    person_id: str
    type: str
    source: str
    time: Any
    received_ms: int
    channel: str = ""
    branch: str | None = None
    data: msgspec.Raw = EMPTY
    profile: msgspec.Raw = EMPTY
    changed: msgspec.Raw = EMPTY
    linked: list[str] = []
    hops: int = 0
    history: bool = False
    traffic: str = ""
    region: str = ""
    everyone: bool = False


_DEFAULTS: Mapping[str, Any] = {each.name: each.default for each in msgspec.structs.fields(_Written)}


class Found(NamedTuple):
    """A row as it is read: `value` is what the topic holds, None for a mark."""

    offset: int
    append_ms: int
    origin: str
    seq: int
    mark_ms: int
    customer_id: str | None
    value: bytes | None


def arrow() -> Any:
    """The library, which only those who keep an archive need. Misconfigured."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise Misconfigured(
            "an archive of history is made of Parquet files, and pyarrow is not installed: install the group "
            "`history` of pyproject.toml"
        ) from error
    return pyarrow


def pieces(folder: Path) -> dict[int, list[Piece]]:
    """By partition, in order. Misconfigured where one is missing between two others."""
    found: dict[int, list[Piece]] = {}
    for path in sorted(folder.glob("partition=*/day=*/*.parquet")):
        named = _NAME.match(path.relative_to(folder).as_posix())
        if named is None:
            raise Misconfigured(f"{path} is none of the archive's files; move it elsewhere")
        partition, day, begin, end = named.groups()
        piece = Piece(int(partition), int(begin), int(end), date.fromisoformat(day), path)
        found.setdefault(piece.partition, []).append(piece)
    for held in found.values():
        held.sort(key=lambda each: each.begin)
        for one, other in zip(held, held[1:], strict=False):
            if one.end != other.begin:
                raise Misconfigured(
                    f"partition {one.partition} of the archive {folder} has nothing from offset {one.end} to "
                    f"{other.begin}: put back the file that was there, or remove all that are older"
                )
    return found


def write(folder: Path, partition: int, begin: int, end: int, rows: Sequence[Row]) -> Piece:
    day = clock.from_ms(rows[-1].append_ms).date()
    name = f"{begin:020d}-{end:020d}.parquet"
    piece = Piece(partition, begin, end, day, folder / f"partition={partition:03d}" / f"day={day}" / name)
    piece.path.parent.mkdir(parents=True, exist_ok=True)
    _put(arrow().Table.from_pylist([_columns(row) for row in rows], schema=_schema()), piece.path)
    return piece


def forget(piece: Piece, customers: Collection[str]) -> int:
    """Take out what is of these customers, but that they were erased; returns how many rows that were.

    The file is made anew before the old one goes: neither a crash nor a reader ever finds half of it.
    """
    pa = arrow()
    compute, parquet = pa.compute, pa.parquet
    known = parquet.read_table(piece.path, columns=["customer_id"])["customer_id"]
    wanted = pa.array(sorted(customers), pa.string())
    if not compute.any(compute.is_in(known, value_set=wanted)).as_py():
        return 0
    table = parquet.read_table(piece.path, partitioning=None)
    theirs = compute.and_(
        compute.is_in(table["customer_id"], value_set=wanted), compute.not_equal(table["type"], ERASED)
    )
    kept = table.filter(compute.invert(compute.fill_null(theirs, False)))
    if kept.num_rows < table.num_rows:
        _put(kept, piece.path)
    return int(table.num_rows - kept.num_rows)


def sweep(folder: Path) -> None:
    """Delete what writers that were killed left behind: no erasure would reach it, for it is none of the pieces."""
    for path in folder.glob(f"partition=*/day=*/*{_UNFINISHED}"):
        path.unlink()


def ends_before(piece: Piece, since_ms: int) -> bool:
    """Whether the name alone says that nothing in it was appended at `since_ms` or later: its day was over by then."""
    over = datetime.combine(piece.day, datetime.min.time(), UTC) + timedelta(days=1)
    return clock.to_ms(over) <= since_ms


def read(piece: Piece, since_ms: int = 0) -> Iterator[list[Found]]:
    """In the order of offsets, what was appended at `since_ms` or later."""
    compute = arrow().compute
    file = arrow().parquet.ParquetFile(piece.path)
    try:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            # An object for each row costs a hundred times what the comparison of a column does.
            wanted = batch.filter(compute.greater_equal(batch.column("append_ms"), since_ms))
            if wanted.num_rows:
                yield list(_found(wanted))
    finally:
        file.close()


def rows_of(piece: Piece, since_ms: int = 0) -> int:
    """How many were appended at `since_ms` or later."""
    if clock.to_ms(datetime.combine(piece.day, datetime.min.time(), UTC)) >= since_ms:
        return int(arrow().parquet.read_metadata(piece.path).num_rows)
    appended = _appended(piece)
    return int(arrow().compute.sum(arrow().compute.greater_equal(appended, since_ms)).as_py() or 0)


def begins_ms(piece: Piece) -> int | None:
    """When the first that is in it was appended; None where nothing is left in it."""
    return next(iter(_appended(piece).slice(0, 1).to_pylist()), None)


def _appended(piece: Piece) -> Any:
    return arrow().parquet.read_table(piece.path, columns=["append_ms"], partitioning=None)["append_ms"]


def _put(table: Any, path: Path) -> None:
    beside = path.with_suffix(_UNFINISHED)
    arrow().parquet.write_table(table, beside, compression="zstd")
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(beside, path)


def _schema() -> Any:
    pa = arrow()
    kinds: Mapping[str, Any] = {
        "time": pa.timestamp("us", tz="UTC"),
        "received_ms": pa.int64(),
        "data": pa.binary(),
        "profile": pa.binary(),
        "changed": pa.binary(),
        "linked": pa.list_(pa.string()),
        "hops": pa.int16(),
        "history": pa.bool_(),
        "everyone": pa.bool_(),
        "offset": pa.int64(),
        "append_ms": pa.int64(),
        "seq": pa.int64(),
        "mark_ms": pa.int64(),
        "utc_offset_minutes": pa.int16(),
    }
    return pa.schema([(name, kinds.get(name, pa.string())) for name in (*FIELDS, *_OWN)])


def _columns(row: Row) -> dict[str, Any]:
    own = {"offset": row.offset, "append_ms": row.append_ms, "origin": row.origin}
    if row.event is None:
        return own | {"mark_ms": row.mark_ms}
    event = {name: getattr(row.event, name) for name in FIELDS}
    event["data"], event["profile"] = bytes(row.event.data), bytes(row.event.profile)
    event["changed"] = _changed.encode(row.event.changed)
    offset = row.event.time.utcoffset() or timedelta(0)
    return event | own | {"seq": row.seq, "utc_offset_minutes": offset // timedelta(minutes=1)}


def _found(batch: Any) -> Iterator[Found]:
    there = frozenset(batch.schema.names)
    held = {
        # A field that is younger than the file has its default.
        name: batch.column(name).to_pylist() if name in there else [_DEFAULTS[name]] * batch.num_rows
        for name in (*FIELDS, *_OWN)
    }
    zones: dict[int, timezone] = {}
    held["data"] = [None if each is None else msgspec.Raw(each) for each in held["data"]]
    held["profile"] = [None if each is None else msgspec.Raw(each) for each in held["profile"]]
    held["changed"] = [None if each is None or each == b"{}" else msgspec.Raw(each) for each in held["changed"]]
    events = zip(*(held[name] for name in FIELDS), strict=True)
    own = zip(*(held[name] for name in _OWN), strict=True)
    for values, (offset, append_ms, origin, seq, mark_ms, minutes) in zip(events, own, strict=True):
        if values[0] is None:
            yield Found(offset, append_ms, origin, 0, mark_ms, None, None)
            continue
        written = _Written(*values)
        if minutes:
            zone = zones.setdefault(minutes, timezone(timedelta(minutes=minutes)))
            written.time = written.time.astimezone(zone)
        written.changed = written.changed or EMPTY
        yield Found(offset, append_ms, origin, seq, 0, written.customer_id, msgspec.json.encode(written))

"""How are the rows of a table read? A piece at a time, from Parquet or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.local.failure import StackFailure

_ROWS_AT_ONCE = 10_000

NumberedRow = tuple[int, dict[str, Any]]


def rows(file: Path, columns: Sequence[str], first: int = 0) -> Iterator[NumberedRow]:
    """Rows from number `first` (counted from 0) on, each with its number; StackFailure when a column is missing."""
    if not file.is_file():
        raise StackFailure(f"the table {file} is not there")
    read = _csv_rows if file.suffix.lower() in (".csv", ".tsv", ".txt") else _parquet_rows
    for number, row in enumerate(read(file, columns)):
        if number >= first:
            yield number, row


def row_count(file: Path) -> int | None:
    """How many rows there are, where that is known without reading them all."""
    if file.suffix.lower() in (".csv", ".tsv", ".txt"):
        return None
    return int(_parquet(file).metadata.num_rows)


def _csv_rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        _require(file, columns, reader.fieldnames or [])
        yield from reader


def _parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    table = _parquet(file)
    _require(file, columns, table.schema_arrow.names)
    for piece in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(columns)):
        yield from piece.to_pylist()


def _parquet(file: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise StackFailure(
            "reading Parquet needs pyarrow, which only the development packages bring: install it, or use CSV"
        ) from None
    try:
        return ParquetFile(file)
    except (ArrowInvalid, OSError) as error:
        raise StackFailure(f"the table {file} is neither CSV (.csv) nor Parquet: {error}") from None


def _require(file: Path, columns: Sequence[str], known: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in known]:
        raise StackFailure(f"the table {file} has no column {missing[0]!r}; it has {', '.join(known)}")

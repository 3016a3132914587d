"""Which documents does a body of many lines hold, and what is wrong with which line? Pure: NDJSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ValidationError

from libs.common.errors import Fault, Refused

LINES_MAX: Final = 10_000
FAULTS_SHOWN_MAX: Final = 100
NDJSON: Final = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
CSV: Final = ("text/csv",)

D = TypeVar("D", bound=BaseModel)


class Line(Struct, Generic[D]):
    """One line with what it says, or why that cannot be used."""

    number: int
    document: D | None = None
    faults: list[Fault] = []


class UnsupportedMedia(Refused):
    status = 415
    title = "Unsupported media type"


def read_lines(content_type: str, body: bytes, document: type[D], lists: Sequence[str] = ()) -> list[Line[D]]:
    """Each line that is not blank; Refused when it is no text, no table, or too much.

    The first line of a table names the columns, an empty cell is left out, and cells of `lists` hold several values
    with semicolons between them.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in NDJSON and kind not in CSV:
        raise UnsupportedMedia(f"Send {NDJSON[0]} (a JSON object per line) or {CSV[0]} (its first line names columns).")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"The body is not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    if "\x00" in text:
        raise Refused("The body contains the character U+0000.")
    raw = _objects(text) if kind in NDJSON else _rows(text, frozenset(lists))
    found: list[Line[D]] = []
    for number, made in raw:
        if len(found) >= LINES_MAX:
            raise Refused(f"More than {LINES_MAX} lines; send them in smaller parts.")
        found.append(Line(number, faults=[made]) if isinstance(made, Fault) else _checked(number, made, document))
    return found


def _objects(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                yield number, Fault("", f"is not JSON: {error}")


def _rows(text: str, lists: frozenset[str]) -> Iterator[tuple[int, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        names = [name.strip() for name in next(reader, [])]
        if not names or len(set(names)) != len(names) or not all(names):
            raise Refused("The first line must name the columns, each of them once.")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                yield (
                    reader.line_num,
                    Fault("", f"has {len(cells)} cells, and the first line names {len(names)} columns"),
                )
                continue
            filled = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
            yield reader.line_num, {name: _cell(name, cell, lists) for name, cell in filled.items()}
    except csv.Error as error:
        raise Refused(f"The table cannot be read beyond line {reader.line_num}: {error}") from None


def _cell(name: str, cell: str, lists: frozenset[str]) -> Any:
    return [part.strip() for part in cell.split(";") if part.strip()] if name in lists else cell


def _checked(number: int, made: Any, document: type[D]) -> Line[D]:
    try:
        return Line(number, document.model_validate(made))
    except ValidationError as error:
        faults = [
            Fault("".join(f"/{part}" for part in each["loc"]), each["msg"]) for each in error.errors(include_url=False)
        ]
        return Line(number, faults=faults)

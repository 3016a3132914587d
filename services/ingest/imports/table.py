"""What do the columns of a sheet mean? Pure: the names in its first line in, an event for each line out.

A column is named like the attribute that it fills: `id`, `type`, `time`, `branch`, `identifiers.phone`, `data.amount`,
`data.items.0.product`. What stands under `data` is text, so that money stays the exact decimal that was written; a
name such as `data.score:number` says otherwise. An empty cell leaves its attribute out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Raw

from services.ingest import strict
from services.ingest.imports.inflating import Unreadable
from services.ingest.refusals import INVALID_DATA, MALFORMED, Reject
from services.ingest.schemas.hints import nearest

COLUMNS_MAX: Final = 500
REASON_PREFIX: Final = "import."
"""Columns of the list of what was refused; a sheet that comes back mended may still have them."""
ATTRIBUTES: Final = ("id", "source", "type", "time", "channel", "branch")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z", re.ASCII)
_INTEGER = re.compile(r"-?(0|[1-9]\d*)\Z", re.ASCII)
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_LOCAL = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,6})?)?\Z", re.ASCII)

Path = tuple[str, ...]
Convert = Callable[[str], Any]


def cells_of(text: str, delimiter: str) -> list[str]:
    """The fields of one line (RFC 4180); Reject when its quotation marks make no sense."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise Reject(MALFORMED, "", f"The line is not CSV: {error}.") from None


def decoded(raw: bytes, charset: str) -> str:
    """The text of a line; Reject says where it ends to be one."""
    try:
        return raw.decode(charset)
    except UnicodeDecodeError as error:
        hint = " Korean sheets are often CP949: send the file again with charset=cp949." if charset == "utf-8" else ""
        raise Reject("not-" + charset, "", f"The line is not {charset.upper()} at byte {error.start}.{hint}") from None


def names_in(raw: bytes, charset: str, delimiter: str) -> list[str]:
    """The names of the columns; Unreadable when the first line is no header."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unreadable("The file is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8).")
    try:
        names = [name.strip() for name in cells_of(decoded(raw, charset), delimiter)]
    except Reject as reject:
        raise Unreadable(f"The header in line 1 cannot be read. {reject.detail}") from None
    if len(names) > COLUMNS_MAX:
        raise Unreadable(f"The header has more than {COLUMNS_MAX} columns.")
    filled = [name for name in names if name]
    if twice := next((name for name in filled if filled.count(name) > 1), None):
        raise Unreadable(f"Two columns are named {strict.printable(twice, 60)!r}.")
    if not filled:
        raise Unreadable("The header in line 1 names no columns.")
    return names


class Sheet:
    """Rows as they are, by the names of their columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._unnamed = [index for index, name in enumerate(names) if not name]

    def check(self, cells: Sequence[str]) -> None:
        if len(cells) != len(self.names):
            detail = f"The line has {len(cells)} fields and the header {len(self.names)}."
            raise Reject(MALFORMED, "", detail)
        if any(cells[index].strip() for index in self._unnamed):
            raise Reject(MALFORMED, "", "A field is filled whose column has no name.")

    def row(self, cells: Sequence[str]) -> dict[str, str]:
        return {name: cell for name, cell in zip(self.names, cells, strict=True) if name}


class Table(Sheet):
    """Rows that are channel events. `zone` is where times without an offset were read off a clock."""

    def __init__(self, names: Sequence[str], zone: str = "") -> None:
        super().__init__(names)
        self._zone = ZoneInfo(zone) if zone else None
        self._attributes: list[tuple[int, str]] = []
        self._identifiers: list[tuple[int, str]] = []
        self._data: list[tuple[int, Path, Convert | None]] = []
        for index, name in enumerate(names):
            if name and not name.startswith(REASON_PREFIX):
                self._add(index, name)
        self._has_lists = any(part.isdigit() for _, path, _ in self._data for part in path)
        _check_paths([path for _, path, _ in self._data])
        self._amount = self._index_of("data.amount")
        self._currency = self._index_of("data.currency")

    def event(self, cells: Sequence[str]) -> dict[str, Any]:
        """The event as far as the line says it; Reject for a field that is not of its column's kind."""
        event: dict[str, Any] = {name: cells[index] for index, name in self._attributes if _filled(cells[index])}
        if self._zone is not None and "time" in event:
            event["time"] = _instant(event["time"], self._zone)
        identifiers = {name: cells[index] for index, name in self._identifiers if _filled(cells[index])}
        if identifiers:
            event["identifiers"] = identifiers
        if data := self._data_of(cells):
            event["data"] = data
        return event

    def money(self, cells: Sequence[str]) -> tuple[str, str] | None:
        """What stands in the columns of amount and currency; None without an amount."""
        if self._amount is None or not _filled(cells[self._amount]):
            return None
        return cells[self._amount].strip(), "" if self._currency is None else cells[self._currency].strip()

    def _data_of(self, cells: Sequence[str]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for index, path, convert in self._data:
            cell = cells[index]
            if not _filled(cell):
                continue
            value = cell if convert is None else _converted(convert, cell, path)
            held = data
            for part in path[:-1]:
                held = held.setdefault(part, {})
            held[path[-1]] = value
        return {name: _with_lists(value) for name, value in data.items()} if self._has_lists else data

    def _add(self, index: int, name: str) -> None:
        top, _, rest = name.partition(".")
        if name in ATTRIBUTES:
            self._attributes.append((index, name))
        elif top == "identifiers" and rest:
            self._identifiers.append((index, rest))
        elif top == "data" and rest:
            path, _, kind = rest.partition(":")
            if (kind and kind not in _KINDS) or not all(path.split(".")):
                raise Unreadable(f"The column {name!r} is none; a kind is one of {', '.join(_KINDS)}.")
            self._data.append((index, tuple(path.split(".")), _KINDS[kind] if kind else None))
        elif name == "history":
            raise Unreadable("Whether a file is history is said for all of it, by mode=history; drop the column.")
        else:
            raise Unreadable(_unknown(name))

    def _index_of(self, name: str) -> int | None:
        return next((index for index, each in enumerate(self.names) if each.partition(":")[0] == name), None)


def _unknown(name: str) -> str:
    shown = strict.printable(name, 60)
    hint = nearest(name, ATTRIBUTES)
    return (
        f"No attribute of an event is called like the column {shown!r}.{hint} The columns are {', '.join(ATTRIBUTES)}, "
        f"identifiers.<type> and data.<name>, such as data.{shown}; or name a mapping that reads this sheet."
    )


def _check_paths(paths: Sequence[Path]) -> None:
    leaves = set(paths)
    for path in paths:
        for length in range(1, len(path)):
            if path[:length] in leaves:
                raise Unreadable(
                    f"The columns data.{'.'.join(path[:length])} and data.{'.'.join(path)} exclude each other."
                )
    if len(leaves) < len(paths):
        raise Unreadable("Two columns under data differ in their kind only.")


def _filled(cell: str) -> bool:
    return bool(cell) and not cell.isspace()


def _converted(convert: Convert, cell: str, path: Path) -> Any:
    try:
        return convert(cell.strip())
    except (ValueError, KeyError):
        shown = strict.printable(cell, 60)
        detail = f"{shown!r} is not {_WORDS[convert]}."
        raise Reject(INVALID_DATA, strict.pointer(["data", *path]), detail) from None
    except Reject as reject:
        raise Reject(INVALID_DATA, strict.pointer(["data", *path]) + reject.pointer, reject.detail) from None


def _as_number(text: str) -> Raw:
    if not _NUMBER.match(text):
        raise ValueError
    return Raw(text.encode())


def _as_integer(text: str) -> Raw:
    if not _INTEGER.match(text):
        raise ValueError
    return Raw(text.encode())


def _as_truth(text: str) -> bool:
    return _TRUTH[text.lower()]


def _as_json(text: str) -> Raw:
    strict.parse(text.encode())
    return Raw(text.encode())


_KINDS: Final[dict[str, Convert | None]] = {
    "text": None,
    "number": _as_number,
    "integer": _as_integer,
    "boolean": _as_truth,
    "json": _as_json,
}
_WORDS: Final[dict[Convert, str]] = {
    _as_number: "a number such as 12.5, with a point and without separators",
    _as_integer: "a whole number",
    _as_truth: "true or false",
    _as_json: "JSON",
}


def _with_lists(value: Any) -> Any:
    """{"0": a, "1": b} becomes [a, b], whatever columns were left empty in between."""
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(each) for name, each in value.items()}
    if all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def _instant(text: str, zone: ZoneInfo) -> str:
    """A time with an offset stays as it is; what is no time is for the examination to say."""
    match = _LOCAL.match(text.strip())
    if match is None:
        return text
    year, month, day, hour, minute, second = (int(each or 0) for each in match.groups()[:6])
    microsecond = int((match[7] or ".0")[1:].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)
    except ValueError:
        return text
    return moment.isoformat()

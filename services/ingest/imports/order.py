"""What does the sender of a file want done with it? Pure: texts of a query or of upload metadata in, an order out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from libs.common.errors import Fault, Invalid
from services.ingest.envelope import BRANCH_LENGTH_MAX, NAME_LENGTH_MAX

CSV: Final = "csv"
NDJSON: Final = "ndjson"
UTF_8: Final = "utf-8"
CP949: Final = "cp949"
LIVE: Final = "live"
HISTORY: Final = "history"

LINES_MAX: Final = 10**10
_AMOUNT = re.compile(r"-?\d{1,30}(\.\d{1,30})?\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_CHARSETS = {"utf-8": UTF_8, "utf8": UTF_8, "cp949": CP949, "euc-kr": CP949, "euckr": CP949, "ms949": CP949}
_DELIMITERS = {",": ",", ";": ";", "\t": "\t", "comma": ",", "semicolon": ";", "tab": "\t"}
# What tus clients send by themselves.
_IGNORED = frozenset({"filetype", "name", "relativePath", "contentType"})
_ENCODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip"}


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`source`, `branch` and `type` stand in where a line has none; `lines` and `amounts` (by currency, "" when none
    was named) are what the sender counted. `delimiter` is empty when it is to be found out."""

    format: str
    mode: str = LIVE
    filename: str = ""
    encoding: str = ""
    charset: str = UTF_8
    delimiter: str = ""
    zone: str = ""
    mapping: str = ""
    source: str = ""
    branch: str = ""
    type: str = ""
    sheet_date: date | None = None
    lines: int | None = None
    amounts: dict[str, Decimal] = {}

    @property
    def is_history(self) -> bool:
        return self.mode == HISTORY


NAMES: Final = (
    *("format", "mode", "filename", "encoding", "charset", "delimiter", "zone", "mapping"),
    *("source", "branch", "type", "sheet_date", "lines", "amount", "currency"),
)


def order_of(given: Mapping[str, str], place: str) -> Order:
    """Invalid names every fault; `place` is where `given` stood, such as `query`."""
    reader = _Reader({name: value.strip() if name != "delimiter" else value for name, value in given.items()}, place)
    order = Order(
        format=reader.one_of("format", {CSV: CSV, NDJSON: NDJSON, "jsonl": NDJSON}, ""),
        mode=reader.one_of("mode", {LIVE: LIVE, HISTORY: HISTORY}, LIVE),
        filename=reader.text("filename", 255),
        encoding=reader.one_of("encoding", _ENCODINGS, ""),
        charset=reader.one_of("charset", _CHARSETS, UTF_8),
        delimiter=reader.one_of("delimiter", _DELIMITERS, ""),
        zone=reader.zone(),
        mapping=reader.text("mapping", 100),
        source=reader.text("source", NAME_LENGTH_MAX),
        branch=reader.text("branch", BRANCH_LENGTH_MAX),
        type=reader.text("type", NAME_LENGTH_MAX),
        sheet_date=reader.day(),
        lines=reader.count(),
        amounts=reader.amounts(),
    )
    reader.check(order)
    return order


class _Reader:
    def __init__(self, given: Mapping[str, str], place: str) -> None:
        self._given = given
        self._place = place
        self._faults: list[Fault] = []

    def check(self, order: Order) -> None:
        """Raises Invalid when anything was wrong with what was read."""
        for name in sorted(set(self._given).difference(NAMES, _IGNORED)):
            self._fault(name, f"there is no such parameter; there are {', '.join(NAMES)}")
        if not self._given.get("format"):
            self._fault("format", "say csv or ndjson")
        if order.format == NDJSON and order.charset != UTF_8:
            self._fault("charset", "NDJSON is always UTF-8; only CSV may be cp949")
        if order.sheet_date is not None and not order.branch:
            self._fault("branch", "a sheet of a day names its branch")
        if self._faults:
            raise Invalid("The import cannot be made like this.", self._faults)

    def text(self, name: str, length_max: int) -> str:
        value = self._given.get(name, "")
        if len(value) > length_max:
            self._fault(name, f"is longer than {length_max} characters")
        elif not value.isprintable():
            self._fault(name, "contains a control character")
        return value

    def one_of(self, name: str, choices: Mapping[str, str], default: str) -> str:
        value = self._given.get(name, "")
        if not value:
            return default
        found = choices.get(value.lower())
        if found is None:
            self._fault(
                name, f"is none of {', '.join(choice for choice in choices if choice.isprintable() and choice)}"
            )
        return default if found is None else found

    def zone(self) -> str:
        name = self.text("zone", 60)
        try:
            if name:
                ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._fault("zone", "is no time zone such as Asia/Seoul")
        return name

    def day(self) -> date | None:
        value = self._given.get("sheet_date", "")
        try:
            return date.fromisoformat(value) if value else None
        except ValueError:
            self._fault("sheet_date", "is no day such as 2026-11-21")
            return None

    def count(self) -> int | None:
        value = self._given.get("lines", "")
        if not value:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 11 and int(value) <= LINES_MAX):
            self._fault("lines", "is not the number of lines, without the header")
            return None
        return int(value)

    def amounts(self) -> dict[str, Decimal]:
        """`45000` with a currency of its own or without one, or `KRW:45000,USD:12.50`."""
        found: dict[str, Decimal] = {}
        currency = self._given.get("currency", "")
        if currency and not _CURRENCY.match(currency):
            self._fault("currency", "is no code of three capitals such as KRW")
        for part in filter(None, self._given.get("amount", "").split(",")):
            named, _, value = part.strip().rpartition(":")
            if not _AMOUNT.match(value) or (named and not _CURRENCY.match(named)) or (named or currency) in found:
                self._fault("amount", "is no sum such as 45000, or such as KRW:45000,USD:12.50")
                return {}
            found[named or currency] = Decimal(value)
        if "" in found and len(found) > 1:
            self._fault("amount", "names the currency of some sums only")
        return found

    def _fault(self, name: str, detail: str) -> None:
        self._faults.append(Fault(f"{self._place}/{name}", detail))

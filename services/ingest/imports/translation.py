"""Which events does one line of a file stand for, and may they come in? Pure: a line in, its verdict out.

The same line gives the same bytes each time: no moment of reading is in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct

from services.ingest import cloudevents, strict
from services.ingest.imports.inflating import Unreadable
from services.ingest.imports.lines import BOM, Line, Lines, QuotedLines, delimiter_in
from services.ingest.imports.order import CSV, Order
from services.ingest.imports.table import Sheet, Table, cells_of, decoded, names_in
from services.ingest.imports.totals import Money, money_in, money_of
from services.ingest.intake import Accepted, Form, Outcome, Rejected, Terms, judge_one
from services.ingest.refusals import INVALID_DATA, MALFORMED, Reject
from services.ingest.rejects.reexamination import RECEIVED_AT
from services.ingest.splitting import UNREADABLE

_ENCODER = msgspec.json.Encoder()
_NULL = b"null"
_TRUE = Raw(b"true")
_ORDER = msgspec.json.Decoder(Order)
# How an examination asks for something else than the text that a column is without a kind.
_ASKED_FOR: Final = (
    ("a whole number", "integer"),
    ("a number", "number"),
    ("true or false", "boolean"),
    ("an object", "json"),
    ("a list", "json"),
)


class Compiled(Protocol):
    """A compiled mapping: a decoded foreign document in, the bytes of channel events out."""

    def events(self, given: Mapping[str, Any]) -> list[bytes]: ...


class Layout(Struct, frozen=True):
    """What the beginning of a file says of the rest: where that begins, and its columns."""

    position: int = 0
    line: int = 1
    delimiter: str = ""
    names: list[str] = []


class Judged(NamedTuple):
    """A line and what became of it: nothing at all when a mapping passes it over."""

    line: Line
    accepted: list[Accepted]
    rejected: list[Rejected]
    moneys: list[Money]


def layout_of(order: Order, beginning: bytes) -> Layout:
    """`beginning` are the first bytes of a file, all of its header among them; Unreadable without one."""
    mark = len(BOM) if beginning.startswith(BOM) else 0
    if order.format != CSV:
        if beginning[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise Unreadable("The file is UTF-16; NDJSON is always UTF-8.")
        return Layout(mark)
    text = beginning[mark:]
    delimiter = order.delimiter or delimiter_in(text.partition(b"\n")[0])
    reader = QuotedLines(delimiter, mark)
    header = next(reader.feed(text), None) or next(reader.finish(), None)
    if header is None or header.fault:
        raise Unreadable("The file has no header in its first line." + (f" {header.fault}" if header else ""))
    return Layout(header.end, header.following, delimiter, names_in(header.raw, order.charset, delimiter))


def reader_for(order: Order, layout: Layout, position: int, line: int) -> Lines:
    return QuotedLines(layout.delimiter, position, line) if order.format == CSV else Lines(position, line)


class Translator:
    """Reads the lines of one file. `received_at` is when it was complete: mappings may ask for it."""

    def __init__(self, order: Order, layout: Layout, mapping: Compiled | None, received_at: datetime) -> None:
        self._order = order
        self._layout = layout
        self._mapping = mapping
        self._given: dict[str, Any] = {
            "headers": {},
            "received_at": received_at.isoformat(),
            "source": order.source or None,
            "branch": order.branch or None,
            "history": order.is_history,
        }
        self._defaults = {
            name: Raw(_ENCODER.encode(value))
            for name, value in (("source", order.source), ("type", order.type), ("branch", order.branch))
            if value
        }
        self._completes = bool(self._defaults) or order.is_history
        self._sheet: Sheet | None = None
        self._table: Table | None = None
        if order.format == CSV and mapping is None:
            self._sheet = self._table = Table(layout.names, order.zone)
        elif order.format == CSV:
            self._sheet = Sheet(layout.names)

    def moneys(self, line: Line) -> list[Money]:
        """What the line says of money, whether or not it can come in."""
        try:
            if line.fault:
                return []
            if self._table is not None:
                money = self._table.money(self._cells(line))
                return [] if money is None else [money_in(*money)]
            if self._mapping is None:
                found = money_of(line.raw)
                return [] if found is None else [found]
            return [found for event in self.events(line) if (found := money_of(event)) is not None]
        except Reject:
            return []

    def events(self, line: Line) -> list[bytes]:
        """The bytes of the channel events; Reject when the line cannot be read."""
        if line.fault:
            raise Reject(MALFORMED, "", line.fault)
        if self._table is not None:
            return [self._of_table(self._table, line)]
        if self._mapping is not None:
            given = self._given | {"body": self._body(line)}
            return [self._completed(event) for event in self._mapping.events(given)]
        if line.raw.lstrip()[:1] != b"{":
            raise Reject(MALFORMED, "", "A line of NDJSON is one event, a JSON object.")
        return [self._completed(line.raw)]

    def context(self, line: Line) -> dict[str, str]:
        """What must be known beside the line itself to read it again: see `again`."""
        context = {
            "line": str(line.number),
            "order": _ENCODER.encode(self._order).decode(),
            RECEIVED_AT: self._given["received_at"],
        }
        if self._layout.names:
            context["columns"] = _ENCODER.encode(self._layout.names).decode()
            context["delimiter"] = self._layout.delimiter
        return context

    def explained(self, reject: Rejected) -> str:
        """The detail of a refusal; what the columns can mend is said in the words of columns."""
        expected = next((kind for words, kind in _ASKED_FOR if f"Expected {words}" in reject.detail), None)
        is_text = reject.reason == INVALID_DATA and "found a text" in reject.detail
        if self._table is None or expected is None or not is_text:
            return reject.detail
        column = reject.pointer.removeprefix("/").replace("/", ".")
        return f"{reject.detail} Name the column {column}:{expected}."

    def _cells(self, line: Line) -> list[str]:
        assert self._sheet is not None
        cells = cells_of(decoded(line.raw, self._order.charset), self._layout.delimiter)
        self._sheet.check(cells)
        return cells

    def _of_table(self, table: Table, line: Line) -> bytes:
        event = table.event(self._cells(line))
        for name, value in self._defaults.items():
            event.setdefault(name, value)
        if self._order.is_history:
            event["history"] = True
        return _ENCODER.encode(event)

    def _body(self, line: Line) -> Any:
        if self._sheet is not None:
            return self._sheet.row(self._cells(line))
        return strict.parse(line.raw)

    def _completed(self, event: bytes) -> bytes:
        """The same bytes where nothing is missing."""
        is_cloud = b'"specversion"' in event
        if not (self._completes or is_cloud):
            return event
        try:
            members = cloudevents.members(event)
        except UNREADABLE:
            # The examination that follows says what is wrong with it.
            return event
        if is_cloud and "specversion" in members and bytes(members.get("time", _NULL)) == _NULL:
            raise Reject(
                MALFORMED, "/time", "An event in a file needs its time: no moment of sending stands in for it."
            )
        missing = {name: each for name, each in self._defaults.items() if bytes(members.get(name, _NULL)) == _NULL}
        if self._order.is_history and bytes(members.get("history", _NULL)) != b"true":
            missing["history"] = _TRUE
        return _ENCODER.encode(members | missing) if missing else event


def judge(line: Line, translator: Translator, terms: Terms) -> Judged:
    accepted: list[Accepted] = []
    rejected: list[Rejected] = []
    moneys: list[Money] = []
    try:
        for event in translator.events(line):
            verdict = judge_one(event, Form.NATIVE, terms).verdicts[0]
            if isinstance(verdict, Accepted):
                accepted.append(verdict)
                if (money := money_of(event)) is not None:
                    moneys.append(money)
            else:
                rejected.append(_kept(verdict, line, translator.explained(verdict)))
    except Reject as reject:
        rejected.append(Rejected(line.number, reject.reason, reject.detail, reject.pointer, line.raw))
    return Judged(line, accepted, rejected, moneys)


def again(body: bytes, context: Mapping[str, str], terms: Terms, mappings: Mappings) -> Outcome:
    """The verdict on a line that was refused before; `context` is what `Translator.context` made of it then."""
    order = _ORDER.decode(context["order"])
    layout = Layout(delimiter=context.get("delimiter", ""), names=json.loads(context.get("columns", "[]")))
    mapping = mappings.get(order.mapping) if order.mapping else None
    if order.mapping and mapping is None:
        detail = f"There is no mapping named {order.mapping!r} any more."
        return Outcome([Rejected(0, MALFORMED, detail, "", body)], single=True)
    number = int(context["line"])
    received_at = datetime.fromisoformat(context[RECEIVED_AT]) if RECEIVED_AT in context else terms.now
    judged = judge(Line(number, number + 1, 0, body), Translator(order, layout, mapping, received_at), terms)
    verdicts: Sequence[Accepted | Rejected] = [*judged.accepted, *judged.rejected]
    return Outcome(list(verdicts), single=len(verdicts) == 1)


class Mappings(Protocol):
    """Mapping documents by name."""

    def get(self, name: str) -> Compiled | None: ...


def _kept(verdict: Rejected, line: Line, detail: str) -> Rejected:
    """The refusal of an event as that of its line: the bytes are those that the sender knows."""
    return msgspec.structs.replace(verdict, index=line.number, detail=detail, body=line.raw)


ORDER_OF: Final = _ORDER.decode

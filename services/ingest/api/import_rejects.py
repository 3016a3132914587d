"""How are refused lines given back, to be mended and sent again? Pure: rows in, pieces of a file out.

The sender's own fields come back as they were: changed, they would be other events. What we add to them, the columns
`import.…`, never begins with a character that makes a spreadsheet compute, and an importer passes over them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from libs.common.db import Row
from services.ingest.imports.order import CSV, Order
from services.ingest.imports.table import REASON_PREFIX, cells_of
from services.ingest.imports.translation import Layout
from services.ingest.refusals import Reject

ADDED = tuple(REASON_PREFIX + name for name in ("line", "reason", "pointer", "detail", "text"))
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class RejectSheet:
    """CSV in UTF-8 with the columns of the sheet, or with one column `event` where lines were JSON."""

    def __init__(self, order: Order, layout: Layout) -> None:
        self._is_csv = order.format == CSV
        self._charset = order.charset
        self._delimiter = layout.delimiter or ","
        own = [name for name in layout.names if not name.startswith(REASON_PREFIX)] if self._is_csv else ["event"]
        self._kept = [index for index, name in enumerate(layout.names) if not name.startswith(REASON_PREFIX)]
        self._width = len(layout.names)
        self._own = own

    def header(self) -> bytes:
        return self._written([[*self._own, *ADDED]])

    def rows(self, rejects: Iterable[Row]) -> bytes:
        return self._written(self._row(each) for each in rejects)

    def _row(self, reject: Row) -> list[str]:
        text = bytes(reject["body"]).decode(self._charset, "replace").replace("\x00", "\ufffd")
        cells = self._cells(text)
        added = [str(reject["line"]), reject["reason"], reject["pointer"], reject["detail"]]
        own = [""] * len(self._own) if cells is None else cells
        return [*own, *map(harmless, added), harmless(text) if cells is None else ""]

    def _cells(self, text: str) -> list[str] | None:
        """The fields of the line; None when it has not those of the header."""
        if not self._is_csv:
            return [text]
        try:
            cells = cells_of(text, self._delimiter)
        except Reject:
            return None
        return [cells[index] for index in self._kept] if len(cells) == self._width else None

    def _written(self, rows: Iterable[Sequence[str]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerows(rows)
        return text.getvalue().encode("utf-8", "replace")


def lines(rejects: Iterable[Row]) -> Iterator[bytes]:
    """The refused lines themselves, each once, as they came."""
    last = None
    for each in rejects:
        if each["line"] != last:
            yield bytes(each["body"]) + b"\n"
        last = each["line"]


def harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell

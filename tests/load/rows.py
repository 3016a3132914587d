"""What does a benchmark say? Rows of figures, each beside its reference; shown as a table, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.places import LOCAL

FOLDER = LOCAL / "bench"
FOREIGN_CORES_MAX = 0.15


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `reference` names what it is held against, measured in the same run."""

    name: str
    value: float
    unit: str
    reference: str = ""
    reference_value: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How often the reference goes into the value."""
        return self.value / self.reference_value if self.reference_value else None

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: `rounds` of each side, `seconds` of load, and `share` of the usual number of events."""

    rounds: int = 3
    seconds: float = 5.0
    share: float = 1.0

    def events(self, usual: int) -> int:
        return max(2_000, int(usual * self.share))


QUICK = Scale(rounds=1, seconds=2.0, share=0.2)


def keep(name: str, rows: Sequence[Row], conditions: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """One file per benchmark: its first row is its headline and stands at the top level, all rows beneath."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    document = {**rows[0].document(), "name": name, "conditions": dict(conditions)}
    document["rows"] = [row.document() for row in rows]
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return file


def show(results: Mapping[str, Sequence[Row]], console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("benchmark", "what"):
        table.add_column(column, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("reference", overflow="fold")
    table.add_column("its value", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for name, rows in results.items():
        for number, row in enumerate(rows):
            compared = "" if row.reference_value is None else readable(row.reference_value)
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            first = name if number == 0 else ""
            table.add_row(first, row.name, readable(row.value), row.unit, row.reference, compared, ratio, row.note)
    console.print(table)


def company(cores: float) -> str:
    """A warning for figures that were measured while others kept the machine busy; empty when it was ours alone."""
    return f"; DISTURBED, others kept {cores:.1f} cores busy" if cores > FOREIGN_CORES_MAX else ""


def readable(value: float) -> str:
    """Three figures that count, and no more behind the point than they need."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"

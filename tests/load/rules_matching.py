"""How does the matching of rules come into the table? Its benchmark stands alone and writes a file for each figure."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.load import cores
from tests.load.ground import output_of
from tests.load.rows import Row, Scale


def rows(scale: Scale) -> list[Row]:
    """It knows one size alone, whatever the scale."""
    del scale
    with tempfile.TemporaryDirectory(prefix="dangol-bench-") as folder:
        output_of([sys.executable, "-m", "tests.load.bench_rules_matching", "--json", folder], cores.measured())
        documents = [json.loads(file.read_text("utf-8")) for file in sorted(Path(folder).glob("*.json"))]
    return [_row(document) for document in documents]


def _row(told: dict[str, Any]) -> Row:
    note = f"{told['rules']:,} rules; by its own reckoning {told['ratio']:.2f}, wanted {told['wanted_ratio']:.2f}"
    return Row(told["name"], told["value"], told["unit"], told["reference"], told["reference_value"], note)

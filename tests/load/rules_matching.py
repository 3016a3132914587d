"""How does the matching of rules come into the table? Its benchmark stands alone and writes a file for each figure."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.load import cores
from tests.load.ground import output_of
from tests.load.rows import Row, Scale


def rows(scale: Scale) -> list[Row]:
    """It knows one size alone, whatever the scale."""
    del scale
    with tempfile.TemporaryDirectory(prefix="dangol-bench-") as folder:
        output_of([sys.executable, "-m", "tests.load.bench_rules_matching", "--json", folder], cores.measured())
        documents = [json.loads(file.read_text("utf-8")) for file in sorted(Path(folder).glob("*.json"))]
    return [
        Row(each["name"], each["value"], each["unit"], each["reference"], each["reference_value"]) for each in documents
    ]

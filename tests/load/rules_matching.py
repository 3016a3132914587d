"""How does the matching of rules come into the table? Its benchmark stands alone and writes its figures to a file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import msgspec

from tests.load import cores
from tests.load.bench_rules_matching import Figure
from tests.load.ground import output_of
from tests.load.rows import Row, Scale

COST_MAX = 8.0
DECODE_SHARE_MIN = 1 / 3
OVER_LOOP_MIN = 500
_MODULE = "tests.load.bench_rules_matching"


def rows(scale: Scale) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="dangol-bench-") as folder:
        file = Path(folder) / "figures.json"
        quick = ["--quick"] if scale.share < 1 else []
        output_of([sys.executable, "-m", _MODULE, "--json", str(file), *quick], cores.measured())
        figures = [Figure(**each) for each in msgspec.json.decode(file.read_bytes())]
    by_mix: dict[str, list[Figure]] = {}
    for figure in figures:
        by_mix.setdefault(figure.mix, []).append(figure)
    return [row for each in by_mix.values() for row in _rows(each)]


def _rows(figures: list[Figure]) -> list[Row]:
    fewest, most = figures[0], figures[-1]
    name = f"{most.mix}, {most.rules:,} rules"
    per_event = f"{most.uses:.2f} patterns met and {most.fires:.2f} fires an event"
    selective = not most.mix.startswith("dense")
    cost, share = (
        (f"; to be {COST_MAX:g} or less", "; to be 0.33 or more") if selective else ("; bound by its output", "")
    )
    both = 1e6 / most.matched + 1e6 / most.decoded
    return [
        Row(
            f"{name}: match",
            1e6 / most.matched,
            "µs/event",
            f"{fewest.rules} rules",
            1e6 / fewest.matched,
            per_event + cost,
        ),
        Row(f"{name}: decode and match", 1e6 / both, "events/s", "decode alone", most.decoded, per_event + share),
        Row(
            f"{name}: match",
            most.matched,
            "events/s",
            "a loop over closures",
            most.looped,
            f"to be {OVER_LOOP_MIN} or more" if selective and most.rules >= 10_000 else "",
        ),
        Row(
            f"{name}: match and step",
            most.stepped,
            "events/s",
            f"{fewest.rules} rules",
            fewest.stepped,
            f"{most.fires * most.stepped:,.0f} fires/s",
        ),
    ]

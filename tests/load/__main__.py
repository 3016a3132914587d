"""How fast and how big is all this? `python -m tests.load [--quick] [NAME ...]` measures, shows and keeps the answers.

A name chooses all benchmarks that begin with it; `make bench ONLY=ingest` does the same.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from rich.console import Console

from libs.common import clock
from tests.load import cores
from tests.load.rows import QUICK, Row, Scale, keep, show

Benchmark = Callable[[Scale], list[Row]]

BENCHMARKS = {
    "ingest-single": "tests.load.ingest:single",
    "ingest-batch-100": "tests.load.ingest:batches",
    "ingest-schemas": "tests.load.ingest:schemas",
    "worker": "tests.load.worker:rows",
    "creep-echo": "tests.load.creep:echo",
    "creep-identify": "tests.load.creep:identify",
    "creep-apply": "tests.load.creep:apply",
    "profile-backlog": "tests.load.backlog:rows",
    "rules-matching": "tests.load.rules_matching:rows",
    "rules-service": "tests.load.rules_service:rows",
    "rules-live": "tests.load.rules_live:rows",
    "rules-timers": "tests.load.rules_timers:rows",
    "rules-backtest": "tests.load.rules_backtest:rows",
    "rules-beside": "tests.load.rules_beside:rows",
    "loop": "tests.load.loop:rows",
    "start": "tests.load.start:rows",
}
"""Where the function of each stands; it takes a Scale and gives its rows, the headline first."""


def chosen(names: Sequence[str], known: Mapping[str, str] = BENCHMARKS) -> list[str]:
    """The benchmarks that the names stand for, in their usual order; SystemExit when one stands for none."""
    for name in names:
        if not any(each.startswith(name) for each in known):
            raise SystemExit(f"error: no benchmark is named {name!r}; there are {', '.join(known)}")
    return [each for each in known if not names or each.startswith(tuple(names))]


def found(name: str) -> Benchmark:
    module, _, function = BENCHMARKS[name].partition(":")
    benchmark: Benchmark = getattr(import_module(module), function)
    return benchmark


def conditions(scale: Scale) -> dict[str, object]:
    """What one has to know to compare these figures with others."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "at": clock.now().isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": cores.told(),
        "load_average_before": round(load, 2),
        "rounds": scale.rounds,
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"all when left out: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="one short round of each: to try, not to compare")
    options = parser.parse_args(arguments)
    names = chosen(options.names or os.environ.get("ONLY", "").replace(",", " ").split())
    scale = QUICK if options.quick or os.environ.get("QUICK") else Scale()
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(f"{cores.told()}; {len(names)} benchmarks", style="dim")
    results, failed = {}, []
    for name in names:
        began, about = time.monotonic(), conditions(scale)
        try:
            results[name] = found(name)(scale)
        # One benchmark that cannot be run must not cost the figures of the others.
        except Exception as error:  # noqa: BLE001
            failed.append(name)
            console.print(f"{name} failed: {type(error).__name__}: {error}", style="red", markup=False)
            continue
        keep(name, results[name], about)
        console.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim")
    show(results, console)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

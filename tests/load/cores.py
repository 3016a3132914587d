"""Which core does each side have, and what did a process spend? The measured side and its load never share one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_PROC = Path("/proc")


def measured() -> frozenset[int]:
    """The core of what is measured: the first."""
    return frozenset(_available()[:1])


def others() -> frozenset[int]:
    """The core of everything else (load, broker, database): the second, or the only one that there is."""
    return frozenset(_available()[1:2] or _available()[:1])


def told() -> str:
    if len(_available()) < 2:
        return "everything shares one core: figures are lower than where the load has its own"
    return f"measured process on core {min(measured())}; load, Kafka and PostgreSQL on core {min(others())}"


@contextlib.contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores; where that cannot be said, nothing happens."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores) or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far; 0 where /proc does not tell."""
    tick = os.sysconf("SC_CLK_TCK")
    return sum(_ticks(each) for each in family(pid)) / tick


def busy_seconds() -> float:
    """What all cores together have worked so far, whoever for."""
    try:
        fields = [int(each) for each in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory that processes hold, shared pages divided among those that share them (PSS)."""
    found = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    found += int(line.split()[1]) * 1024
    return found


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
        children = [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(descendant for child in children for descendant in family(child))]


def _available() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def _ticks(pid: int) -> int:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(fields[index]) for index in (11, 12, 13, 14))

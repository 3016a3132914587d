"""How long does `make run` take to its first message, the first time and the next, and how much memory does it hold?

A copy of this checkout is run in a scratch folder on ports of its own. What `make setup` fetches is there already, so
the first start is what a person sees who has everything downloaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local import addresses, broker, children, class_archive
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.settings import ROOT
from tests.load import cores
from tests.load.rows import Row, Scale

_COPIED = ("deploy", "libs", "services")
_FIRST_SECONDS, _NEXT_SECONDS, _MEMORY_BYTES = 60.0, 15.0, 2 << 30
_WAIT_SECONDS_MAX = 120.0
_STOP_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05
_SETTLED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds to when the services were ready and to the first new message, and the memory some time later."""

    ready: float
    message: float
    memory: int
    processes: int


class Place:
    """A checkout of its own; everything under its .local but Kafka's program is made by the first start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {each.variable: free_port() for each in addresses.our_own()}
        self.seen: set[str] = set()
        self.starts = 0
        for name in _COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".venv").symlink_to(ROOT / ".venv")
        program = folder / ".local" / "kafka"
        program.mkdir(parents=True)
        (program / broker.LIBRARIES.name).symlink_to(broker.LIBRARIES)
        # Java takes an archive of classes only for jars under the path that it was made with.
        class_archive.archive_classes(program / broker.LIBRARIES.name, folder / "archiving")

    @property
    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DANGOL_")}
        return {**kept, **{name: str(port) for name, port in self.ports.items()}}

    def new_messages(self) -> set[str]:
        """Messages caused by an event that were not in the inbox in an earlier start; empty while nobody answers."""
        try:
            told = json.loads((self.folder / ".local" / "credentials.json").read_text())
            address = f"http://{LOOPBACK}:{self.ports[addresses.NOTIFY.variable]}/v1/inbox?limit=200"
            headers = {"Authorization": f"Bearer {told['tokens']['viewer']}"}
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=3) as answer:
                items = json.load(answer)["items"]
            return {item["message_id"] for item in items if item["event_id"]} - self.seen
        except (OSError, ValueError, KeyError):
            return set()


def rows(scale: Scale) -> list[Row]:
    del scale
    with tempfile.TemporaryDirectory(prefix="dangol-start-", ignore_cleanup_errors=True) as folder:
        place = Place(Path(folder))
        first = _start(place)
        following = _start(place)
    return [
        Row("first start to first message", first.message, "s", "goal", _FIRST_SECONDS, "everything fetched before"),
        Row("first start to all ready", first.ready, "s"),
        Row("next start to first new message", following.message, "s", "goal", _NEXT_SECONDS),
        Row("next start to all ready", following.ready, "s"),
        Row(
            "memory of the whole stack",
            max(first.memory, following.memory) / 2**20,
            "MiB",
            "limit",
            _MEMORY_BYTES / 2**20,
            f"PSS of {following.processes} processes {_SETTLED_SECONDS:.0f} s after the first message",
        ),
    ]


def _start(place: Place) -> Started:
    began = time.monotonic()
    with _running(place) as (process, log):
        ready = _until(lambda: "Ready in" in log.read_text(errors="replace"), process, log, "all is ready")
        message = _until(lambda: bool(place.new_messages()), process, log, "a first message")
        time.sleep(_SETTLED_SECONDS)
        found = cores.family(process.pid)
        memory = cores.memory_bytes(found)
        place.seen |= place.new_messages()
    return Started(ready - began, message - began, memory, len(found))


@contextlib.contextmanager
def _running(place: Place) -> Iterator[tuple[children.Child, Path]]:
    place.starts += 1
    log = place.folder / f"run-{place.starts}.log"
    command = [sys.executable, "-m", "deploy.local.supervisor"]
    # It has children of its own to end, so that if we die it is asked to stop and not killed.
    process = children.spawn(command, log, death_signal=signal.SIGTERM, env=place.variables, cwd=place.folder)
    try:
        yield process, log
    finally:
        children.end(process, signal.SIGINT, _STOP_SECONDS_MAX)


def _until(happened: Callable[[], bool], process: children.Child, log: Path, what: str) -> float:
    """When it happened; looked for often, so that the figure is good to a tenth of a second."""
    deadline = time.monotonic() + _WAIT_SECONDS_MAX
    while not happened():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic()

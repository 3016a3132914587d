"""Is everything here that the stack needs, and if not, how does it get here?

Run by any Python that the system has, so it imports the standard library alone, and nothing of
ours before it knows that this Python is new enough to read it.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

PYTHON_MIN = (3, 11)
EXIT_INTERRUPTED = 130


async def prepare(*, kafka: bool, run: bool) -> None:
    """Fetches what is missing, side by side; `run` also checks the ports that `make run` will take."""
    from deploy.local import addresses, instance, kafka_program, prerequisites, python_packages, steps

    java = prerequisites.java_version() if kafka else ""
    if run:
        with instance.claim():
            instance.end_leftovers()
        addresses.require_all_free()
    wants_packages = not python_packages.is_current()
    wants_jars = kafka and not kafka_program.is_current(java)
    prerequisites.require_disk(fresh=wants_packages or wants_jars)
    work = []
    if wants_jars:
        maven = prerequisites.require_maven()
        work.append(steps.told("kafka", "fetching its jars by Maven", kafka_program.install(maven, java)))
    if wants_packages:
        doing = "installing what requirements.lock names"
        work.append(steps.told("python packages", doing, python_packages.install()))
    if work:
        sys.stdout.write("Preparing (first run, or something it depends on changed)\n")
        await _all(work)


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Side by side; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(step) for step in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main(arguments: list[str]) -> int:
    if sys.version_info < PYTHON_MIN:
        told = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(f"error: this is Python {told}, 3.11 or later is needed: PYTHON=python3.11 make run\n")
        return 1
    from deploy.local.failure import StackFailure
    from deploy.local.places import LOCAL
    from deploy.local.settings import variable

    run = "--run" in arguments
    kafka = not run or variable("DANGOL_KAFKA_BOOTSTRAP") is None
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            asyncio.run(prepare(kafka=kafka, run=run))
        except StackFailure as failure:
            sys.stderr.write(f"error: {failure}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; run the same command again to go on\n")
            return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m services.rules.backtest` does one job: a task on standard input, lines of progress on standard output.

It is started by the service, runs at the lowest priority, and ends with the service, or when nobody reads what it tells
any more.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import msgspec

from libs.common import logs
from libs.common.errors import DangolError, Misconfigured
from services.rules.backtest import confining
from services.rules.backtest.running import run
from services.rules.backtest.shapes import Task, Told

_NICEST = 19
EXIT_AGAIN = 1


def main() -> int:
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    if task.parent and not confining.tie_to(task.parent):
        return EXIT_AGAIN
    confining.bound_memory(task.memory_mb)
    logs.configure("rules.backtest", task.log_level)
    if hasattr(os, "nice"):
        os.nice(_NICEST)
    # States are trees without cycles: looking through them again and again would cost more than all else.
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
    error = ""
    try:
        asyncio.run(run(task, _tell))
    except BrokenPipeError:
        # Whoever asked is gone, or wants no answer any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_AGAIN
    except MemoryError:
        error = f"its process needs more memory than {task.memory_mb:,} MB beside the program; choose a shorter period"
    except Misconfigured as wrong:
        error = str(wrong)
    except DangolError as trouble:
        logs.get("backtest").warning("backtest_interrupted", error=str(trouble))
        return EXIT_AGAIN
    # Only now, when all that was remembered has gone.
    if error:
        _tell(Told(error=error))
    return 0


def _tell(told: Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())

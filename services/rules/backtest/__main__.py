"""`python -m services.rules.backtest` does one job: a task on standard input, lines of progress on standard output.

It is started by the service, runs at the lowest priority, and ends with the service, or when nobody reads what it tells
any more.
"""

from __future__ import annotations

import sys

from services.rules.backtest.running import run
from services.rules.backtest.shapes import Task, Told
from services.rules.processes import confined, tell


def main() -> int:
    return confined(
        "backtest",
        Task,
        lambda task: run(task, tell),
        lambda error: Told(error=error),
        remedy="choose a shorter period",
    )


if __name__ == "__main__":
    sys.exit(main())

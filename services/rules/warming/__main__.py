"""`python -m services.rules.warming` reads the past once: a task on standard input, progress on standard output.

It is started by the service, runs at the lowest priority, and ends with the service. What the past left goes into the
service's database.
"""

from __future__ import annotations

import sys

from libs.common.db import Database
from services.rules.processes import confined, tell
from services.rules.warming.reading import Task, Told, read


async def work(task: Task) -> None:
    database = Database(task.database_url, application="rules.warming", size=1)
    await database.start()
    try:
        await read(task, database, tell)
    finally:
        await database.stop()


def main() -> int:
    remedy = "raise DANGOL_WARMING_MEMORY_MB"
    return confined("warming", Task, work, lambda error: Told(error=error), remedy)


if __name__ == "__main__":
    sys.exit(main())

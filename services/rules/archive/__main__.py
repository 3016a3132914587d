"""`python -m services.rules.archive [FOLDER]` takes the history into files: all that the log has and the folder not.

Run it every day, from one place: what the log gives up after 400 days is in the files then, and whoever was erased is
out of them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from libs.common import logs
from libs.common.errors import DangolError
from libs.common.settings import EXIT_MISCONFIGURED, load
from libs.common.topics import EVENT_RESOLVED
from services.rules.archive.exporting import Log, export
from services.rules.settings import RulesSettings


def main(arguments: Sequence[str]) -> int:
    settings = load(RulesSettings)
    logs.configure("rules.archive", settings.log_level)
    log = logs.get("archive")
    folder = next(iter(arguments), settings.backtest_archive)
    if not folder:
        log.error("archive_unknown", error="name a folder, or set DANGOL_BACKTEST_ARCHIVE")
        return EXIT_MISCONFIGURED
    place = Log(settings.kafka_bootstrap, settings.topic_prefix, EVENT_RESOLVED.name, settings.partitions)
    try:
        done = asyncio.run(export(place, Path(folder)))
    except DangolError as trouble:
        log.error("archive_not_written", error=str(trouble))
        return 1
    log.info("archive_written", folder=folder, **done._asdict())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

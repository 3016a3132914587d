"""How long does one side take for what lies in its topic? The measured process of the benchmarks without HTTP.

python -m tests.load.subject '{"stage": "echo", "side": "worker", ...}'
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from typing import Any

import msgspec
import uvloop

from libs.common import logs
from libs.common.db import Database
from libs.common.kafka import Publisher
from libs.common.unit import Floor
from libs.common.worker import Worker
from tests.load import bare_loop, by_hand, by_hand_profile
from tests.load.ground import REPORT
from tests.load.meter import Meter
from tests.load.stages import STAGES, UNITS, Stage

_HAND_WRITTEN = {
    ("echo", "by hand"): by_hand.echo,
    ("apply", "by hand"): by_hand_profile.apply,
    ("tally", "event by event"): by_hand.tally_event_by_event,
}
_LOST_SECONDS_MAX = 180.0


class Order(msgspec.Struct):
    """`side` is worker, bare loop, or one of the loops written by hand."""

    stage: str
    side: str
    database_url: str
    bootstrap: str
    total: int
    watched: dict[str, int] = {}


async def run(order: Order) -> dict[str, Any]:
    meter = Meter(order.total, order.watched)
    async with asyncio.timeout(_LOST_SECONDS_MAX):
        stage = STAGES[order.stage]
        if order.side == "worker":
            await _work(stage, order, meter)
        elif order.side == "bare loop":
            await bare_loop.run(stage, order.database_url, order.bootstrap, meter)
        else:
            await _HAND_WRITTEN[order.stage, order.side](order.database_url, order.bootstrap, meter)
    return meter.report()


async def _work(stage: Stage, order: Order, meter: Meter) -> None:
    database = Database(order.database_url, application="bench")
    publisher = Publisher(order.bootstrap)
    await database.start()
    await publisher.start()
    floor = Floor(
        "bench", database, publisher, order.bootstrap, "", UNITS, timed=lambda _, __, count: meter.note(count)
    )
    worker = Worker(stage.spec(), floor)
    await worker.start()
    await meter.finished.wait()
    await worker.stop()
    await publisher.stop()
    await database.stop()


def main(arguments: list[str]) -> int:
    logs.configure("bench", "warning")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    # Both sides as services do it: the collector looks at the start's objects never again, and seldom at new ones.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
    report = uvloop.run(run(msgspec.json.decode(arguments[0], type=Order)))
    sys.stdout.write(f"{REPORT}{json.dumps(report)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

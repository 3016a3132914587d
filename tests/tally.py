"""A service that exists for tests alone: two workers that notice every message lost, doubled or out of order.

`tally.split` reads numbers that grow by one for each key, `tally.count` reads what the first one made of them. Both
keep the last number of each key and how many they met, and write down every number that is not the next. Run it as
`python -m tests.tally`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence

from libs.common.crashpoints import CrashPoints
from libs.common.db import Database
from libs.common.events import Fact
from libs.common.kafka import Publisher
from libs.common.topics import Topic
from libs.common.unit import Floor, Input, Message, UnitTx, WorkerSpec
from libs.common.worker import Worker

UNITS = 4

TABLES = """
CREATE TABLE tally (stage text, key text, unit int, last bigint, times bigint, PRIMARY KEY (stage, key));
CREATE TABLE violation (stage text, key text, expected bigint, found bigint, at timestamptz DEFAULT clock_timestamp());
"""


class Given(Fact, frozen=True):
    key: str
    number: int
    poison: bool = False


class Split(Fact, frozen=True):
    key: str
    number: int


GIVEN = Topic("tally.given.v1", Given, lambda e: e.key, "tally", ("tally.split",))
SPLIT = Topic(
    "tally.split.v1",
    Split,
    lambda e: e.key[::-1],
    "tally",
    ("tally.count",),
    producer="tally.split",
    marks=True,
)
TOPICS = (GIVEN, SPLIT)


class Tally:
    """The handlers of both stages; the state of a unit's keys is cached as long as the unit is held."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    async def on_given(self, batch: Sequence[Message[Given]], tx: UnitTx) -> Sequence[Fact]:
        if any(message.event.poison for message in batch):
            raise ValueError("a poisoned number")
        await self._note([(message.event.key, message.event.number) for message in batch], tx)
        return [Split(message.event.key, message.event.number) for message in batch]

    async def on_split(self, batch: Sequence[Message[Split]], tx: UnitTx) -> Sequence[Fact]:
        await self._note([(message.event.key, message.event.number) for message in batch], tx)
        return []

    async def _note(self, numbers: Sequence[tuple[str, int]], tx: UnitTx) -> None:
        unknown = sorted({key for key, _ in numbers if key not in tx.cache})
        if unknown:
            rows = await tx.fetch(
                "SELECT key, last FROM tally WHERE stage = $1 AND key = ANY($2)", self._stage, unknown
            )
            tx.cache |= dict.fromkeys(unknown, 0) | {row["key"]: row["last"] for row in rows}
        for key, number in numbers:
            if number != tx.cache[key] + 1:
                await tx.execute(
                    "INSERT INTO violation VALUES ($1, $2, $3, $4)",
                    self._stage,
                    key,
                    tx.cache[key] + 1,
                    number,
                )
            tx.cache[key] = number
        times = Counter(key for key, _ in numbers)
        touched = sorted(times)
        # The count is added to what is there: whoever works on a state that is not his any more is found out.
        await tx.execute(
            "INSERT INTO tally SELECT $1, key, $2, last, n FROM unnest($3::text[], $4::bigint[], $5::bigint[])"
            " AS given (key, last, n)"
            " ON CONFLICT (stage, key) DO UPDATE SET last = excluded.last, times = tally.times + excluded.times",
            self._stage,
            tx.unit,
            touched,
            [tx.cache[key] for key in touched],
            [times[key] for key in touched],
        )


def specs() -> list[WorkerSpec]:
    return [
        WorkerSpec("tally.split", [Input(GIVEN, Tally("split").on_given)], [SPLIT]),
        WorkerSpec("tally.count", [Input(SPLIT, Tally("count").on_split)], []),
    ]


async def run(database_url: str, bootstrap: str, prefix: str, crash: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = Database(database_url, application="tally")
    await database.start()
    publisher = Publisher(bootstrap, prefix=prefix, timeout_seconds=5.0)
    await publisher.start()
    floor = Floor(f"tally-{os.getpid()}", database, publisher, bootstrap, prefix, UNITS, CrashPoints(crash))
    workers = [Worker(spec, floor) for spec in specs()]
    for worker in workers:
        await worker.start()
    await stop.wait()
    await asyncio.gather(*(worker.stop() for worker in workers))
    await publisher.stop()
    await database.stop()


if __name__ == "__main__":
    asyncio.run(run(*(sys.argv[1:] + [""])[:4]))

"""What lies in a topic? For tests that look at what was published, as whoever reads the log would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from libs.common import outbox
from libs.common.kafka import Received, through

_PATIENCE_SECONDS = 60.0


async def everything(
    bootstrap: str,
    prefix: str,
    name: str,
    units: Collection[int],
    *,
    number: int = 0,
    wanted: Callable[[Received], bool] = lambda message: True,
    connection: Any = None,
) -> list[Received]:
    """The messages that are `wanted`, unit by unit in the order of the log.

    What was committed is published a moment later. So this waits until there are `number` of them and, with a
    `connection` to the publishing service's database, until nothing is in its outbox alone; when that takes longer
    than a minute, it is left to the test to say what is missing.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        committed = await _committed(connection, name) if connection is not None else set()
        whole = await _now(bootstrap, prefix, name, units)
        found = [message for messages in whole.values() for message in messages if wanted(message)]
        there = {(unit, each.key, each.value) for unit, messages in whole.items() for each in messages}
        if (len(found) >= number and committed <= there) or time.monotonic() > end:
            return found
        await asyncio.sleep(0.05)


_Published = tuple[int, bytes | None, bytes | None]
"""Unit, key and value."""


async def _committed(connection: Any, name: str) -> set[_Published]:
    boxes = await connection.fetch("SELECT DISTINCT worker, unit FROM outbox")
    records = [record for box in boxes for record in await outbox.load(connection, box["worker"], box["unit"])]
    return {(record.partition, record.key, record.value) for record in records if record.topic == name}


async def _now(bootstrap: str, prefix: str, name: str, units: Collection[int]) -> dict[int, list[Received]]:
    found: dict[int, list[Received]] = {unit: [] for unit in sorted(units)}
    async for unit, message in through(bootstrap, prefix=prefix, name=name, partitions=units):
        found[unit].append(message)
    return found

"""What becomes of records that nobody waits for any more?"""

from __future__ import annotations

import asyncio
import socket

from libs.common.errors import BrokerAway
from libs.common.kafka import Publisher, Record


async def test_what_was_given_up_does_not_stay_in_memory_while_the_broker_is_silent() -> None:
    # Connections wait in its queue, and nobody takes them.
    silent = socket.create_server(("127.0.0.1", 0))
    publisher = Publisher(f"127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=2.0)
    await publisher.start()
    record = Record("ingest.event-received.v1", 0, None, b"x" * 1_000, [])
    in_flight = asyncio.create_task(publisher.publish([record], 0.2))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(publisher.publish([record], 0.2)) for _ in range(5)]
    results = await asyncio.gather(in_flight, *waiting, return_exceptions=True)
    assert all(isinstance(each, BrokerAway) for each in results)
    # The flush that nobody answers is still out.
    assert publisher.rebuilt == 0 and publisher._queue_bytes == 0
    assert publisher._queue == []
    await publisher.stop()
    silent.close()

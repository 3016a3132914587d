"""What does a stage cost whose handlers are called by a loop of a few lines? The stage without its worker.

Where there is no loop by hand the stage's own handler is called on a plain connection, so the comparison shows what
ownership, repeats, outbox and marks cost, and not how the handler itself is written.
"""

from __future__ import annotations

from typing import Any

import msgspec

from libs.common import clock
from libs.common.events import Fact
from libs.common.unit import Message, UnitTx
from tests.load import by_hand
from tests.load.by_hand import Sent
from tests.load.meter import Meter
from tests.load.stages import Stage


async def run(stage: Stage, database_url: str, bootstrap: str, meter: Meter) -> None:
    spec = stage.spec()
    handler = next(each.handler for each in spec.inputs if each.topic is stage.source)
    topics = {topic.event: topic for topic in spec.outputs}
    decode, encode = msgspec.json.Decoder(stage.source.event).decode, msgspec.json.Encoder().encode
    cache: dict[str, Any] = {}

    async def work(connection: Any, records: list[Any]) -> list[Sent]:
        now = clock.now()
        tx = UnitTx(connection, worker=spec.name, unit=0, cache=cache, clock=now, now=now, snapshot=0)
        batch = [Message(decode(record.value), record.value, record.timestamp) for record in records]
        facts = [fact for fact in await handler(batch, tx) if isinstance(fact, Fact)]
        return [(topics[type(fact)].name, topics[type(fact)].key(fact).encode(), encode(fact)) for fact in facts]

    await by_hand.batches(stage.source.name, work, database_url, bootstrap, meter)

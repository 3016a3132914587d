"""Which reactions are known, and what must be told because of them? Told once, by a timer of the customer's unit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.common import timers
from libs.common.db import Tx
from libs.common.events import Fact, MessageSettled, ResponseReceived
from libs.common.timers import Timer

WORKER = "notify.plan"
_SETTLED, _RESPONSE = b"s", b"r"

_encoder = msgspec.json.Encoder()
_settled = msgspec.json.Decoder(MessageSettled)
_response = msgspec.json.Decoder(ResponseReceived)


async def note(tx: Tx, responses: Sequence[tuple[int, ResponseReceived]]) -> list[tuple[int, ResponseReceived]]:
    """(unit, response): those that were not known before."""
    if not responses:
        return []
    by_id = {response.id: (unit, response) for unit, response in responses}
    ordered = [by_id[key] for key in sorted(by_id)]
    rows = await tx.fetch(
        """
        INSERT INTO response (response_id, unit, message_id, type, at, data)
        SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
        ON CONFLICT (response_id) DO NOTHING RETURNING response_id
        """,
        [response.id for _, response in ordered],
        [unit for unit, _ in ordered],
        [response.message_id for _, response in ordered],
        [response.type for _, response in ordered],
        [response.time for _, response in ordered],
        [_encoder.encode(response.data).decode() for _, response in ordered],
    )
    return [by_id[row["response_id"]] for row in rows]


async def tell(tx: Tx, now: datetime, facts: Sequence[tuple[int, Fact]]) -> None:
    """(unit, fact): each goes out with the next tick of its unit, once this transaction is committed."""
    by_unit: dict[int, list[Timer]] = {}
    for unit, fact in facts:
        by_unit.setdefault(unit, []).append(_timer(fact, now))
    for unit in sorted(by_unit):
        await timers.put(tx, WORKER, unit, by_unit[unit])


def _timer(fact: Fact, now: datetime) -> Timer:
    if isinstance(fact, MessageSettled):
        return Timer(f"settled:{fact.message_id}", now, _SETTLED + _encoder.encode(fact), gated=False)
    assert isinstance(fact, ResponseReceived)
    return Timer(f"response:{fact.id}", now, _RESPONSE + _encoder.encode(fact), gated=False)


def told(timer: Timer) -> Fact:
    """The fact that a timer carries."""
    kind, body = timer.payload[:1], timer.payload[1:]
    return _settled.decode(body) if kind == _SETTLED else _response.decode(body)

"""How do a great many waits come into a database at once? As the engine would have left them, by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import asyncpg
import msgspec

from libs.common import clock
from libs.common.topics import partition_of
from services.rules.engine import matching, state
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from tests.load.rules_ground import UNITS, event

HOUR_MS = 3_600_000
WAITS = {"pending": "60d", "dripping": "1h", "herded": "1h"}
"""Rules by name, with how long each waits."""
_AT_ONCE = 20_000
_STATE = ("customer_id", "unit", "waiting", "expires_at", "body", "form")
_TIMER = ("worker", "unit", "key", "due", "payload")


class Wait(NamedTuple):
    rule: str
    customer: str
    since_ms: int


def rules() -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "name": "x",
            "when": {"type": "absence", "after": {"event": name}, "no": {"event": "purchase"}, "for": span},
            "emit": {"trigger": f"bench.{name}"},
        }
        for name, span in WAITS.items()
    ]


async def copy(url: str, waits: Iterable[Wait]) -> None:
    snapshot = compile_snapshot([Source(msgspec.json.encode(rule), 1) for rule in rules()], "Asia/Seoul")
    connection = await asyncpg.connect(url)
    try:
        for chunk in _chunks(waits):
            made = [_rows(snapshot, wait) for wait in chunk]
            await connection.copy_records_to_table("rule_state", records=[row for row, _ in made], columns=_STATE)
            await connection.copy_records_to_table("timer", records=[row for _, row in made], columns=_TIMER)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _chunks(waits: Iterable[Wait]) -> Iterator[list[Wait]]:
    chunk: list[Wait] = []
    for wait in waits:
        chunk.append(wait)
        if len(chunk) == _AT_ONCE:
            yield chunk
            chunk = []
    yield chunk


def _rows(snapshot: Snapshot, wait: Wait) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The row of the customer's state and the one of the timer."""
    given = event(wait.customer, wait.rule, f"{wait.rule}-{wait.customer}", wait.since_ms)
    own, out = State(wait.customer), Effects()
    hit = matching.match(snapshot, given)
    assert hit is not None
    matching.step(snapshot, given, hit, own, (), out)
    [due] = out.timers.values()
    unit = partition_of(wait.customer.encode(), UNITS)
    held = (wait.customer, unit, True, clock.from_ms(own.until_ms), state.encode(own), state.FORM)
    return held, ("rules.match", unit, due.key, clock.from_ms(due.due_ms), due.payload)

"""How do the events of a table get through the door? In batches, several under way, no faster than asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deploy.demo.calls import Calls, Refused

BATCH_EVENTS_MAX = 250
BATCH_BYTES_MAX = 700_000
_FAULTS_KEPT = 5

Event = dict[str, Any]


class Batch(NamedTuple):
    """`lines_done`: once this batch and all before it are acknowledged, every line before that one is done."""

    events: list[Event]
    lines_done: int


@dataclass(slots=True)
class Tally:
    accepted: int = 0
    refused: int = 0
    lines_done: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, refusals: Sequence[dict[str, Any]]) -> None:
        self.refused += len(refusals)
        for each in refusals[: _FAULTS_KEPT - len(self.faults)]:
            self.faults.append(f"{each['id']}: {each['detail']}")


def batches(events: Iterable[tuple[Event, int]], rate: float = 0.0) -> Iterable[Batch]:
    """Events with what is done after each, in batches that the door takes and of a second's events at the most."""
    events_max = max(1, min(BATCH_EVENTS_MAX, int(rate))) if rate else BATCH_EVENTS_MAX
    held: list[Event] = []
    size, done = 0, 0
    for event, lines_done in events:
        length = len(json.dumps(event, ensure_ascii=False).encode())
        if held and (len(held) >= events_max or size + length > BATCH_BYTES_MAX):
            yield Batch(held, done)
            held, size = [], 0
        held.append(event)
        size, done = size + length, lines_done
    if held:
        yield Batch(held, done)


class Sender:
    """Holds at most `in_flight` batches in memory. `rate` is in events per second; 0 is as fast as it goes."""

    def __init__(
        self, calls: Calls, channel: str, tally: Tally, *, rate: float, in_flight: int, saved: Callable[[int], None]
    ) -> None:
        self._calls = calls
        self._channel = channel
        self._tally = tally
        self._rate = rate
        self._in_flight = in_flight
        self._saved = saved
        self._under_way: deque[tuple[asyncio.Task[None], int]] = deque()

    async def send(self, found: Iterable[Batch]) -> None:
        """All of them, in order of acknowledgement noted by `saved`. An interruption leaves nothing unnoted."""
        began, sent = time.monotonic(), 0
        try:
            for batch in found:
                if self._rate:
                    await asyncio.sleep(max(0.0, began + sent / self._rate - time.monotonic()))
                sent += len(batch.events)
                task = asyncio.create_task(self._post(batch.events))
                self._under_way.append((task, batch.lines_done))
                while self._under_way and (self._under_way[0][0].done() or len(self._under_way) >= self._in_flight):
                    await self._settle_oldest()
            while self._under_way:
                await self._settle_oldest()
        finally:
            left = [task for task, _ in self._under_way]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _settle_oldest(self) -> None:
        task, lines_done = self._under_way[0]
        await task
        self._under_way.popleft()
        self._tally.lines_done = lines_done
        self._saved(lines_done)

    async def _post(self, events: list[Event]) -> None:
        try:
            receipt = await self._calls.send(self._channel, events)
        except Refused as refused:
            # A batch without a single good event is answered as a problem, with the same list in it.
            listed = refused.problem.get("rejected") if isinstance(refused.problem, dict) else None
            if not listed:
                raise
            receipt = {"accepted": 0, "rejected": listed}
        self._tally.accepted += int(receipt["accepted"])
        self._tally.note(receipt["rejected"])

"""What does the demo shop do from its opening to its end? First load once, then a second of life every second."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from deploy.demo import installing, life, past, status
from deploy.demo.calls import Calls
from deploy.demo.town import Person, Town
from deploy.local.steps import write
from libs.common import clock

_BATCH_MAX = 500
_STATUS_EVERY_SECONDS = 10.0
_BEHIND_SECONDS_MAX = 5
_KNOWN_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.1
_MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


class Shop:
    def __init__(self, calls: Calls, town: Town, rate: float) -> None:
        self._calls = calls
        self._town = town
        self._rate = rate

    async def open(self) -> None:
        """Documents, first load, and one big purchase of the first customer, which shows a message at once."""
        made, events = await asyncio.gather(installing.install(self._calls), self._introduce_the_first())
        await self._send([_big_purchase(self._town.people[0])])
        if events is not None:
            await self._send_all(events)
            await self._until_known(self._town.people[-1])
        people, new = len(self._town.people), events is not None
        write(
            f"demo shop: {people:,} customers{' (first load)' if new else ''}, {made} documents put in force,"
            f" {self._rate:g} events/s from {len(_channels())} channels; seed {self._town.seed}"
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. What could not be sent for a while is made up for, except for what is long past."""
        reporting = asyncio.create_task(self._report())
        try:
            tick = _tick_now()
            while not stop.is_set():
                tick = max(tick, _tick_now() - _BEHIND_SECONDS_MAX)
                if tick < _tick_now():
                    await self._send(life.second(self._town, tick, self._rate, _MIDNIGHT))
                    tick += 1
                    continue
                try:
                    await asyncio.wait_for(stop.wait(), _POLL_SECONDS)
                except TimeoutError:
                    continue
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    async def _introduce_the_first(self) -> Iterator[dict[str, Any]] | None:
        """The rest of the first load, once its first customer is known; None when it was sent before."""
        if await self._is_known(self._town.people[-1]):
            return None
        events = past.first_load(self._town)
        await self._send(list(islice(events, 10)))
        await self._until_known(self._town.people[0])
        return events

    async def _is_known(self, person: Person) -> bool:
        found = await self._calls.get("profile", "/v1/customers", phone=person.phone)
        return any("name" in customer["traits"] for customer in found["items"])

    async def _until_known(self, person: Person) -> None:
        deadline = time.monotonic() + _KNOWN_SECONDS_MAX
        while not await self._is_known(person) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)

    async def _send_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        left = iter(events)
        while batch := list(islice(left, _BATCH_MAX)):
            await self._send(batch)

    async def _send(self, events: Sequence[Mapping[str, Any]]) -> None:
        by_channel: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for event in events:
            by_channel[event["channel"]].append(event)
        for channel, own in by_channel.items():
            for start in range(0, len(own), _BATCH_MAX):
                receipt = await self._calls.send(channel, own[start : start + _BATCH_MAX])
                for refused in receipt["rejected"]:
                    write(f"demo shop: ingest refused {refused['id']}: {refused['detail']}")

    async def _report(self) -> None:
        before, since = await status.counts(self._calls), time.monotonic()
        while True:
            await asyncio.sleep(_STATUS_EVERY_SECONDS)
            now, at = await status.counts(self._calls), time.monotonic()
            write(status.line(now, before, at - since))
            before, since = now, at


def _channels() -> tuple[str, ...]:
    return "pos", "web", "call-center"


def _tick_now() -> int:
    return int((clock.now() - _MIDNIGHT).total_seconds())


def _big_purchase(person: Person) -> dict[str, Any]:
    line = {"product": "stroller", "category": "baby", "quantity": 1, "price": 320_000}
    data = {"amount": 320_000, "currency": "KRW", "items": [line]}
    bought = life.Happening("pos", "purchase", "store-001/pos-1", person.identifiers("loyalty_card"), data, "gangnam")
    return bought.event(f"opening-{clock.new_id()}", clock.now())

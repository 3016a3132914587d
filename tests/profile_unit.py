"""How does the worker of profiles act on one customer, when the test says what time it is? One unit, without a log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from libs.common import clock
from libs.common.db import Database
from libs.common.events import CommandIssued, EventIdentified, EventReceived, EventResolved, Fact
from libs.common.timers import Timer
from libs.common.unit import Message, Tombstone, UnitTx
from services.profile import holding
from services.profile.apply import Apply
from services.profile.person import Customer, Definitions

WORKER = "profile.apply"


class Unit:
    """One unit of the worker, its cache, and what it has said."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.definitions = Definitions()
        self.apply = Apply(lambda: self.definitions)
        self.cache: dict[str, Any] = {}
        self.said: list[EventResolved] = []
        self.customer_id = str(clock.new_id())

    async def happens(
        self,
        kind: str,
        at: datetime,
        data: dict[str, Any] | None = None,
        *,
        event_id: str = "",
        linked: Sequence[str] = (),
        **named: str,
    ) -> None:
        """An event, its id from what and when; `linked` are all records of the person, `named` the identifiers."""
        event = EventReceived(
            event_id or f"{kind} {at}", "pos", kind, at, data=msgspec.Raw(msgspec.json.encode(data or {}))
        )
        raw = msgspec.Raw(msgspec.json.encode(event))
        fact = EventIdentified(
            self.customer_id,
            self.customer_id,
            raw,
            clock.to_ms(at),
            identifiers=named,
            linked=list(linked),
            links_revision=len(linked),
        )
        async with self.database.transaction() as tx:
            self._hear(await self.apply.on_identified([Message(fact, b"", 0)], self._at(tx.connection, at)))

    async def orders(self, kind: str, at: datetime, **body: Any) -> None:
        raw = msgspec.Raw(msgspec.json.encode(body))
        command = CommandIssued(str(clock.new_id()), self.customer_id, kind, raw, "somebody", at)
        async with self.database.transaction() as tx:
            self._hear(await self.apply.on_commands([Message(command, b"", 0)], self._at(tx.connection, at)))

    async def timers(self, at: datetime) -> int:
        """Fire what is due, as often as there is anything; returns how many fired."""
        count = 0
        while True:
            async with self.database.transaction() as tx:
                rows = await tx.fetch(
                    "DELETE FROM timer WHERE due <= $1 AND gated RETURNING key, due, payload, gated", at
                )
                due = [Timer(row["key"], row["due"], bytes(row["payload"]), row["gated"]) for row in rows]
                if not due:
                    return count
                count += len(due)
                self._hear(await self.apply.on_timers(due, self._at(tx.connection, at)))

    async def state(self) -> Customer:
        async with self.database.connection() as connection:
            body = await connection.fetchval("SELECT body FROM customer WHERE customer_id = $1", self.customer_id)
        return holding.restored(bytes(body))

    def stages(self) -> list[tuple[str, Any]]:
        """What was told of the stage of life as a customer, and by which events."""
        told = [(each.type, each.changed.get("lifecycle")) for each in self.said]
        return [(kind, change.now) for kind, change in told if change is not None]

    def _hear(self, facts: Sequence[Fact | Tombstone]) -> None:
        self.said += [each for each in facts if isinstance(each, EventResolved)]

    def _at(self, connection: Any, now: datetime) -> UnitTx:
        return UnitTx(connection, worker=WORKER, unit=0, cache=self.cache, clock=now, now=now, snapshot=0)

"""Who orders all profiles to be folded again? A job, page by page, never far ahead of what is done."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.common import clock
from libs.common.db import Database
from libs.common.events import CommandIssued
from libs.common.kafka import Publisher, Record
from libs.common.topics import COMMAND_ISSUED, partition_of
from services.profile.refolding import KIND, Order
from services.profile.store import refolds as store

_PAGE: Final = 500
UNDER_WAY_MAX: Final = 2_000
"""Events of customers wait behind refolds of their unit: there are never many of these."""

_LOOKS_EVERY_SECONDS: Final = 1.0


class RefoldJobs:
    """Done again and again; several instances take turns by the lock of the job's row."""

    def __init__(self, database: Database, publisher: Publisher, partitions: int) -> None:
        self._database = database
        self._publisher = publisher
        self._partitions = partitions

    async def turn(self) -> float:
        """One page; after a failure the job goes on from its cursor."""
        return 0.05 if await self._page() else _LOOKS_EVERY_SECONDS

    async def _page(self) -> bool:
        """Order the next customers; what is published and not written down is ordered once more, which is as once."""
        async with self._database.transaction() as tx:
            job = await store.claim(tx)
            if job is None:
                return False
            if job["under_way"] >= UNDER_WAY_MAX:
                return True
            customers = await store.next_customers(tx, job["cursor"], _PAGE)
            order = msgspec.Raw(msgspec.json.encode(Order(job["job"], job["verify"], job["announce"], job["since"])))
            await self._publisher.publish([self._record(job["job"], each, order, job["actor"]) for each in customers])
            await store.advance(tx, job["job"], customers, clock.now())
            return bool(customers)

    def _record(self, job: int, customer_id: str, order: msgspec.Raw, actor: str) -> Record:
        command_id = str(clock.derived_id("refold", job, customer_id))
        command = CommandIssued(command_id, customer_id, KIND, order, actor, clock.now())
        key = customer_id.encode()
        return Record(COMMAND_ISSUED.name, partition_of(key, self._partitions), key, msgspec.json.encode(command))

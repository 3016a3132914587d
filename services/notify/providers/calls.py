"""How does a message become a task for the call center? It is a row in our own queue, one per message."""

from __future__ import annotations

from datetime import datetime

from libs.common.db import Database
from libs.common.errors import Transient
from services.notify.delivery import Accepted, Rejected, RetryLater
from services.notify.providers.port import Outgoing
from services.notify.store import tasks


class CallQueue:
    """A task is added once however often it is asked for, so nothing here is ever in doubt."""

    name = "call-center"
    key_seconds = 365 * 86_400

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def send(self, outgoing: Outgoing, now: datetime) -> Accepted | Rejected | RetryLater:
        try:
            async with self._database.transaction() as tx:
                await tasks.add(tx, outgoing.message_id, outgoing.recipient, outgoing.body, now)
        except Transient as error:
            return RetryLater(f"queue_away: {type(error).__name__}")
        return Accepted(outgoing.message_id)

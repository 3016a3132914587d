"""How does the API order a change of a customer? On the topic of the owner, which applies it in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.common import clock
from libs.common.db import Database
from libs.common.errors import NotCaughtUp, NotFound, Stale
from libs.common.events import CommandIssued
from libs.common.kafka import Publisher, Record
from libs.common.topics import COMMAND_ISSUED, partition_of
from services.profile.store import commands as store

EFFECT_SECONDS_MAX: Final = 2.0

KINDS: Final[Mapping[str, str]] = {
    "set_traits": "profile.changed",
    "give_consent": "consent_given",
    "withdraw_consent": "consent_withdrawn",
}
"""What a command of each kind does to the profile: the same as an event of this type would."""


class Commands:
    """Orders to the owner of a customer: published on its topic, applied in its unit, awaited for a while."""

    def __init__(self, publisher: Publisher, database: Database, partitions: int) -> None:
        self._publisher = publisher
        self._database = database
        self._partitions = partitions

    async def give(
        self, customer_id: str, kind: str, body: Mapping[str, Any], actor: str, if_version: int | None = None
    ) -> int:
        """The profile's version after the effect. Stale, NotFound, or NotCaughtUp when it takes too long."""
        command_id = str(clock.new_id())
        command = CommandIssued(
            command_id,
            customer_id,
            kind,
            msgspec.Raw(msgspec.json.encode(body)),
            actor,
            clock.now(),
            if_version,
        )
        key = customer_id.encode()
        unit = partition_of(key, self._partitions)
        await self._publisher.publish([Record(COMMAND_ISSUED.name, unit, key, msgspec.json.encode(command))])
        outcome, version = await self._outcome(command_id)
        if outcome == "stale":
            raise Stale(f"The profile is at version {version} now. Read it again and repeat the change.")
        if outcome == "unknown":
            raise NotFound(f"There is no customer {customer_id}.")
        return version

    async def _outcome(self, command_id: str) -> tuple[str, int]:
        try:
            async with asyncio.timeout(EFFECT_SECONDS_MAX):
                while True:
                    async with self._database.connection() as connection:
                        found = await store.command_outcome(connection, command_id)
                    if found is not None:
                        return found
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NotCaughtUp(
                f"The change is accepted as {command_id} and will be applied; it is not visible yet."
            ) from None

"""How does the API order a change of a customer? On the topic of the owner, which applies it in its turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from libs.common import clock
from libs.common.db import Database
from libs.common.errors import NotCaughtUp, NotFound, Stale
from libs.common.events import CommandIssued, LinkOrdered
from libs.common.kafka import Publisher, Record
from libs.common.topics import COMMAND_ISSUED, LINK_ORDERED, Topic, partition_of
from services.profile.store import commands as store

EFFECT_SECONDS_MAX: Final = 2.0

ERASE: Final = "erase"
"""The kind of command that leaves nothing to have an effect on."""

KINDS: Final[Mapping[str, str]] = {
    "set_traits": "profile.changed",
    "give_consent": "consent_given",
    "withdraw_consent": "consent_withdrawn",
    "send_consent_notice": "consent_notice_sent",
    "reconfirm_consent": "consent_reconfirmed",
    "add_note": "note.added",
    "retract_note": "note.retracted",
    "set_restriction": "restriction.set",
    "lift_restriction": "restriction.lifted",
    "add_relation": "relation.added",
    "end_relation": "relation.ended",
    "verify_address": "address.verified",
    "report_wrong_address": "address.wrong",
    "earn_points": "points.earned",
    "grant_points": "points.granted",
    "spend_points": "points.spent",
    "adjust_points": "points.adjusted",
    "reverse_points": "points.reversed",
    "settle_points": "points.settled",
    "assign_care": "care.assigned",
    "enrich": "profile.enriched",
}
"""What a command of each kind does to the profile: the same as an event of this type would."""


class Commands:
    """Orders to the owner of a customer: published on its topic, applied in its unit, awaited for a while."""

    def __init__(self, publisher: Publisher, database: Database, partitions: int) -> None:
        self._publisher = publisher
        self._database = database
        self._partitions = partitions

    async def give(
        self,
        customer_id: str,
        kind: str,
        body: Mapping[str, Any],
        actor: str,
        if_version: int | None = None,
        command_id: str | None = None,
        reason: str = "",
    ) -> int:
        """The profile's version after the effect. Stale, NotFound, or NotCaughtUp when it takes too long.

        A command of the same id takes effect once.
        """
        command_id = command_id or str(clock.new_id())
        command = CommandIssued(
            command_id,
            customer_id,
            kind,
            msgspec.Raw(msgspec.json.encode(body)),
            actor,
            clock.now(),
            if_version,
            reason,
        )
        await self._publish(COMMAND_ISSUED, command)
        outcome, version = await self._outcome(command_id)
        if outcome == "stale":
            raise Stale(f"The profile is at version {version} now. Read it again and repeat the change.")
        if outcome == "unknown":
            raise NotFound(f"There is no customer {customer_id}.")
        return version

    async def send(self, commands: Sequence[CommandIssued]) -> None:
        """Many at once, whose effect nobody waits for; one of an id that was there before has none."""
        await self._publisher.publish([_record(COMMAND_ISSUED, each, self._partitions) for each in commands])

    async def link(
        self,
        kind: str,
        customer_id: str,
        actor: str,
        *,
        records: Sequence[str] = (),
        link_id: str = "",
        reason: str = "",
    ) -> str:
        """What becomes of an order to link or to part records (`LinkOrdered`): nothing to say when it is done."""
        order_id = str(clock.new_id())
        order = LinkOrdered(order_id, kind, customer_id, actor, clock.now(), list(records), link_id, reason=reason)
        await self._publish(LINK_ORDERED, order)
        outcome, _ = await self._outcome(order_id)
        return outcome

    async def link_all(self, orders: Sequence[LinkOrdered]) -> dict[str, str]:
        """What has become of these by their ids, as in `link`; one that takes too long is not among them."""
        records = [_record(LINK_ORDERED, order, self._partitions) for order in orders]
        await self._publisher.publish(records)
        wanted = [order.order_id for order in orders]
        outcomes: dict[str, str] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EFFECT_SECONDS_MAX):
                while len(outcomes) < len(wanted):
                    await asyncio.sleep(0.02)
                    async with self._database.connection() as connection:
                        outcomes = await store.command_outcomes(connection, wanted)
        return outcomes

    async def _publish(self, topic: Topic, order: CommandIssued | LinkOrdered) -> None:
        await self._publisher.publish([_record(topic, order, self._partitions)])

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


def _record(topic: Topic, order: CommandIssued | LinkOrdered, partitions: int) -> Record:
    key = topic.key(order).encode()
    return Record(topic.name, partition_of(key, partitions), key, msgspec.json.encode(order))

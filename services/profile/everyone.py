"""How is an event told onwards that has no person? Joined with what it is about, to all who look after customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from libs.common.events import EventIdentified, EventReceived, EventResolved
from libs.common.topics import everyone_of
from libs.common.unit import Message, UnitTx
from services.profile.person import without_contact_data
from services.profile.person.private import folded, may_be_private
from services.profile.person.telling import may_reach, without_telling
from services.profile.reference.enriching import Enriching, Joined

EVERYONE: Final = "everyone"
"""The header by which the door says that a type is for whoever a rule selects."""
_encode: Final = msgspec.json.Encoder().encode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Concerning(Joined, Protocol):
    """Something that happened, with the key that stands for those whom it may concern."""

    customer_id: str


class Spreading:
    """Makes of one event a copy for each partition, under the key that stands for all customers there."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._keys = [everyone_of(number, partitions) for number in range(partitions)]

    def copies(self, each: Message[EventReceived]) -> list[EventIdentified]:
        channel = each.event.channel or each.headers.get("channel", b"").decode()
        traffic = each.headers.get("traffic", b"").decode()
        raw = msgspec.Raw(each.value)
        return [
            EventIdentified(key, key, raw, each.append_ms, channel=channel, traffic=traffic, everyone=True)
            for key in self._keys
        ]


def is_for_everyone(each: Message[EventReceived]) -> bool:
    return EVERYONE in each.headers and not each.event.identifiers


async def resolved(work: Sequence[Concerning], enriching: Enriching, tx: UnitTx) -> list[EventResolved]:
    """There is a copy of each event in all units: what nobody knows of it is noted by the first of them alone."""
    for each in work:
        if not each.event.branch:
            each.event.branch = _branch_in(each.origin.raw)
    if tx.unit == 0:
        await enriching.enrich(work, tx)
    else:
        enriching.join(work)
    return [_resolved(each) for each in work]


def _branch_in(raw: msgspec.Raw) -> str:
    """These types may name a branch in their data instead."""
    named = _object(raw).get("branch") if b'"branch"' in bytes(raw) else None
    return named if isinstance(named, str) else ""


def _resolved(each: Concerning) -> EventResolved:
    event, origin = each.event, each.origin
    return EventResolved(
        event.id,
        each.customer_id,
        each.customer_id,
        event.type,
        origin.source,
        origin.time,
        origin.received_ms,
        channel=origin.channel,
        branch=event.branch or None,
        data=_scrubbed(origin.whole or origin.raw),
        history=origin.history,
        traffic=origin.traffic,
        region=event.region,
        everyone=True,
    )


def _scrubbed(raw: msgspec.Raw) -> msgspec.Raw:
    """It names nobody, but sources write what they like; the history holds no address and no number of anybody."""
    body = bytes(raw)
    reaches = may_reach(body)
    if not reaches and not may_be_private(folded(body)):
        return raw
    data = _object(body)
    kept = without_contact_data(data)
    kept = without_telling(kept, []) if reaches else kept
    return raw if kept == data else msgspec.Raw(_encode(kept))

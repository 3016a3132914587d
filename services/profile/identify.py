"""What happens when an event arrives that nobody has put to a person yet? Events in, identified events out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b

import msgspec

from libs.common.clock import derived_id
from libs.common.errors import Poison, Transient
from libs.common.events import EventIdentified, EventReceived, Fact
from libs.common.unit import Message, UnitTx
from services.profile import identity
from services.profile.identity import Assignment, Findings
from services.profile.normal import normalised
from services.profile.store import arrivals
from services.profile.store import identity as store

_BACKLOG_DAYS = 1
"""A message may have waited that long in the log beyond the age that the door allows."""


class Identify:
    """Handles events as they were received; `counted` is told how many were repeats, conflicts or without a person."""

    def __init__(self, region: str, live_age_days: int, counted: Callable[[str, int], None]) -> None:
        self._region = region
        self._live_age = timedelta(days=live_age_days)
        self._counted = counted

    async def on_received(self, batch: Sequence[Message[EventReceived]], tx: UnitTx) -> Sequence[Fact]:
        fresh = await self._first_seen(batch, tx)
        named = [(each, normalised(each.event.identifiers, self._region)) for each in fresh]
        people = [(each, identifiers) for each, identifiers in named if identifiers]
        self._counted("without_person", len(named) - len(people))
        if not people:
            return []
        assigned, findings = await self._assign(people, tx)
        facts: list[Fact] = [
            _identified(each, identifiers, found) for (each, identifiers), found in zip(people, assigned, strict=True)
        ]
        return facts + self._notices(findings, assigned, tx.now)

    async def _first_seen(self, batch: Sequence[Message[EventReceived]], tx: UnitTx) -> list[Message[EventReceived]]:
        """The events that were not here before; the same id with another body is kept as a conflict."""
        oldest = tx.now - self._live_age - timedelta(days=_BACKLOG_DAYS)
        first: dict[bool, dict[str, tuple[arrivals.Sighting, Message[EventReceived]]]] = {False: {}, True: {}}
        again: list[tuple[arrivals.Sighting, Message[EventReceived], str]] = []
        for each in batch:
            if each.event.time < oldest and not each.event.history:
                raise Poison(f"a live event of {each.event.time.isoformat()} is older than ids are remembered")
            sighting = _sighting(each)
            held = first[each.event.history].setdefault(sighting.key, (sighting, each))
            if held[1] is not each:
                again.append((sighting, each, held[0].body))
        fresh: list[Message[EventReceived]] = []
        for history, found in first.items():
            known = await arrivals.remember(tx, [sighting for sighting, _ in found.values()], history=history)
            if history:
                # What may still come live, or came so, counts as the same: a day's sheet repeats its receipts.
                young = [each for key, (each, old) in found.items() if key not in known and old.event.time >= oldest]
                known |= await arrivals.remember(tx, young, history=False)
            again += [(*found[key], body) for key, body in known.items()]
            fresh += [each for key, (_, each) in found.items() if key not in known]
        await self._refuse(again, tx)
        return fresh

    async def _refuse(self, again: Sequence[tuple[arrivals.Sighting, Message[EventReceived], str]], tx: UnitTx) -> None:
        conflicts = [each for sighting, each, body in again if sighting.body != body]
        await arrivals.keep_conflicts(
            tx,
            tx.now,
            [(each.event.source, each.event.id, each.event.time, each.value) for each in conflicts],
        )
        self._counted("conflicts", len(conflicts))
        self._counted("repeats", len(again) - len(conflicts))

    async def _assign(
        self, people: Sequence[tuple[Message[EventReceived], dict[str, str]]], tx: UnitTx
    ) -> tuple[list[Assignment], Findings]:
        wanted = [(each.event, identity.keys_of(identifiers)) for each, identifiers in people]
        all_keys = {key for _, keys in wanted for key in keys}
        directory = await store.directory_of(tx, all_keys, _own_records(all_keys))
        findings = Findings()
        assigned = [
            identity.assign(event.id, keys, partial(_record_id, event), directory, findings) for event, keys in wanted
        ]
        if findings.keys and not await store.add_identifiers(tx, findings.keys, tx.now):
            raise Transient("another unit has just met one of these identifiers")
        if findings.records:
            await store.add_records(tx, findings.records, tx.now)
        if findings.links:
            await store.add_links(tx, findings.links, tx.now)
            self._counted("merges", len(findings.links))
        return assigned, findings

    @staticmethod
    def _notices(findings: Findings, assigned: Sequence[Assignment], now: datetime) -> list[Fact]:
        """Every record of a person that has just grown learns of it, each in its own unit."""
        grown = {link.person for link in findings.links}
        last = {found.person: found for found in assigned if found.person in grown}
        return [
            EventIdentified(record, person, _linked_event(record, found, now), 0, linked=list(found.records))
            for person, found in last.items()
            for record in found.records
        ]


def _identified(each: Message[EventReceived], identifiers: dict[str, str], found: Assignment) -> EventIdentified:
    return EventIdentified(
        found.record,
        found.person,
        msgspec.Raw(each.value),
        each.append_ms,
        channel=each.event.channel or each.headers.get("channel", b"").decode(),
        identifiers=identifiers,
        linked=list(found.records) if len(found.records) > 1 else [],
        traffic=each.headers.get("traffic", b"").decode(),
    )


def _linked_event(record: str, found: Assignment, now: datetime) -> msgspec.Raw:
    body = EventReceived(
        str(derived_id("linked", record, *found.records)),
        "dangol/profile",
        "profile.linked",
        now,
        data=msgspec.Raw(msgspec.json.encode({"records": list(found.records)})),
    )
    return msgspec.Raw(msgspec.json.encode(body))


def _record_id(event: EventReceived) -> str:
    """From the event that we met the customer by, so that a batch that is done again makes the same record."""
    return str(derived_id("record", event.source, event.id))


def _sighting(each: Message[EventReceived]) -> arrivals.Sighting:
    event = each.event
    name = blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16)
    body = blake2b(each.value, digest_size=16)
    return arrivals.Sighting(event.time.date(), name.hexdigest(), body.hexdigest())


def _own_records(keys: set[str]) -> set[str]:
    """Values of `customer_id` that may be ids of our own records."""
    found = set()
    for key in keys:
        kind, _, value = key.partition(":")
        if kind == "customer_id" and len(value) == 36:
            try:
                found.add(str(uuid.UUID(value)))
            except ValueError:
                continue
    return found

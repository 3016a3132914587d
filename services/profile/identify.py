"""What happens when an event arrives that nobody has put to a person yet? Events in, identified events out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from functools import partial
from hashlib import blake2b

import msgspec

from libs.common.clock import derived_id, to_ms
from libs.common.errors import Poison
from libs.common.events import EventIdentified, EventReceived, Fact, LinkOrdered
from libs.common.unit import Message, UnitTx
from services.profile import everyone, identity
from services.profile.identity import Directory, Findings, Named, Person
from services.profile.linking import Linking
from services.profile.normal import normalised, record_id_in
from services.profile.person import Definitions
from services.profile.privacy.returning import Returning
from services.profile.store import arrivals

PUBLIC = "public"
"""The header of an event that came by a key which everybody can read."""
_BACKLOG_DAYS = 1
"""A message may have waited that long in the log beyond the age that the door allows."""


class Identify:
    """Handles events as they were received; `counted` is told how many were repeats, conflicts or without a person."""

    def __init__(
        self,
        region: str,
        live_age_days: int,
        counted: Callable[[str, int], None],
        definitions: Callable[[], Definitions] = Definitions,
        returning: Returning | None = None,
        partitions: int = 1,
    ) -> None:
        self._region = region
        self._live_age = timedelta(days=live_age_days)
        self._counted = counted
        self._linking = Linking(lambda: definitions().identity, counted)
        self._returning = returning
        self._spreading = everyone.Spreading(partitions)

    async def on_received(self, batch: Sequence[Message[EventReceived]], tx: UnitTx) -> Sequence[Fact]:
        fresh = await self._first_seen(batch, tx)
        spread: list[Fact] = []
        if any(map(everyone.is_for_everyone, fresh)):
            for each in filter(everyone.is_for_everyone, fresh):
                spread += self._spreading.copies(each)
            fresh = [each for each in fresh if not everyone.is_for_everyone(each)]
            self._counted("for_everyone", len(spread) // self._spreading.partitions)
        return [*spread, *await self._of_people(fresh, tx)]

    async def _of_people(self, fresh: list[Message[EventReceived]], tx: UnitTx) -> Sequence[Fact]:
        table = self._linking.table
        named = [(each, normalised(each.event.identifiers, self._region, table)) for each in fresh]
        people = [(each, identifiers) for each, identifiers in named if identifiers]
        self._counted("without_person", len(named) - len(people))
        if self._returning is not None and self._returning.suspects(fresh):
            people = await self._returning.without_erased(people, table, tx, self._counted)
        if not people:
            return []
        events = [_named(each, table.keys_of(identifiers)) for each, identifiers in people]
        keys = {key for event in events for key in event.keys}
        found = Findings(tx.now)

        def assigned(directory: Directory, findings: Findings) -> list[str]:
            nonlocal found
            found = findings
            return [identity.assign(event, table, directory, findings) for event in events]

        records, directory, notices, _ = await self._linking.decide(tx, keys, _own_records(keys), assigned)
        facts: list[Fact] = []
        if found.keys and self._returning is not None:
            met = [(each, event.keys) for (each, _), event in zip(people, events, strict=True)]
            facts += await self._returning.notices(met, found.keys, found.born, table, directory, tx)
        facts += [
            _identified(each, identifiers, record, directory.person_of[record])
            for (each, identifiers), record in zip(people, records, strict=True)
        ]
        return facts + notices

    async def on_ordered(self, batch: Sequence[Message[LinkOrdered]], tx: UnitTx) -> Sequence[Fact]:
        return await self._linking.on_ordered(batch, tx)

    async def _first_seen(self, batch: Sequence[Message[EventReceived]], tx: UnitTx) -> list[Message[EventReceived]]:
        """The events that were not here before; the same id with another body is kept as a conflict."""
        oldest = tx.now - self._live_age - timedelta(days=_BACKLOG_DAYS)
        first: dict[bool, dict[arrivals.Identity, tuple[arrivals.Sighting, Message[EventReceived]]]] = {
            False: {},
            True: {},
        }
        again: list[tuple[arrivals.Sighting, Message[EventReceived], str]] = []
        for each in batch:
            if each.event.time < oldest and not each.event.history:
                raise Poison(f"a live event of {each.event.time.isoformat()} is older than ids are remembered")
            sighting = _sighting(each)
            held = first[each.event.history].setdefault((sighting.day, sighting.key), (sighting, each))
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
        self._counted("repeats", len(again) - len(conflicts))
        if not conflicts:
            return
        erased = await self._of_erased(conflicts, tx)
        await arrivals.keep_conflicts(
            tx,
            tx.now,
            [
                (each.event.source, each.event.id, each.event.time, None if theirs else each.value)
                for each, theirs in zip(conflicts, erased, strict=True)
            ],
        )
        self._counted("conflicts", len(conflicts))
        self._counted("erased_conflicts", sum(erased))

    async def _of_erased(self, events: Sequence[Message[EventReceived]], tx: UnitTx) -> list[bool]:
        """Which of these tell of a time before the erasure of whom they name."""
        if self._returning is None:
            return [False] * len(events)
        table = self._linking.table
        keys = [table.keys_of(normalised(each.event.identifiers, self._region, table)) for each in events]
        erased_ms = await self._returning.erased_ms({key for some in keys for key in some}, tx)
        latest = [max((erased_ms.get(key, 0) for key in some), default=0) for some in keys]
        return [bool(at) and to_ms(each.event.time) <= at for each, at in zip(events, latest, strict=True)]


def _identified(
    each: Message[EventReceived], identifiers: dict[str, str], record: str, person: Person
) -> EventIdentified:
    """With the person as it is at the end of the batch: a revision stands for one list of records."""
    return EventIdentified(
        record,
        person.id,
        msgspec.Raw(each.value),
        each.append_ms,
        channel=each.event.channel or each.headers.get("channel", b"").decode(),
        identifiers=identifiers,
        linked=list(person.records) if len(person.records) > 1 else [],
        traffic=each.headers.get("traffic", b"").decode(),
        links_revision=person.revision,
    )


def _named(each: Message[EventReceived], keys: Sequence[str]) -> Named:
    return Named(each.event.id, keys, partial(_record_id, each.event), PUBLIC in each.headers)


def _record_id(event: EventReceived) -> str:
    """From the event that we met the customer by, so that a batch that is done again makes the same record.

    The time is part of what an event is: tills begin to count anew each day.
    """
    return str(derived_id("record", event.source, event.id, to_ms(event.time)))


def _sighting(each: Message[EventReceived]) -> arrivals.Sighting:
    event = each.event
    name = blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16)
    body = blake2b(each.value, digest_size=16)
    return arrivals.Sighting(event.time.astimezone(UTC).date(), name.hexdigest(), body.hexdigest())


def _own_records(keys: set[str]) -> set[str]:
    """Values of `customer_id` that may be ids of our own records."""
    values = (key.removeprefix("customer_id:") for key in keys if key.startswith("customer_id:"))
    return {found for value in values if (found := record_id_in(value))}

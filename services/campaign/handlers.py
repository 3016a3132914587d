"""Profiles, settlements, triggers and due timers in; decisions and requests for contact out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from libs.common import timers
from libs.common.documents import SnapshotWatcher
from libs.common.errors import NotCaughtUp, Poison
from libs.common.events import CampaignErased, Fact, MessageSettled, ProfileUpdated, ResponseReceived, RuleTriggered
from libs.common.timers import Timer
from libs.common.unit import Message, UnitTx
from services.campaign import decisions, store
from services.campaign.decisions import RESERVATION, Deferral, Occasion
from services.campaign.document import Library
from services.campaign.facts import Record, record_of
from services.campaign.guard import counting
from services.campaign.guard.store import react
from services.campaign.law.rows import Table
from services.campaign.policy import Company, longest_window

Counted = Callable[[str, str], None]
"""Takes the outcome and the gate of a decision."""

_DEFERRAL = msgspec.json.Decoder(Deferral)


class Deciding:
    def __init__(
        self, library: SnapshotWatcher[Library], company: Company, counted: Counted, law: Callable[[], Table]
    ) -> None:
        self._library = library
        self._company = company
        self._law = law
        self._counted = counted

    async def on_profiles(self, batch: Sequence[Message[ProfileUpdated]], tx: UnitTx) -> Sequence[Fact]:
        newest: dict[str, Record] = {}
        for message in batch:
            known = newest.get(message.event.customer_id)
            if known is None or known.standing.version < message.event.version:
                newest[message.event.customer_id] = record_of(message.event)
        await store.save_records(tx, tx.unit, newest)
        return []

    async def on_erased(self, customer_ids: Sequence[str], tx: UnitTx) -> Sequence[Fact]:
        """What is deferred is decided now, against contact, since the trigger lies with it until then."""
        erased = await store.erase_records(tx, tx.unit, customer_ids)
        deferred = await store.deferred_of(tx, erased) if erased else []
        await timers.hasten(tx, tx.worker, tx.unit, [str(each) for each in deferred], tx.clock)
        return [CampaignErased(each, tx.now, {"customer": known}) for each, known in sorted(erased.items())]

    async def on_settled(self, batch: Sequence[Message[MessageSettled]], tx: UnitTx) -> Sequence[Fact]:
        last: dict[UUID, MessageSettled] = {}
        for message in batch:
            message_id = _id_of(message.event)
            known = last.get(message_id)
            if known is None or known.settled_at <= message.event.settled_at:
                last[message_id] = message.event
        contacts = await store.settle(tx, last)
        await tx.cancel_timers([f"{RESERVATION}{message_id}" for message_id in sorted(last)])
        return await counting.note(tx, self._company.zone, counting.of_contacts(contacts))

    async def on_responses(self, batch: Sequence[Message[ResponseReceived]], tx: UnitTx) -> Sequence[Fact]:
        """Who unsubscribes, complains or cannot be reached is counted for what brought the contact about."""
        reacted = await react(tx, counting.bits_of(message.event for message in batch))
        return await counting.note(tx, self._company.zone, counting.of_reactions(reacted))

    async def on_triggered(self, batch: Sequence[Message[RuleTriggered]], tx: UnitTx) -> Sequence[Fact]:
        library = self._in_force(tx)
        occasions = decisions.occasions_of([message.event for message in batch], library)
        if not occasions:
            return []
        before = await store.outcomes_of(tx, occasions.keys())
        return await self._decide({each: occasions[each] for each in occasions if each not in before}, library, tx)

    async def on_timers(self, batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        """Gives back reservations that nobody answered for; decides anew, gate by gate, what was deferred."""
        library = self._in_force(tx)
        lapsed = [UUID(timer.key.removeprefix(RESERVATION)) for timer in batch if timer.key.startswith(RESERVATION)]
        await store.expire(tx, lapsed)
        deferred = {
            UUID(timer.key): decisions.released(_DEFERRAL.decode(timer.payload), library)
            for timer in batch
            if not timer.key.startswith(RESERVATION)
        }
        if not deferred:
            return []
        before = await store.outcomes_of(tx, deferred.keys())
        return await self._decide(
            {each: deferred[each] for each in deferred if before.get(each) == "deferred"}, library, tx
        )

    async def _decide(self, occasions: Mapping[UUID, Occasion], library: Library, tx: UnitTx) -> Sequence[Fact]:
        if not occasions:
            return []
        triggers = [occasion.trigger for occasion in occasions.values()]
        asked = {each for trigger in triggers for each in (trigger.customer_id, *trigger.linked)}
        people = decisions.people_of(occasions.values(), await store.load_records(tx, asked))
        await store.lock_people(tx, {person.id for person in people.values() if len(person.ids) > 1})
        ids = {each for person in people.values() for each in person.ids}
        company = msgspec.structs.replace(self._company, law=self._law())
        window = longest_window(library.by_id.values(), company)
        known = decisions.Known(
            people=people,
            contacts=await store.load_contacts(tx, ids, tx.now - window - timedelta(seconds=1)),
            switched_off=await store.switched_off(tx),
            company=company,
            now=tx.now,
        )
        outcomes = decisions.decide(occasions, known)
        await store.save_decisions(tx, tx.unit, outcomes)
        await store.reserve(tx, tx.unit, outcomes)
        await tx.set_timers(decisions.timers_from(outcomes))
        for outcome in outcomes:
            self._counted(outcome.decision.outcome, outcome.decision.gate)
        told = await counting.note(tx, self._company.zone, counting.of_outcomes(outcomes, tx.now))
        return [*decisions.facts_from(outcomes), *told]

    def _in_force(self, tx: UnitTx) -> Library:
        """The campaigns of the newest snapshot; never an older one than this unit has already decided by."""
        snapshot = self._library.require()
        if snapshot.number < tx.snapshot:
            raise NotCaughtUp(f"campaigns: snapshot {tx.snapshot} is in force, {snapshot.number} is known here")
        tx.snapshot = snapshot.number
        return snapshot.content


def _id_of(settled: MessageSettled) -> UUID:
    try:
        return UUID(settled.message_id)
    except ValueError as error:
        raise Poison(f"{settled.message_id!r} is not the id of a message") from error

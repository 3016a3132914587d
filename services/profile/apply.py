"""What happens to a customer when something is known to be theirs? Facts in, resolved events and profiles out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from libs.common.clock import derived_id, to_ms
from libs.common.errors import TooManyHops
from libs.common.events import (
    HOPS_MAX,
    CommandIssued,
    EventIdentified,
    EventReceived,
    Fact,
    ResponseReceived,
    RuleTriggered,
)
from libs.common.timers import Timer
from libs.common.unit import Message, Tombstone, UnitTx
from services.profile import everyone, holding, person
from services.profile.cabinet import Cabinet
from services.profile.commands import ERASE, KINDS
from services.profile.holding import Held, Membership
from services.profile.person import Definitions, Occurrence
from services.profile.person.points import Standing
from services.profile.points import keeping as points
from services.profile.points.keeping import PointsKeeper
from services.profile.privacy.emptying import TIMERS as TOMBSTONES
from services.profile.privacy.emptying import erase, tombstones_again
from services.profile.projecting import Happened, Projection
from services.profile.reference.catalogue import Catalogue
from services.profile.reference.enriching import Enriching
from services.profile.refolding import KIND as REFOLD
from services.profile.refolding import Refolding, of_job
from services.profile.regrouping import both, regrouped
from services.profile.resolving import resolved
from services.profile.store import commands as command_store
from services.profile.timeline import Line, Origin, line

HISTORY_AFTER: Final = timedelta(days=2)
"""What time brought about longer ago than this is told as history: nobody is to act on it any more."""

TIME: Final = "dangol/profile/time"
_json: Final = msgspec.json.Encoder()
_received: Final = msgspec.json.Decoder(EventReceived)
_object: Final = msgspec.json.Decoder(dict[str, Any])


class Work(Happened, gc=False):
    """What happened, with where it comes from and what it says of who belongs to the person."""

    origin: Origin
    membership: Membership | None = None


class Apply:
    """One instance for all units; all state is in the transaction's cache."""

    def __init__(
        self,
        definitions: Callable[[], Definitions] = Definitions,
        projections: Sequence[Projection] = (),
        partitions: int = 1,
        catalogue: Callable[[], Catalogue] = Catalogue,
    ) -> None:
        self._definitions = definitions
        self._projections = projections
        self._points = PointsKeeper(partitions)
        self._enriching = Enriching(catalogue)
        self._refolding = Refolding(definitions, projections)

    async def on_identified(self, batch: Sequence[Message[EventIdentified]], tx: UnitTx) -> Sequence[Fact]:
        work = [_identified(each.event) for each in batch if not each.event.everyone]
        facts = await self._apply(work, tx)
        if len(work) < len(batch):
            spread = [_identified(each.event) for each in batch if each.event.everyone]
            facts += await everyone.resolved(spread, self._enriching, tx)
        return facts

    async def on_triggered(self, batch: Sequence[Message[RuleTriggered]], tx: UnitTx) -> Sequence[Fact]:
        """Rules that set fields; more hops than allowed are refused, so that rules cannot run in circles."""
        work = []
        for each in batch:
            fact = each.event
            if not fact.sets:
                continue
            if fact.hops > HOPS_MAX:
                raise TooManyHops(f"rule {fact.rule_id} would set fields after {fact.hops} automatic effects")
            source = f"dangol/rules/{fact.rule_id}"
            origin = Origin(
                fact.occurred_at, source, "", None, msgspec.Raw(_json.encode(fact.sets)), fact.received_ms, fact.hops
            )
            event = _occurrence("profile.changed", f"set:{fact.trigger_id}", fact.sets, origin)
            work.append(Work(fact.customer_id, event, origin))
        return await self._apply(work, tx)

    async def on_responses(self, batch: Sequence[Message[ResponseReceived]], tx: UnitTx) -> Sequence[Fact]:
        work = []
        for each in batch:
            fact = each.event
            data = {
                "message_id": fact.message_id,
                "campaign_id": fact.campaign_id,
                "channel": fact.channel,
                **fact.data,
            }
            raw = msgspec.Raw(_json.encode(data))
            origin = Origin(fact.time, "dangol/notify", fact.channel, None, raw, each.append_ms)
            work.append(Work(fact.customer_id, _occurrence(fact.type, fact.id, data, origin), origin))
        return await self._apply(work, tx)

    async def on_commands(self, batch: Sequence[Message[CommandIssued]], tx: UnitTx) -> Sequence[Fact | Tombstone]:
        commands = {each.event.command_id: each.event for each in batch}
        # To fold again twice is as once: the commands of a job, one for every customer, are not remembered.
        refolds = [command for command in commands.values() if command.kind == REFOLD and of_job(command)]
        facts: list[Fact | Tombstone] = [*await self._refolding.run(refolds, tx)] if refolds else []
        if len(refolds) == len(commands):
            return facts
        known = {*await command_store.known_commands(tx, list(commands)), *(each.command_id for each in refolds)}
        notes: list[tuple[str, str, str, int]] = []
        plain: list[CommandIssued] = []
        for command in commands.values():
            if command.command_id in known:
                continue
            if command.kind in KINDS and command.if_version is None:
                plain.append(command)
                continue
            facts += await self._obey_all(plain, notes, tx)
            plain.clear()
            outcome, found = await self._obey(command, tx)
            version = (await self._one(command.customer_id, tx)).customer.version
            notes.append((command.command_id, command.customer_id, outcome, version))
            facts += found
        facts += await self._obey_all(plain, notes, tx)
        await command_store.note_commands(tx, tx.unit, notes, tx.now)
        return facts

    async def _obey_all(
        self, commands: Sequence[CommandIssued], notes: list[tuple[str, str, str, int]], tx: UnitTx
    ) -> Sequence[Fact | Tombstone]:
        """Commands that depend on nothing are applied together: each trip to the database is paid once."""
        cabinet = self._cabinet(tx)
        await cabinet.open({each.customer_id for each in commands})
        customers = {each.customer_id: cabinet[each.customer_id].customer for each in commands}
        unknown = {name for name, customer in customers.items() if customer.version == 0 or customer.erased}
        facts = await self._apply([_ordered(each) for each in commands if each.customer_id not in unknown], tx)
        for each in commands:
            outcome = "unknown" if each.customer_id in unknown else ""
            notes.append((each.command_id, each.customer_id, outcome, customers[each.customer_id].version))
        return facts

    async def _obey(self, command: CommandIssued, tx: UnitTx) -> tuple[str, Sequence[Fact | Tombstone]]:
        held = await self._one(command.customer_id, tx)
        if command.kind == ERASE:
            await self._points.forfeit(tx, command.customer_id)
            return "", await erase(self._cabinet(tx), held, command)
        if held.customer.version == 0 or held.customer.erased:
            return "unknown", ()
        if command.if_version is not None and command.if_version != held.customer.version:
            return "stale", ()
        if command.kind == REFOLD:
            return "", await self._refolding.run([command], tx)
        return "", await self._apply([_ordered(command)], tx)

    async def _one(self, customer_id: str, tx: UnitTx) -> Held:
        cabinet = self._cabinet(tx)
        await cabinet.open([customer_id])
        return cabinet[customer_id]

    async def on_timers(self, due: Sequence[Timer], tx: UnitTx) -> Sequence[Fact | Tombstone]:
        """What nothing but time, or another unit, brings about; the beginning of a key says which."""
        accounts = [each for each in due if each.key.startswith(points.TIMERS)]
        erased = [each for each in due if each.key.startswith(TOMBSTONES)]
        days = [each for each in due if not each.key.startswith((points.TIMERS, TOMBSTONES))]
        facts = await self._look_at_accounts(accounts, tx) if accounts else []
        facts += await self._let_days_pass(days, tx) if days else []
        return [*facts, *await tombstones_again(erased, tx)] if erased else facts

    async def _look_at_accounts(self, due: Sequence[Timer], tx: UnitTx) -> list[Fact]:
        """Points that are over go, as an event; what another unit did to an account is only taken over."""
        cabinet = self._cabinet(tx)
        instants = {points.record_of(each): each.due for each in reversed(due)}
        await cabinet.open(instants)
        instants = {each: at for each, at in instants.items() if not cabinet[each].customer.erased}
        work = []
        for customer_id, found in (await self._points.expire(cabinet, instants)).items():
            points.take_over(cabinet[customer_id], found.before)
            if found.entry is not None:
                origin = Origin(instants[customer_id], TIME, "", None, found.told, to_ms(tx.now))
                origin.history = origin.time < tx.now - HISTORY_AFTER
                event = _occurrence("points.expired", found.entry.id, {}, origin)
                event.standing = Standing(found.after)
                work.append(Work(customer_id, event, origin))
        facts: list[Fact] = [*await cabinet.close(instants, (), ())]
        return facts + await self._apply(work, tx)

    async def _let_days_pass(self, due: Sequence[Timer], tx: UnitTx) -> list[Fact]:
        """Days on which something about a customer changes although nothing happens; the key is the customer's id."""
        cabinet = self._cabinet(tx)
        definitions = cabinet.definitions
        await cabinet.open({each.key for each in due})
        facts: list[Fact] = []
        timeline: list[Line] = []
        for timer in due:
            held = cabinet[timer.key]
            day = definitions.day_of(to_ms(timer.due))
            eldest = cabinet.eldest(held)
            # Every record of a person has the timer, for their units do not see one another; one of them speaks.
            silent = eldest is not None and (eldest.due_day == day or eldest.passed_day >= day)
            changed, encoded = holding.passed(held, day, definitions, cabinet.others(held), tx.now)
            if silent or not changed:
                continue
            origin = Origin(timer.due, TIME, "", None, msgspec.Raw(b"{}"), to_ms(tx.now))
            origin.history = timer.due < tx.now - HISTORY_AFTER
            event = _occurrence("profile.time_passed", str(derived_id("time", timer.key, day)), {}, origin)
            facts.append(resolved(held, event, origin, changed, encoded))
            timeline.append(line(timer.key, event, origin, changed))
        facts += await cabinet.close({each.key for each in due}, (), timeline)
        return facts

    async def _apply(self, work: Sequence[Work], tx: UnitTx) -> list[Fact]:
        if not work:
            return []
        cabinet = self._cabinet(tx)
        customers = {each.customer_id for each in work}
        await cabinet.open(customers, (other for each in work if each.membership for other in each.membership[1]))
        if any(cabinet[customer_id].customer.erased for customer_id in customers):
            # What was on its way when they were erased has come too late.
            work = [each for each in work if not cabinet[each.customer_id].customer.erased]
        await self._enriching.enrich(work, tx)
        customers |= await self._points.enter(cabinet, _people(cabinet, work))
        facts: list[Fact] = []
        timeline: list[Line] = []
        for each in work:
            held = cabinet[each.customer_id]
            # Who belongs together is news, also when it is known by what is none: the notice that follows tells it.
            joined = regrouped(cabinet, held, each.membership) if each.membership and each.origin.is_news else None
            others = cabinet.others(held)
            changed, encoded = holding.step(held, each.event, cabinet.definitions, others, tx.now)
            changed = both(joined, changed) if joined else changed
            facts.append(resolved(held, each.event, each.origin, changed, encoded, others))
            timeline.append(line(each.customer_id, each.event, each.origin, changed))
        facts += await cabinet.close(customers, work, timeline)
        return facts

    def _cabinet(self, tx: UnitTx) -> Cabinet:
        return Cabinet(tx, self._definitions(), self._projections)


def _people(cabinet: Cabinet, work: Sequence[Work]) -> Iterator[tuple[str, Occurrence, Sequence[str]]]:
    """What happened, with all records of the person at that moment."""
    known: dict[str, tuple[int, Sequence[str]]] = {}
    for each in work:
        customer = cabinet[each.customer_id].customer
        revision, records = known.get(each.customer_id) or (customer.links_revision, customer.linked)
        if each.membership is not None:
            _, linked, newer = each.membership
            if newer > revision or (newer == revision == 0 and len(linked) > len(records)):
                revision, records = known[each.customer_id] = newer, linked
        yield each.customer_id, each.event, records or (each.customer_id,)


def _ordered(command: CommandIssued) -> Work:
    source = f"dangol/api/{command.actor}"
    origin = Origin(command.issued_at, source, "", None, command.body, to_ms(command.issued_at), reason=command.reason)
    event = _occurrence(KINDS[command.kind], command.command_id, _object.decode(command.body), origin)
    return Work(command.customer_id, event, origin)


def _identified(fact: EventIdentified) -> Work:
    event = _received.decode(fact.event)
    origin = Origin(
        event.time,
        event.source,
        fact.channel or event.channel,
        event.branch,
        event.data,
        fact.received_ms,
        history=event.history,
        traffic=fact.traffic,
    )
    data = _object.decode(event.data) if person.has_effect(event.type) else {}
    occurrence = _occurrence(event.type, event.id, data, origin)
    occurrence.identifiers = fact.identifiers
    return Work(fact.customer_id, occurrence, origin, (fact.person_id, fact.linked, fact.links_revision))


def _occurrence(kind: str, event_id: str, data: dict[str, Any], origin: Origin) -> Occurrence:
    return Occurrence(
        kind,
        to_ms(origin.time),
        origin.source,
        event_id,
        data,
        {},
        origin.channel,
        origin.branch or "",
        origin.received_ms,
        origin.history,
        origin.traffic,
    )

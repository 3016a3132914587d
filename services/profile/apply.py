"""What happens to a customer when something is known to be theirs? Facts in, resolved events and profiles out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.clock import to_ms
from libs.common.errors import TooManyHops
from libs.common.events import (
    HOPS_MAX,
    Change,
    CommandIssued,
    EventIdentified,
    EventReceived,
    EventResolved,
    Fact,
    ProfileUpdated,
    ResponseReceived,
    RuleTriggered,
)
from libs.common.unit import Message, UnitTx
from services.profile import person, store
from services.profile.person import Customer, Occurrence

CUSTOMERS_CACHED_MAX = 20_000
"""Per unit; the cache is emptied when it is over, which is seldom and cheap beside an eviction order."""

_COMMANDS = {
    "set_traits": "profile.changed",
    "give_consent": "consent_given",
    "withdraw_consent": "consent_withdrawn",
}
_PRIVATE_WORD = re.compile(b'"(?:' + "|".join(sorted(person.PRIVATE)).encode() + b')"')
_json = msgspec.json.Encoder()
_state = msgspec.msgpack.Encoder()
_state_decoder = msgspec.msgpack.Decoder(Customer)
_received = msgspec.json.Decoder(EventReceived)
_object = msgspec.json.Decoder(dict[str, Any])


class Held(Struct, gc=False):
    """A customer in the unit's cache, with the view and the delivery view that follow from its present state."""

    customer: Customer
    view: dict[str, Any]
    encoded: bytes
    delivery: ProfileUpdated
    dirty: bool = False


class Origin(Struct, gc=False):
    """Where an event comes from, as far as its resolved form repeats it."""

    time: datetime
    source: str
    channel: str
    branch: str | None
    raw: msgspec.Raw
    received_ms: int
    hops: int = 0
    history: bool = False
    traffic: str = ""


class Apply:
    """One instance for all units; all state is in the transaction's cache."""

    async def on_identified(self, batch: Sequence[Message[EventIdentified]], tx: UnitTx) -> Sequence[Fact]:
        work: list[tuple[str, Occurrence, Origin]] = []
        for each in batch:
            fact = each.event
            event = _received.decode(fact.event)
            known = event.type in person.EFFECTS
            occurrence = Occurrence(
                event.type,
                to_ms(event.time),
                event.source,
                event.id,
                _object.decode(event.data) if known else {},
                fact.identifiers,
                fact.linked,
                fact.person_id,
            )
            channel = fact.channel or event.channel
            origin = Origin(
                event.time,
                event.source,
                channel,
                event.branch,
                event.data,
                fact.received_ms,
                history=event.history,
                traffic=fact.traffic,
            )
            work.append((fact.customer_id, occurrence, origin))
        return await self._apply(work, tx)

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
            raw = msgspec.Raw(_json.encode(fact.sets))
            occurrence = Occurrence(
                "profile.changed", to_ms(fact.occurred_at), source, f"set:{fact.trigger_id}", fact.sets
            )
            work.append(
                (
                    fact.customer_id,
                    occurrence,
                    Origin(fact.occurred_at, source, "", None, raw, fact.received_ms, fact.hops),
                )
            )
        return await self._apply(work, tx)

    async def on_responses(self, batch: Sequence[Message[ResponseReceived]], tx: UnitTx) -> Sequence[Fact]:
        work = []
        for each in batch:
            fact = each.event
            data = {"channel": fact.channel, **fact.data}
            about = {"message_id": fact.message_id, "campaign_id": fact.campaign_id, **data}
            occurrence = Occurrence(fact.type, to_ms(fact.time), "dangol/notify", fact.id, data)
            raw = msgspec.Raw(_json.encode(about))
            work.append(
                (
                    fact.customer_id,
                    occurrence,
                    Origin(fact.time, "dangol/notify", fact.channel, None, raw, each.append_ms),
                )
            )
        return await self._apply(work, tx)

    async def on_commands(self, batch: Sequence[Message[CommandIssued]], tx: UnitTx) -> Sequence[Fact]:
        known = await store.known_commands(tx, [each.event.command_id for each in batch])
        facts: list[Fact] = []
        notes: list[tuple[str, str, str, int]] = []
        for command in {each.event.command_id: each.event for each in batch}.values():
            if command.command_id in known:
                continue
            outcome, found = await self._obey(command, tx)
            held = _cache(tx).get(command.customer_id)
            version = held.customer.version if held is not None else 0
            notes.append((command.command_id, command.customer_id, outcome, version))
            facts += found
        await store.note_commands(tx, tx.unit, notes, tx.now)
        return facts

    async def _obey(self, command: CommandIssued, tx: UnitTx) -> tuple[str, Sequence[Fact]]:
        await self._load({command.customer_id}, tx)
        held = _cache(tx)[command.customer_id]
        if held.customer.version == 0:
            return "unknown", ()
        if command.if_version is not None and command.if_version != held.customer.version:
            return "stale", ()
        source = f"dangol/api/{command.actor}"
        body = _object.decode(command.body)
        at_ms = to_ms(command.issued_at)
        occurrence = Occurrence(_COMMANDS[command.kind], at_ms, source, command.command_id, body)
        origin = Origin(command.issued_at, source, "", None, command.body, at_ms)
        return "", await self._apply([(command.customer_id, occurrence, origin)], tx)

    async def _apply(self, work: Sequence[tuple[str, Occurrence, Origin]], tx: UnitTx) -> list[Fact]:
        if not work:
            return []
        cache = _cache(tx)
        await self._load({customer_id for customer_id, _, _ in work}, tx)
        others = await self._others(work, tx)
        facts: list[Fact] = []
        timeline = []
        touched: set[str] = set()
        for customer_id, occurrence, origin in work:
            held = cache[customer_id]
            facts.append(_step(customer_id, held, occurrence, origin, others))
            timeline.append(_line(customer_id, occurrence, origin))
            if held.dirty:
                touched.add(customer_id)
        for customer_id in sorted(touched):
            held = cache[customer_id]
            held.dirty = False
            delivery = person.for_delivery(customer_id, held.customer, tx.now)
            if _says_more(delivery, held.delivery):
                held.delivery = delivery
                facts.append(delivery)
        states = [(each, cache[each].customer.version, _state.encode(cache[each].customer)) for each in touched]
        await store.save(tx, tx.unit, states, timeline)
        return facts

    async def _load(self, customer_ids: set[str], tx: UnitTx) -> None:
        cache = _cache(tx)
        missing = {each for each in customer_ids if each not in cache}
        if not missing:
            return
        if len(cache) + len(missing) > CUSTOMERS_CACHED_MAX:
            cache.clear()
            missing = customer_ids
        bodies = await store.load_customers(tx, missing)
        for customer_id in missing:
            body = bodies.get(customer_id)
            customer = _state_decoder.decode(body) if body is not None else Customer(customer_id)
            view = person.view([customer])
            delivery = person.for_delivery(customer_id, customer, tx.now)
            cache[customer_id] = Held(customer, view, _json.encode(view), delivery)

    async def _others(self, work: Sequence[tuple[str, Occurrence, Origin]], tx: UnitTx) -> dict[str, Customer]:
        """The other records of the people concerned, as committed: they belong to other units and are only read."""
        cache = _cache(tx)
        wanted: set[str] = set()
        for customer_id, occurrence, _ in work:
            linked = set(occurrence.linked) | set(cache[customer_id].customer.linked)
            wanted |= linked - {customer_id}
        if not wanted:
            return {}
        bodies = await store.load_customers(tx, wanted)
        return {customer_id: _state_decoder.decode(body) for customer_id, body in bodies.items()}


def _cache(tx: UnitTx) -> dict[str, Held]:
    held: dict[str, Held] = tx.cache.setdefault("customers", {})
    return held


def _step(
    customer_id: str, held: Held, occurrence: Occurrence, origin: Origin, others: dict[str, Customer]
) -> EventResolved:
    customer = held.customer
    before, encoded = _seen(customer_id, held, others)
    changed: dict[str, Change] = {}
    if person.apply(customer, occurrence):
        held.dirty = True
        held.view = person.view([customer])
        held.encoded = _json.encode(held.view)
        after, encoded = _seen(customer_id, held, others)
        changed = person.differences(before, after)
    return EventResolved(
        occurrence.id,
        customer_id,
        customer.person_id,
        occurrence.type,
        origin.source,
        origin.time,
        origin.received_ms,
        channel=origin.channel,
        branch=origin.branch,
        data=_scrubbed(origin.raw),
        profile=msgspec.Raw(encoded),
        changed=changed,
        linked=customer.linked,
        hops=origin.hops,
        history=origin.history,
        traffic=origin.traffic,
    )


def _seen(customer_id: str, held: Held, others: dict[str, Customer]) -> tuple[dict[str, Any], bytes]:
    """The person's view: the record's own, unless other records belong to the person too."""
    linked = [others[each] for each in held.customer.linked if each != customer_id and each in others]
    if not linked:
        return held.view, held.encoded
    view = person.view([held.customer, *linked])
    return view, _json.encode(view)


def _scrubbed(raw: msgspec.Raw) -> msgspec.Raw:
    """Leave data alone that cannot hold a private field: looking for the words costs less than decoding."""
    if _PRIVATE_WORD.search(raw) is None:
        return raw
    return msgspec.Raw(_json.encode(person.without_contact_data(_object.decode(raw))))


def _says_more(new: ProfileUpdated, old: ProfileUpdated) -> bool:
    """Whether two delivery views differ in more than their version and instant."""
    return any(
        getattr(new, name) != getattr(old, name)
        for name in ("person_id", "contacts", "consents", "zone", "suppressed", "attributes", "linked")
    )


def _line(customer_id: str, occurrence: Occurrence, origin: Origin) -> tuple[Any, ...]:
    return (
        customer_id,
        origin.time,
        occurrence.id,
        occurrence.type,
        origin.source,
        origin.channel,
        bytes(origin.raw),
    )

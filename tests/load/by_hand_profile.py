"""How would somebody write the two stages of profile who needs them once? With the same hearts, in a straight line."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.common.clock import from_ms, now, to_ms
from libs.common.events import EventIdentified, EventReceived, EventResolved, ProfileUpdated
from libs.common.topics import EVENT_IDENTIFIED, EVENT_RESOLVED, PROFILE_UPDATED
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from tests.load import by_hand
from tests.load.by_hand import Sent
from tests.load.meter import Meter

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Customer).decode
_fact = msgspec.json.Decoder(EventIdentified).decode
_event = msgspec.json.Decoder(EventReceived).decode
_object = msgspec.json.Decoder(dict[str, Any]).decode
_DEFINED = Definitions()
_private = [f'"{name}"'.encode() for name in person.PRIVATE]

_LOAD = "SELECT customer_id, body FROM customer WHERE customer_id = ANY($1::uuid[])"
_SAVE = """
    INSERT INTO customer (unit, customer_id, version, body)
    SELECT 0, * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[])
    ON CONFLICT (customer_id) DO UPDATE SET version = excluded.version, body = excluded.body
"""
_LINE = ("unit", "customer_id", "time", "event_id", "type", "source", "channel", "body", "told")


async def apply(database_url: str, bootstrap: str, meter: Meter) -> None:
    known: dict[str, Customer] = {}
    views: dict[str, dict[str, Any]] = {}
    told: dict[str, ProfileUpdated] = {}

    async def work(connection: Any, records: list[Any]) -> list[Sent]:
        facts = [_fact(record.value) for record in records]
        if missing := {fact.customer_id for fact in facts} - known.keys():
            rows = await connection.fetch(_LOAD, list(missing))
            known.update({each: Customer(each) for each in missing})
            known.update({str(row["customer_id"]): _unpack(row["body"]) for row in rows})
        out: list[Sent] = []
        lines: list[tuple[Any, ...]] = []
        at = now()
        today = Moment(_DEFINED.day_of(to_ms(at)), _DEFINED)
        for fact in facts:
            out.append(_resolved(known[fact.customer_id], views, fact, lines))
        touched = sorted({fact.customer_id for fact in facts})
        for each in touched:
            delivery = person.for_delivery(each, known[each], today, at)
            if _news(delivery, told.get(each)):
                told[each] = delivery
                out.append((PROFILE_UPDATED.name, each.encode(), _encode(delivery)))
        states = [known[each] for each in touched]
        await connection.execute(_SAVE, touched, [each.version for each in states], [_pack(each) for each in states])
        await connection.copy_records_to_table("timeline", records=lines, columns=_LINE)
        return out

    await by_hand.batches(EVENT_IDENTIFIED.name, work, database_url, bootstrap, meter)


def _resolved(
    customer: Customer, views: dict[str, dict[str, Any]], fact: EventIdentified, lines: list[tuple[Any, ...]]
) -> Sent:
    event = _event(fact.event)
    data = bytes(event.data)
    at_ms = to_ms(event.time)
    today = Moment(_DEFINED.day_of(at_ms), _DEFINED)
    before = views.get(fact.customer_id) or person.view([customer], today)
    document = _object(data)
    branch = event.branch or ""
    known = Occurrence(
        event.type, at_ms, event.source, event.id, document, fact.identifiers, fact.channel, branch, fact.received_ms
    )
    person.apply(customer, known, _DEFINED)
    after = views[fact.customer_id] = person.view([customer], today)
    if any(word in data for word in _private):
        data = _encode(person.without_contact_data(document))
    resolved = EventResolved(
        event.id,
        fact.customer_id,
        customer.person_id,
        event.type,
        event.source,
        event.time,
        fact.received_ms,
        channel=fact.channel,
        branch=event.branch,
        data=msgspec.Raw(data),
        profile=msgspec.Raw(_encode(after)),
        changed=person.differences(before, after),
    )
    at = from_ms(at_ms)
    told = _pack((fact.received_ms, fact.identifiers, branch, resolved.changed))
    lines.append((0, fact.customer_id, at, event.id, event.type, event.source, fact.channel, bytes(event.data), told))
    return EVENT_RESOLVED.name, fact.customer_id.encode(), _encode(resolved)


def _news(new: ProfileUpdated, old: ProfileUpdated | None) -> bool:
    return old is None or (new.contacts, new.consents, new.suppressed, new.attributes, new.zone) != (
        old.contacts,
        old.consents,
        old.suppressed,
        old.attributes,
        old.zone,
    )

"""How is an event told onwards? Joined with its customer at that moment, and free of whatever names the person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.common.events import Change, EventResolved
from services.profile import person
from services.profile.holding import Held
from services.profile.person import Customer, Occurrence
from services.profile.person.folding import bit_of
from services.profile.person.private import folded, may_be_private
from services.profile.person.telling import (
    BYTES_MIN,
    last_of,
    may_reach,
    may_tell,
    needles_of,
    said_of,
    without_telling,
)
from services.profile.timeline import Origin

_SAYS_WHO: Final = bit_of("traits") | bit_of("contacts")
_json: Final = msgspec.json.Encoder()
_object: Final = msgspec.json.Decoder(dict[str, Any])


def resolved(
    held: Held,
    event: Occurrence,
    origin: Origin,
    changed: dict[str, Change],
    encoded: bytes,
    others: Sequence[Customer] = (),
) -> EventResolved:
    """`others` are the other records of the person, whose names may be in what is said here."""
    return EventResolved(
        event.id,
        held.id,
        held.customer.person_id,
        event.type,
        origin.source,
        origin.time,
        origin.received_ms,
        channel=origin.channel,
        branch=origin.branch,
        data=_scrubbed(origin.whole or origin.raw, held, event, others),
        profile=msgspec.Raw(encoded),
        changed=changed,
        linked=held.customer.linked,
        hops=origin.hops,
        history=origin.history,
        traffic=origin.traffic,
        region=event.region,
    )


def _scrubbed(raw: msgspec.Raw, held: Held, event: Occurrence, others: Sequence[Customer]) -> msgspec.Raw:
    """Data without what names, reaches or locates a person, by the names of its fields or by what stands in them.

    Data that cannot hold such a thing is left alone, for looking costs less than decoding.
    """
    body = bytes(raw)
    found = folded(body)
    told = may_reach(body) or _may_tell(found, held, event, others)
    if not told and not may_be_private(found):
        return raw
    data = _object.decode(body)
    kept = person.without_contact_data(data)
    if told:
        kept = without_telling(kept, [*event.identifiers.values(), *said_of((held.customer, *others))])
    return raw if kept == data else msgspec.Raw(_json.encode(kept))


def _may_tell(found: bytes, held: Held, event: Occurrence, others: Sequence[Customer]) -> bool:
    """For nearly every event no, so it is quick to say so: little is looked for, and each of it as a whole."""
    needles = held.needles
    if needles is None or held.touched & _SAYS_WHO:
        needles = held.needles = needles_of(said_of((held.customer,)))
    if may_tell(found, needles):
        return True
    for value in event.identifiers.values():
        if len(value) >= BYTES_MIN and "@" not in value and last_of(value) in found:
            return True
    return bool(others) and may_tell(found, needles_of(said_of(others)))

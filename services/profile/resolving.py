"""How is an event told onwards? Joined with its customer at that moment, and free of whatever names the person."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from libs.common.events import Change, EventResolved
from services.profile import person
from services.profile.holding import Held
from services.profile.person import Occurrence
from services.profile.timeline import Origin

_PRIVATE_WORD: Final = re.compile(b'"(?:' + "|".join(sorted(person.PRIVATE)).encode() + b')"')
_json: Final = msgspec.json.Encoder()
_object: Final = msgspec.json.Decoder(dict[str, Any])


def resolved(
    held: Held, event: Occurrence, origin: Origin, changed: dict[str, Change], encoded: bytes
) -> EventResolved:
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
        data=_scrubbed(origin.raw),
        profile=msgspec.Raw(encoded),
        changed=changed,
        linked=held.customer.linked,
        hops=origin.hops,
        history=origin.history,
        traffic=origin.traffic,
    )


def _scrubbed(raw: msgspec.Raw) -> msgspec.Raw:
    """Leave data alone that cannot hold a private field: looking for the words costs less than decoding."""
    if _PRIVATE_WORD.search(raw) is None:
        return raw
    return msgspec.Raw(_json.encode(person.without_contact_data(_object.decode(raw))))

"""What is kept of the context of an item? Everything but what says who or where somebody is.

The context goes into the history, which holds no names and no addresses. Left out are `ip`, `traits` (an identify
call has them in its data), `externalId(s)` and `identity_token`; of `device` its ids, push token and name ("Ada's
phone"); of `location` the coordinates; and e-mail addresses wherever a URL carries them along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct

from services.ingest.segment.objects import EMPTY, encoded, members, without_addresses

_LEFT_OUT: Final = frozenset({"ip", "traits", "identity_token", "externalId", "externalIds", "externalID"})
_LEFT_OUT_WITHIN: Final = {
    "device": frozenset({"id", "advertisingId", "token", "name"}),
    "location": frozenset({"latitude", "longitude", "speed"}),
}
_TOUCHED: Final = _LEFT_OUT | _LEFT_OUT_WITHIN.keys()


class Context(Struct, frozen=True, gc=False):
    """`kept` is the object that goes on, as bytes; `held` are all members as they came."""

    kept: bytes = EMPTY
    held: Mapping[str, Raw] = {}


NOTHING: Final = Context()


def context_of(own: bytes, shared: bytes = b"") -> Context:
    """`shared` is the context of the whole batch, beneath that of the item."""
    if shared:
        own = encoded(members(shared) | members(own))
    held = members(own)
    if not held:
        return NOTHING
    kept = own if _TOUCHED.isdisjoint(held) else encoded(_kept(held))
    return Context(without_addresses(kept), held)


def _kept(held: Mapping[str, Raw]) -> dict[str, object]:
    kept: dict[str, object] = {name: value for name, value in held.items() if name not in _LEFT_OUT}
    for name, left_out in _LEFT_OUT_WITHIN.items():
        if name in kept:
            inner = members(held[name])
            kept[name] = {each: value for each, value in inner.items() if each not in left_out}
    return kept

"""Whom may a browser say that it is? What anybody may say of themselves, and what was proven; the rest is left out.

A browser's key can be read by whoever visits the page, so what comes with it is a stranger's word. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from libs.common.events import IDENTIFIER_TYPES, EventReceived
from services.ingest.refusals import (
    CONSENT_NOT_ALLOWED,
    IDENTITY_NOT_PROVEN,
    UNPROVEN_IDENTITY,
    Reject,
    Violation,
)
from services.ingest.strict import pointer

ANYBODYS: Final = frozenset({"cookie", "device"})
"""Identifiers that name a browser or an app, not a person."""
CONSENT_PREFIX: Final = "consent_"

# Traits that would become contact points or lead to a customer, though they are no identifiers of the event.
_IDENTIFYING_TRAITS: Final = frozenset({*IDENTIFIER_TYPES, "webhook"})
_PARTNER: Final = "partner:"
_SEPARATORS: Final = str.maketrans("", "", " -.()\t")
_REMEDY: Final = "have your server sign who is logged in, and send its token as X-Identity-Token"

E = TypeVar("E", bound=EventReceived)

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def confined(raw: bytes, event: E, proven: Mapping[str, str]) -> tuple[bytes, E, tuple[Violation, ...]]:
    """The event without what it claims and nobody proved, and a word on each thing that was left out.

    The same bytes come out for the same bytes and proofs. Reject when the event speaks of nobody then, and for consent,
    which is never a browser's to give.
    """
    if event.type.startswith(CONSENT_PREFIX):
        raise Reject(CONSENT_NOT_ALLOWED, "/type", "A browser key never sets consent; send it from your server.")
    kept = {kind: value for kind, value in event.identifiers.items() if _believed(kind, value, proven)}
    left_out = [_violation("/identifiers", kind) for kind in event.identifiers if kind not in kept]
    if left_out and not kept:
        first = left_out[0]
        detail = f"The event names a person by nothing that a browser may say without proof; {_REMEDY}."
        raise Reject(IDENTITY_NOT_PROVEN, first.pointer, detail)
    data, from_data = _without_traits(event.data, proven) if event.type == "identify" else (event.data, [])
    if not left_out and not from_data:
        return raw, event, ()
    members: dict[str, object] = dict(_OBJECT.decode(raw))
    if left_out:
        members["identifiers"] = kept
    if from_data:
        members["data"] = data
    kept_event = msgspec.structs.replace(event, identifiers=kept, data=data)
    return msgspec.json.encode(members), kept_event, (*left_out, *from_data)


def _believed(kind: str, value: str, proven: Mapping[str, str]) -> bool:
    if kind in ANYBODYS:
        return True
    held = proven.get(kind)
    return held is not None and _form(kind, held) == _form(kind, value)


def _form(kind: str, value: str) -> str:
    """Near enough to tell a wrong claim from another way of writing; the exact form is found where people are."""
    if kind == "email":
        return value.strip().lower()
    return value.translate(_SEPARATORS) if kind == "phone" else value.strip()


def _without_traits(data: Raw, proven: Mapping[str, str]) -> tuple[Raw, list[Violation]]:
    """`data` as its reader takes it: the traits stand in `traits`, or are the data itself where there is none."""
    try:
        outer = _OBJECT.decode(data)
        inner = _OBJECT.decode(outer["traits"]) if "traits" in outer else outer
    except _UNREADABLE:
        # Data of another shape carries no traits.
        return data, []
    bad = [name for name, value in inner.items() if _identifies(name) and not _is_proven(name, value, proven)]
    if not bad:
        return data, []
    kept = {name: value for name, value in inner.items() if name not in bad}
    where = "/data/traits" if "traits" in outer else "/data"
    whole: dict[str, object] = {**outer, "traits": kept} if "traits" in outer else dict(kept)
    return Raw(msgspec.json.encode(whole)), [_violation(where, name) for name in bad]


def _identifies(name: str) -> bool:
    """Whether it would lead to a person, reach one, or stand in the profile where their consent stands."""
    return name in _IDENTIFYING_TRAITS or name.startswith((_PARTNER, CONSENT_PREFIX))


def _is_proven(name: str, value: Raw, proven: Mapping[str, str]) -> bool:
    if name not in proven:
        return False
    try:
        return _believed(name, _TEXT.decode(value), proven)
    except _UNREADABLE:
        return False


def _violation(where: str, name: str) -> Violation:
    at = where + pointer([name])
    detail = f"A browser's word is no proof of this, so it was left out; {_REMEDY}."
    return Violation(at, UNPROVEN_IDENTITY, detail)

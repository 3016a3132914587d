"""To what has a customer agreed? The newest statement on a channel counts, of two at the same instant the refusal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.statements import granted_channels, withdrawn_channels


class Permission(Struct, array_like=True, gc=False):
    granted: bool
    at_ms: int
    source: str = ""


class Consents(Struct, array_like=True, gc=False):
    held: dict[str, Permission] = {}


def _state(held: Consents, channel: str, granted: bool, at_ms: int, source: str) -> bool:
    return _keep(held.held, channel, Permission(granted, at_ms, source))


def _keep(held: dict[str, Permission], channel: str, found: Permission) -> bool:
    known = held.get(channel)
    if known is not None and _rank(known) >= _rank(found):
        return False
    held[channel] = found
    return True


def _rank(said: Permission) -> tuple[int, bool, str]:
    return said.at_ms, not said.granted, said.source


def _given(held: Consents, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    # A consent dated into the future would outlive a withdrawal that follows it.
    at_ms = min(event.at_ms, event.received_ms) if event.received_ms else event.at_ms
    return any([_state(held, each, True, at_ms, event.source) for each in granted_channels(event.data)])


def _withdrawn(held: Consents, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return any([_state(held, each, False, event.at_ms, event.source) for each in withdrawn_channels(event.data)])


def _unsubscribed(held: Consents, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _state(held, str(event.data.get("channel") or "email"), False, event.at_ms, "unsubscribe")


def _marked_as_spam(held: Consents, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _state(held, str(event.data.get("channel") or "email"), False, event.at_ms, "spam complaint")


def all_consents(records: Iterable[Any]) -> dict[str, Permission]:
    merged: dict[str, Permission] = {}
    for record in records:
        if record.consents is not None:
            for channel, found in record.consents.held.items():
                _keep(merged, channel, found)
    return merged


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {f"consent_{channel}": said.granted for channel, said in all_consents(records).items()}


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {
        channel: {"granted": said.granted, "at": from_ms(said.at_ms), "source": said.source}
        for channel, said in all_consents(records).items()
    }


CONSENTS = Chapter(
    "consents",
    reads=("consents",),
    keeps="consents",
    state=Consents,
    effects={
        "consent_given": _given,
        "consent_withdrawn": _withdrawn,
        "message.unsubscribed": _unsubscribed,
        "message.complained": _marked_as_spam,
    },
    fields=_fields,
    shown=_shown,
    reserved=lambda name: name.startswith("consent_"),
)

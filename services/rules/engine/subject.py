"""What does a rule see of an event? Its data, and beneath them its envelope. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.common.events import EventResolved
from services.rules.engine.snapshot import ENVELOPE

_object = msgspec.json.Decoder(dict[str, Any])


def subject_of(event: EventResolved, envelope: Sequence[str]) -> dict[str, Any]:
    """The data of an event as an object, with what is wanted of its envelope beneath."""
    try:
        subject = _object.decode(event.data)
    except msgspec.DecodeError:
        # Data that is no object has no fields; the event still counts as an event of its type.
        subject = {}
    for name in envelope:
        if name not in subject:
            subject[name] = _of_envelope(event, name)
    return subject


def _of_envelope(event: EventResolved, name: str) -> str | None:
    """A channel or a region that nobody named is missing, as a branch is."""
    return event.time.isoformat() if name == "time" else getattr(event, name) or None


def with_envelope(event: EventResolved, subject: dict[str, Any]) -> dict[str, Any]:
    # A change is looked at in events of any type, whose data nobody has decoded yet.
    whole = subject or subject_of(event, ())
    return {name: _of_envelope(event, name) for name in ENVELOPE if name not in whole} | whole

"""Is this the channel event? Its shape with all limits, and a precise word on what breaks them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from libs.common.events import IDENTIFIER_TYPES, EventReceived
from services.ingest.refusals import (
    MALFORMED,
    UNKNOWN_ATTRIBUTE,
    UNKNOWN_IDENTIFIER,
    WRONG_TIME,
    Reject,
)
from services.ingest.schemas.hints import nearest
from services.ingest.strict import pointer, printable

NAME_LENGTH_MAX: Final = 200
IDENTIFIER_LENGTH_MAX: Final = 256
IDENTIFIERS_MAX: Final = 20
BRANCH_LENGTH_MAX: Final = 200

_KNOWN_IDENTIFIERS = frozenset(IDENTIFIER_TYPES)
_PARTNER = re.compile(r"partner:[a-z0-9][a-z0-9_-]{0,63}\Z")

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Identifier = Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_LENGTH_MAX)]


class Envelope(EventReceived, frozen=True, forbid_unknown_fields=True):
    """A channel event as the door demands it; whoever reads the log reads it as EventReceived."""

    id: Name
    source: Name
    type: Name
    time: Annotated[datetime, Meta(tz=True)]
    channel: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    identifiers: Annotated[dict[str, Identifier], Meta(max_length=IDENTIFIERS_MAX)] = {}
    branch: Annotated[str, Meta(min_length=1, max_length=BRANCH_LENGTH_MAX)] | None = None


ATTRIBUTES: Final = tuple(field.name for field in msgspec.structs.fields(Envelope))
_DECODER = msgspec.json.Decoder(Envelope)
decode = _DECODER.decode


def check_text(event: EventReceived) -> None:
    """What the shape alone does not say: no control characters, known identifiers that are not blank."""
    if not (event.id.isprintable() and event.source.isprintable()):
        _check_characters("id", event.id)
        _check_characters("source", event.source)
    for kind, value in event.identifiers.items():
        if kind not in _KNOWN_IDENTIFIERS and not _PARTNER.match(kind):
            raise _unknown_identifier(kind)
        if value.isspace():
            raise _blank_identifier(kind)
    if event.branch is not None and not event.branch.isprintable():
        _check_characters("branch", event.branch)


def explain(document: Mapping[str, Any], found: str) -> Reject:
    """Why `document` is no channel event; `found` is msgspec's word, for want of a better one."""
    for name in document:
        if name not in ATTRIBUTES:
            hint = nearest(name, ATTRIBUTES) or f" The attributes are {', '.join(ATTRIBUTES)}."
            detail = f"An event has no attribute {printable(name, 60)!r}; what is your own goes into data.{hint}"
            return Reject(UNKNOWN_ATTRIBUTE, pointer([name]), detail)
    for name in ("id", "source", "type", "time"):
        if name not in document:
            return Reject(MALFORMED, f"/{name}", f"The attribute {name!r} is missing.")
    for name in ("id", "source", "type"):
        if fault := _fault_of_name(document[name], NAME_LENGTH_MAX):
            return Reject(MALFORMED, f"/{name}", f"{name} {fault}.")
    return _of_time(document["time"]) or _of_the_rest(document) or Reject(MALFORMED, "", f"{found}.")


def _of_time(value: Any) -> Reject | None:
    if isinstance(value, str):
        try:
            instant = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            instant = None
        if instant is not None and instant.tzinfo is not None:
            return None
        if instant is not None:
            detail = "time has no offset from UTC; send it with one, such as 2026-11-21T10:15:00+09:00 or …Z."
            return Reject(WRONG_TIME, "/time", detail)
    return Reject(WRONG_TIME, "/time", "time is not an RFC 3339 instant such as 2026-11-21T10:15:00+09:00.")


def _of_the_rest(document: Mapping[str, Any]) -> Reject | None:
    channel = document.get("channel", "")
    if not isinstance(channel, str) or len(channel) > NAME_LENGTH_MAX:
        return Reject(MALFORMED, "/channel", f"channel is not a text of at most {NAME_LENGTH_MAX} characters.")
    branch = document.get("branch")
    if branch is not None and (fault := _fault_of_name(branch, BRANCH_LENGTH_MAX)):
        return Reject(MALFORMED, "/branch", f"branch {fault}.")
    if not isinstance(document.get("history", False), bool):
        return Reject(MALFORMED, "/history", "history is not true or false.")
    return _of_identifiers(document.get("identifiers", {}))


def _of_identifiers(held: Any) -> Reject | None:
    if not isinstance(held, dict):
        detail = 'identifiers is not an object such as {"loyalty_card": "8801-1234"}.'
        return Reject(MALFORMED, "/identifiers", detail)
    if len(held) > IDENTIFIERS_MAX:
        return Reject(MALFORMED, "/identifiers", f"There are more than {IDENTIFIERS_MAX} identifiers.")
    for kind, value in held.items():
        if fault := _fault_of_name(value, IDENTIFIER_LENGTH_MAX):
            return Reject(MALFORMED, pointer(["identifiers", kind]), f"The identifier {fault}.")
    return None


def _fault_of_name(value: Any, length_max: int) -> str:
    if not isinstance(value, str):
        return "is not a text; write it in quotes"
    if not value:
        return "is empty"
    return f"is longer than {length_max} characters" if len(value) > length_max else ""


def _check_characters(name: str, value: str) -> None:
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise Reject(MALFORMED, f"/{name}", f"{name} contains a control character.")


def _unknown_identifier(kind: str) -> Reject:
    hint = nearest(kind, IDENTIFIER_TYPES)
    detail = f"No identifier type is named {printable(kind, 60)!r}.{hint} "
    detail += f"The types are {', '.join(IDENTIFIER_TYPES)} and partner:<name>."
    return Reject(UNKNOWN_IDENTIFIER, pointer(["identifiers", kind]), detail)


def _blank_identifier(kind: str) -> Reject:
    return Reject(MALFORMED, pointer(["identifiers", kind]), "The identifier is blank; leave it out instead.")

"""By which addresses can a customer be reached, and since when? They come with identifiers and with traits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from libs.common.addresses import address_mark
from services.profile import normal
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, keep_by_mark, newest_of, text_of
from services.profile.person.occurrence import Occurrence
from services.profile.person.traits import statements

CONTACT_KINDS = {"email": "email", "phone": "phone", "device": "push", "webhook": "webhook"}
"""Which traits and identifiers are contact points, and the name under which delivery knows them."""

POST: Final = "post"
_POSTAL: Final = ("address", "street", "postal_code", "zip", "city")
_SEEN_IN_VIEW: Final = frozenset({"has_email", "has_phone", "has_device"})
ADDRESS_LENGTH_MAX: Final = 4_096
SINCE_MAX: Final = 32


class Point(Statement, array_like=True, order=True, frozen=True, gc=False):
    value: str
    source: str = ""


class Contacts(Struct, array_like=True, gc=False):
    """The newest statement by contact point; of the postal address only its mark.

    `since` has the first instant of each address by `<point>/<mark>`. Where there are more than there is room for,
    the marks decide which stay: that no order of arrival can change.
    """

    held: dict[str, Point] = {}
    since: dict[str, int] = {}
    post: dict[str, Point] = {}


def _note(held: Contacts, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    changed = False
    for kind, value in event.identifiers.items():
        channel = CONTACT_KINDS.get(kind)
        if channel is None or not value or (kind == "phone" and not normal.is_phone(value)):
            continue
        # What is told of a message says where it went, which may be an address of long ago.
        if not event.type.startswith("message."):
            changed |= _state(held, channel, value, event)
    return changed


def _set(held: Contacts, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    changed = False
    said = statements(event)
    for name, value in said.items():
        channel = CONTACT_KINDS.get(name)
        if channel is not None and isinstance(value, str) and value:
            changed |= _state(held, channel, value, event)
    place = "\n".join(filter(None, (text_of(said.get(name), ADDRESS_LENGTH_MAX) for name in _POSTAL)))
    return _moved(held, address_mark(place), event) or changed if place else changed


def _state(held: Contacts, channel: str, value: str, event: Occurrence) -> bool:
    found, known = Point(event.at_ms, value, event.source), held.held.get(channel)
    if known is not None and known.value == value and known.at_ms <= event.at_ms:
        if known < found:
            held.held[channel] = found
            return True
        return False
    if len(value) > ADDRESS_LENGTH_MAX:
        return False
    changed = _since(held.since, f"{channel}/{address_mark(value)}", event.at_ms)
    if known is None or known < found:
        held.held[channel] = found
        return True
    return changed


def _moved(held: Contacts, mark: str, event: Occurrence) -> bool:
    found, known = Point(event.at_ms, mark, event.source), held.post.get(POST)
    changed = _since(held.since, f"{POST}/{mark}", event.at_ms)
    if known is None or known < found:
        held.post[POST] = found
        return True
    return changed


def _since(held: dict[str, int], name: str, at_ms: int) -> bool:
    known = held.get(name)
    if known is None:
        return keep_by_mark(held, name, at_ms, SINCE_MAX)
    held[name] = min(known, at_ms)
    return at_ms < known


def all_contacts(records: Records) -> Mapping[str, Point]:
    if len(records) == 1:
        return records[0].contacts.held if records[0].contacts is not None else _NONE
    return newest_of([each.contacts.held for each in records if each.contacts is not None])


_NONE: Final[Mapping[str, Point]] = {}


def marks_of(records: Records) -> dict[str, tuple[str, int]]:
    """For each contact point, the postal address among them: the mark of the address, and since when it is known."""
    held = [each.contacts for each in records if each.contacts is not None]
    marks = {point: address_mark(said.value) for point, said in newest_of(each.held for each in held).items()}
    marks |= {point: said.value for point, said in newest_of(each.post for each in held).items()}
    return {point: (mark, _first([each.since for each in held], f"{point}/{mark}")) for point, mark in marks.items()}


def _first(held: list[dict[str, int]], name: str) -> int:
    return min((each[name] for each in held if name in each), default=0)


def confirmed_ms(records: Records) -> int:
    """When somebody last said where the person can be reached; 0 for never."""
    last = 0
    for each in records:
        if each.contacts is not None:
            for said in (*each.contacts.held.values(), *each.contacts.post.values()):
                last = max(last, said.at_ms)
    return last


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    found = all_contacts(records)
    return {"has_email": "email" in found, "has_phone": "phone" in found, "has_device": "push" in found}


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {channel: said.value for channel, said in all_contacts(records).items()}


CONTACTS = Chapter(
    "contacts",
    reads=("contacts",),
    keeps="contacts",
    state=Contacts,
    effects={"identify": _set, "profile.changed": _set},
    every=_note,
    concerns=frozenset(CONTACT_KINDS),
    fields=_fields,
    shown=_shown,
    reserved=_SEEN_IN_VIEW.__contains__,
)

"""By which addresses can a customer be reached? Contact points come with identifiers and with traits."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from services.profile import normal
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.person.traits import Trait, keep_newer, newest, statements

CONTACT_KINDS = {"email": "email", "phone": "phone", "device": "push", "webhook": "webhook"}
"""Which traits and identifiers are contact points, and the name under which delivery knows them."""

_SEEN_IN_VIEW = {"email": "has_email", "phone": "has_phone", "push": "has_device"}


class Contacts(Struct, array_like=True, gc=False):
    held: dict[str, Trait] = {}


def _note(held: Contacts, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    changed = False
    for kind, value in event.identifiers.items():
        channel = CONTACT_KINDS.get(kind)
        if channel is None or not value:
            continue
        if kind != "phone" or normal.is_phone(value):
            changed |= keep_newer(held.held, channel, Trait(value, event.at_ms, event.source))
    return changed


def _set(held: Contacts, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    changed = False
    for name, value in statements(event).items():
        channel = CONTACT_KINDS.get(name)
        if channel is not None and isinstance(value, str) and value:
            changed |= keep_newer(held.held, channel, Trait(value, event.at_ms, event.source))
    return changed


def all_contacts(records: Records) -> dict[str, Trait]:
    return newest(each.contacts.held for each in records if each.contacts is not None)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    found = all_contacts(records)
    return {name: channel in found for channel, name in _SEEN_IN_VIEW.items()}


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {channel: trait.value for channel, trait in all_contacts(records).items()}


CONTACTS = Chapter(
    "contacts",
    reads=("contacts",),
    keeps="contacts",
    state=Contacts,
    effects={"identify": _set, "profile.changed": _set},
    every=_note,
    fields=_fields,
    shown=_shown,
    reserved=frozenset(_SEEN_IN_VIEW.values()).__contains__,
)

"""Which event of ours is a call of Segment's? Pure: an item in, the type and the data of an event out.

identify       identify                 {traits, context}
alias          identify                 {traits: {}, alias, context}; the two ids are its identifiers
group          segment.group            {group, traits, context}
page           visit                    {page, referrer, title, page_name, category, …properties, context}
screen         visit                    {page, screen, category, …properties, context}
track          segment.track.<name>     {…properties, event, context}; what a mapping knows better is no matter of here

A `name` at the top of the data is left out of the history, as a person's; so the names of pages have other words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec import Raw

from services.ingest.segment.context import Context
from services.ingest.segment.items import Item
from services.ingest.segment.objects import EMPTY, encoded, joined, members, without_addresses

TRACK_PREFIX: Final = "segment.track."
GROUP: Final = "segment.group"
SLUG_LENGTH_MAX: Final = 80

_REMEMBERED_LENGTH_MAX: Final = 200
_WORD = re.compile("[a-z0-9]+")
_ALIAS = encoded({"previous": "cookie", "joined_to": "account"})
_BARE = b"} \t\r\n"
"""What follows the brace that opens an object which may be empty."""


def slug(name: str) -> str:
    """The part of an event's type that its name becomes: `Booked a Table` is `booked_a_table`.

    Types are plain ASCII. A name that loses letters by that, or is very long, ends in a digest, so that two names
    never become one type.
    """
    name = unicodedata.normalize("NFC", name.strip())
    words = "_".join(_WORD.findall(name.lower()))
    lost = any(character.isalnum() and not character.isascii() for character in name)
    if words and not lost and len(words) <= SLUG_LENGTH_MAX:
        return words
    digest = blake2b(name.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{words[: SLUG_LENGTH_MAX - 10]}_x{digest}".lstrip("_")


class Name(NamedTuple):
    """The name of a track call in three forms: a slug, an event type, and JSON."""

    slug: str
    type: str
    quoted: bytes


def name_of(event: str) -> Name:
    """Long names are not remembered: a sender that makes them up must not fill the memory with them."""
    return _remembered(event) if len(event) <= _REMEMBERED_LENGTH_MAX else _name(event)


def _name(event: str) -> Name:
    short = slug(event)
    return Name(short, TRACK_PREFIX + short, encoded(event))


_remembered = lru_cache(maxsize=4_096)(_name)


def track(name: Name, properties: bytes, context: Context) -> bytes:
    kept = context.kept
    if b'"event"' in properties or b'"context"' in properties or properties[1:2] in _BARE or len(kept) == len(EMPTY):
        return joined(properties, {"event": name.quoted} | _context(context))
    # The usual case, without looking into anything.
    return b'%b,"event":%b,"context":%b}' % (properties[:-1], name.quoted, kept)


def identify(traits: bytes, context: Context) -> bytes:
    return _data({"traits": traits}, context)


def alias(context: Context) -> bytes:
    """Which ids were joined is in the identifiers; the link that the profile keeps names this event as its evidence."""
    return _data({"traits": EMPTY, "alias": _ALIAS}, context)


def group(item: Item, context: Context) -> bytes:
    return _data({"group": encoded(item.group_id), "traits": item.object("traits", item.traits)}, context)


def page(item: Item, context: Context) -> bytes:
    properties = members(item.object("properties", item.properties))
    seen = members(context.held.get("page", b""))
    name = Raw(encoded(item.name)) if item.name else None
    made = {
        "page": _first(properties.get("url"), seen.get("url"), properties.get("path"), name),
        "referrer": _first(properties.get("referrer"), seen.get("referrer")),
        "title": _first(properties.get("title"), seen.get("title")),
        "page_name": name,
    }
    properties.pop("url", None)
    return _visit(made, item, properties, context)


def screen(item: Item, context: Context) -> bytes:
    name = Raw(encoded(item.name)) if item.name else None
    properties = members(item.object("properties", item.properties))
    return _visit({"page": name, "screen": name}, item, properties, context)


def traits_of(item: Item, context: Context) -> bytes:
    """RudderStack's browser client sends the traits in the context alone."""
    own = item.object("traits", item.traits)
    if own != EMPTY:
        return own
    shared = bytes(context.held.get("traits", b""))
    return shared if shared[:1] == b"{" else EMPTY


def _visit(made: dict[str, Raw | None], item: Item, properties: dict[str, Raw], context: Context) -> bytes:
    made["category"] = Raw(encoded(item.category)) if item.category else properties.get("category")
    whole = {name: value for name, value in made.items() if value is not None}
    # What the properties say in the same words is not said twice.
    whole |= {name: value for name, value in properties.items() if name not in whole}
    return without_addresses(joined(encoded(whole), _context(context)))


def _first(*values: Raw | None) -> Raw | None:
    return next((value for value in values if value is not None and bytes(value) not in (b"null", b'""')), None)


def _data(parts: dict[str, bytes], context: Context) -> bytes:
    return joined(EMPTY, parts | _context(context))


def _context(context: Context) -> dict[str, bytes]:
    return {"context": context.kept} if len(context.kept) > len(EMPTY) else {}

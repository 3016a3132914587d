"""Which event types are known at this moment, and what is the data of each checked with? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from services.ingest.refusals import INVALID_DATA, RESERVED_TYPE, UNKNOWN_TYPE, Reject
from services.ingest.standard import STANDARD, Free
from services.ingest.strict import printable

RESERVED_PREFIXES: Final = ("message.", "task.", "profile.")
NAME_PATTERN: Final = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$"
NAME_LENGTH_MAX: Final = 100
_COMPARED_LENGTH_MAX = 60
_INDEX = re.compile(r"\[(\d+)\]")

Decoder = msgspec.json.Decoder[Any]


class Kinds:
    """The types that ship and those that the owners registered; replaced whole when one is added."""

    __slots__ = ("_decoders", "own")

    def __init__(self, own: Iterable[str] = ()) -> None:
        self.own = frozenset(own)
        free = msgspec.json.Decoder(Free)
        self._decoders: dict[str, Decoder] = dict.fromkeys(self.own, free) | {
            name: msgspec.json.Decoder(shape) for name, (shape, _) in STANDARD.items()
        }

    def check(self, name: str, data: msgspec.Raw) -> None:
        """Raises Reject for a type that nobody knows and for data that is not of its type's shape."""
        decoder = self._decoders.get(name)
        if decoder is None:
            raise _unknown(name, self._decoders)
        try:
            decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise invalid_data(str(error)) from None


def reserved(name: str) -> bool:
    return name.startswith(RESERVED_PREFIXES)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as ` Nearest: purchase, refund.`; empty when nothing resembles the name."""
    if len(name) > _COMPARED_LENGTH_MAX:
        return ""
    found = get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return f" Nearest: {', '.join(found)}." if found else ""


def invalid_data(message: str) -> Reject:
    """What msgspec found, such as "Expected `str`, got `int` - at `$.items[0].name`", with a pointer."""
    what, _, place = message.partition(" - at `$")
    # "[...]" stands for the name of a member that may have any name: from there on the place is not known.
    known = place.rstrip("`").partition("[...]")[0]
    where = _INDEX.sub(r"/\1", known).replace(".", "/")
    return Reject(INVALID_DATA, f"/data{where}", f"The data does not fit the type: {what}.")


def _unknown(name: str, known: Mapping[str, Decoder]) -> Reject:
    shown = printable(name, 60)
    if reserved(name):
        return Reject(
            RESERVED_TYPE,
            "/type",
            f"Only the platform itself makes {shown} events; send your own type instead.",
        )
    remedy = "Register it by POST /v1/schemas, or correct the name."
    return Reject(UNKNOWN_TYPE, "/type", f"No event type is named {shown!r}.{nearest(name, known)} {remedy}")

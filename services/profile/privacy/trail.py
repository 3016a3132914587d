"""How is a person found in what was written about them elsewhere? Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from services.profile.person.telling import spaced, telltale_of

_NAMES_BY_ITSELF = ("phone", "email")


class Trail(Struct, frozen=True):
    """`records` are ids, `identifiers` are `<type>:<value>` as normalised, `values` what else names or reaches them."""

    records: list[str]
    identifiers: list[str]
    values: list[str]


def finder(trail: Trail) -> Callable[[bytes], bool]:
    """Says of a message (JSON, or what should have been) whether it is about the person.

    A card or an account counts as a whole text alone: as a number it might be anybody's amount.
    """
    values = set(trail.values)
    whole = set(trail.records)
    for identifier in trail.identifiers:
        kind, _, value = identifier.partition(":")
        if kind == "partner":
            value = value.partition(":")[2]
        (values if kind in _NAMES_BY_ITSELF else whole).add(value)
    tells = telltale_of(values)
    texts = "|".join(spaced(msgspec.json.encode(each).decode()[1:-1]) for each in sorted(whole) if each)
    quoted = re.compile(rf'[":]\s*(?:{texts})\s*"') if texts else None
    keys = frozenset(trail.identifiers)

    def found(message: bytes) -> bool:
        text = _text(message)
        return text in keys or tells(text) or (quoted is not None and quoted.search(text) is not None)

    return found


def _text(message: bytes) -> str:
    """Without the escapes behind which a name may hide."""
    if b"\\" in message:
        try:
            return msgspec.json.encode(msgspec.json.decode(message)).decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return message.decode("utf-8", "replace")
    return message.decode("utf-8", "replace")


def union(trails: Sequence[Trail]) -> Trail:
    return Trail(
        [each for trail in trails for each in trail.records],
        [each for trail in trails for each in trail.identifiers],
        [each for trail in trails for each in trail.values],
    )

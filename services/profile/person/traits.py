"""What has been said about a customer? Of two statements about one thing the newer counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.person.private import PRIVATE


class Trait(Struct, array_like=True, gc=False):
    value: Any
    at_ms: int
    source: str = ""


class Traits(Struct, array_like=True, gc=False):
    held: dict[str, Trait] = {}


def keep_newer(held: dict[str, Trait], name: str, found: Trait) -> bool:
    """Keep the newer of two statements, of two made at once the same whoever came first; says whether it was new."""
    known = held.get(name)
    if known is not None and (known.at_ms, repr(known.value), known.source) >= (
        found.at_ms,
        repr(found.value),
        found.source,
    ):
        return False
    held[name] = found
    return True


def newest(each: Iterable[Mapping[str, Trait]]) -> dict[str, Trait]:
    merged: dict[str, Trait] = {}
    for traits in each:
        for name, trait in traits.items():
            keep_newer(merged, name, trait)
    return merged


def statements(event: Occurrence) -> Mapping[str, Any]:
    """What an event says of traits: those of an identify, the fields that a rule or a correction sets."""
    said = event.data.get("traits", event.data) if event.type == "identify" else event.data
    return said if isinstance(said, Mapping) else {}


def _set(held: Traits, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    changed = False
    for name, value in statements(event).items():
        changed |= keep_newer(held.held, name, Trait(value, event.at_ms, event.source))
    return changed


def all_traits(records: Records) -> dict[str, Trait]:
    return newest(each.traits.held for each in records if each.traits is not None)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {name: trait.value for name, trait in all_traits(records).items() if name not in PRIVATE}


def sourced(trait: Trait) -> dict[str, Any]:
    return {"value": trait.value, "at": from_ms(trait.at_ms), "source": trait.source}


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {name: sourced(trait) for name, trait in all_traits(records).items()}


TRAITS = Chapter(
    "traits",
    reads=("traits",),
    keeps="traits",
    state=Traits,
    effects={"identify": _set, "profile.changed": _set},
    fields=_fields,
    shown=_shown,
)

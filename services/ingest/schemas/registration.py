"""May this become the present version of an event type? Pure: what is registered and what is asked for in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from libs.common.errors import Conflict, Fault, Invalid
from services.ingest.schemas import kinds
from services.ingest.schemas.compatibility import Narrowing, narrowings
from services.ingest.schemas.schema import Schema, compiled
from services.ingest.schemas.standard import SUBJECT, standard, subjects_of

Compatibility = Literal["backward", "none"]
TYPES_MAX: Final = 2_000
PATH_NAMES: Final = ("validate", "violations")
"""Words that stand in the place of a type in our own addresses."""
_SCHEMA: Final = "/schema"
_SUBJECTS_WEIGHED_MAX: Final = 20
_OF_THE_EVENT: Final = "branch"
"""An event has it beside its data as well."""


def check_name(name: str) -> None:
    """Invalid for a name that no owner may take."""
    if kinds.reserved(name):
        fault = Fault("/type", f"{', '.join(kinds.RESERVED_PREFIXES)} are kept for the platform")
        raise Invalid("The name belongs to the platform.", [fault])
    if name in PATH_NAMES:
        raise Invalid("The name stands for something else here.", [Fault("/type", f"take another one than {name}")])


def usable(document: Mapping[str, Any]) -> Schema:
    """The schema of a request; Invalid with pointers into the request."""
    try:
        schema = compiled(document)
    except Invalid as error:
        faults = [Fault(_SCHEMA + fault.pointer, fault.detail) for fault in error.errors]
        raise Invalid(error.detail, faults) from None
    if SUBJECT in document and not subjects_of(schema):
        detail = "names the fields by one of which an event without a person says what it is about: a list such as"
        raise Invalid("The schema cannot be used.", [Fault(f"{_SCHEMA}/{SUBJECT}", f'{detail} ["product"]')])
    if faults := list(_strange_subjects(schema)):
        raise Invalid("The schema cannot be used.", faults)
    return schema


def present_schemas(name: str, own: str | None) -> list[Schema]:
    """What an event of this type has to satisfy now: what ships, and what the owners registered."""
    shipped = [standard()[name]] if name in standard() else []
    return shipped if own is None else [*shipped, compiled(msgspec.json.decode(own))]


def same(document: Mapping[str, Any], own: str | None) -> bool:
    """Whether the document says what is registered already, in whatever order."""
    return own is not None and _ordered(document) == _ordered(msgspec.json.decode(own))


def written(document: Mapping[str, Any]) -> str:
    """As it is stored: in the order in which it was written, for people read it again."""
    return msgspec.json.encode(document).decode()


def compared(document: Mapping[str, Any], name: str, own: str | None) -> tuple[Schema, list[Narrowing]]:
    """The usable schema, and where it may refuse what is accepted now; Invalid when it cannot be used at all."""
    schema = usable(document)
    present = present_schemas(name, own)
    found = narrowings(schema, present)
    # Of a standard type what ships says what its events may be about, whatever an owner adds.
    if name not in standard():
        found += _narrowed_subjects(schema, present)
    return schema, found


def require_compatible(found: Sequence[Narrowing], version: int, compatibility: Compatibility, note: str) -> None:
    """Conflict with a pointer to each narrowing, unless it is meant; Invalid when nobody says why it is meant."""
    if not found:
        return
    if compatibility == "none":
        if not note.strip():
            fault = Fault("/note", "say why senders may be refused from now on")
            raise Invalid("A version that is not compatible needs a note.", [fault])
        return
    certain = any(each.proven for each in found)
    first = (
        f"The new schema refuses data that is accepted now (version {version})."
        if certain
        else f"It cannot be proven that the new schema accepts all that is accepted now (version {version})."
    )
    detail = f'{first} Widen it; or, when no sender is hurt, say compatibility: "none" with a note.'
    raise Conflict(detail, [Fault(_SCHEMA + each.pointer, each.detail) for each in found])


def _strange_subjects(schema: Schema) -> Iterator[Fault]:
    """Names that no event can be expected to bring: misspelt, or left behind when a property got another name."""
    nodes = schema.unfolded.nodes.values()
    known = {name for node in nodes if isinstance(node, dict) for name in node.get("properties", ())}
    for name in subjects_of(schema):
        if name not in known and name != _OF_THE_EVENT:
            at = schema.document[SUBJECT].index(name)
            detail = f"no property of the schema is named {name}: add it to properties, or name one of them"
            yield Fault(f"{_SCHEMA}/{SUBJECT}/{at}", f"{detail}, or {_OF_THE_EVENT}")


def _narrowed_subjects(new: Schema, present: Sequence[Schema]) -> list[Narrowing]:
    """An event that names none of the subjects is refused, though its data be good and somebody be named in it."""
    named = subjects_of(new)
    before = subjects_of(present[-1]) if present else ()
    if not named or (before and set(before) <= set(named)):
        return []
    given = [{"required": [name], "properties": {name: {"not": {"enum": [None, ""]}}}} for name in named]
    few = len(named) <= _SUBJECTS_WEIGHED_MAX
    if few and not narrowings(compiled({"type": "object", "anyOf": given}), present):
        return []
    instead = f"{' or '.join(before)} was enough until now" if before else "it could be missing until now"
    detail = f"an event has to say what it is about, by {' or '.join(named)}: {instead}"
    return [Narrowing(f"/{SUBJECT}", detail, all(each.is_valid({}) for each in present) and not before)]


def _ordered(document: Any) -> bytes:
    return msgspec.json.encode(document, order="sorted")

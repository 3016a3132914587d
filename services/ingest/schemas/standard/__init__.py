"""Which event types does everybody have, and what must their data hold?

The documents beside this file are JSON Schemas by type; what they share stands in `defs.json`. Only what is named is
checked: whatever else a channel sends along in `data` is kept. Amounts are JSON numbers or decimal texts, with a
currency beside them. `x-subject` names what a type without a person is about, by one of which it must be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from services.ingest.schemas.schema import DIALECT, Schema, compiled
from services.ingest.schemas.walk import children, target_of

_FOLDER: Final = Path(__file__).parent
_DEFS: Final = "defs"
SUBJECT: Final = "x-subject"
_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]{0,59}")


@cache
def standard() -> Mapping[str, Schema]:
    """The types that ship, by name; each schema stands for itself, with the definitions that it uses."""
    read = {file.stem: msgspec.json.decode(file.read_bytes()) for file in sorted(_FOLDER.glob("*.json"))}
    shared = read.pop(_DEFS)
    return {
        name: compiled(_whole(schema, shared))
        for name, schema in sorted((name, schema) for group in read.values() for name, schema in group.items())
    }


def description_of(schema: Schema) -> str:
    text: str = schema.document["description"]
    return text


def subjects_of(schema: Schema | None) -> tuple[str, ...]:
    """What an event of this type may be about when it is about no person; empty for all others."""
    return () if schema is None else subjects_in(schema.document.get(SUBJECT))


def subjects_in(named: Any) -> tuple[str, ...]:
    """Owners may have used the word for something of their own before it meant anything here: that is nothing then."""
    if not isinstance(named, list) or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in named):
        return ()
    return tuple(dict.fromkeys(named))


def _whole(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        for name in _named(waiting.pop()):
            if name not in used:
                used[name] = shared[name]
                waiting.append(shared[name])
    definitions = {"$defs": {name: used[name] for name in shared if name in used}} if used else {}
    return {"$schema": DIALECT, **schema, **definitions}


def _named(schema: Any) -> Iterator[str]:
    """The shared definitions that a schema refers to."""
    if not isinstance(schema, dict):
        return
    if reference := schema.get("$ref"):
        yield (target_of(reference) or "").removeprefix("/$defs/")
    for _, inner in children((), schema):
        yield from _named(inner)

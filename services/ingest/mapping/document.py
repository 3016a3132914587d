"""Is this a mapping, and what does it make of a foreign document? The only two calls that others need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from libs.common.errors import Fault, Invalid
from libs.common.events import IDENTIFIER_TYPES
from services.ingest.mapping.entries import (
    NAMES_GIVEN,
    NAMES_OF_EACH,
    REQUIRED,
    TEXTS,
    Entry,
    Leaf,
    Tree,
    failed,
    made,
)
from services.ingest.mapping.evaluation import STEPS_MAX, Evaluation
from services.ingest.mapping.language import WrongExpression, parse
from services.ingest.schemas.hints import nearest
from services.ingest.schemas.kinds import NAME_PATTERN
from services.ingest.strict import pointer as pointer_of

ENTRIES_MAX: Final = 50
LEAVES_MAX: Final = 100
EVENTS_MAX: Final = 500
BYTES_MAX: Final = 1 << 20
DESCRIPTION_LENGTH_MAX: Final = 2_000
ID_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,99}$"

_ID = re.compile(ID_PATTERN)
_TYPE = re.compile(NAME_PATTERN)
_PARTNER = re.compile(r"partner:[a-z0-9][a-z0-9_-]{0,63}\Z")
_DOCUMENT = ("id", "description", "events")
_ENTRY = ("when", "each", "emit")
_EMIT = (*TEXTS, "identifiers", "data")


class CompiledMapping:
    """A mapping that is ready for use; it may be used by many threads at once."""

    __slots__ = ("_entries", "_steps_max", "id")

    def __init__(self, id: str, entries: Iterable[Entry], steps_max: int = STEPS_MAX) -> None:
        self.id = id
        self._entries = tuple(entries)
        self._steps_max = steps_max

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._entries

    def events(self, given: Mapping[str, Any]) -> list[bytes]:
        """The JSON of each channel event that is in a foreign document; none when it holds nothing for us.

        `given` has `body` (decoded JSON), `headers` (names in lower case), `received_at` (RFC 3339), and may have
        `source`, `branch` and `history`, which count for events that the mapping gives none. Raises
        Reject(MAPPING_FAILED) with a pointer into the mapping when an event cannot be made.
        """
        evaluation = Evaluation(self._steps_max)
        scope = {name: given.get(name) for name in NAMES_GIVEN}
        found: list[bytes] = []
        size = 0
        for entry in self._entries:
            for event in made(entry, scope, evaluation):
                found.append(_encoded(event, entry.pointer))
                size += len(found[-1])
                if len(found) > EVENTS_MAX or size > BYTES_MAX:
                    detail = f"the document makes more than {EVENTS_MAX} events or {BYTES_MAX} bytes of them."
                    raise failed(entry.pointer, detail)
        return found


def compile_mapping(document: Mapping[str, Any]) -> CompiledMapping:
    """Invalid with one fault for each place where the document is wrong."""
    compiler = _Compiler()
    entries = compiler.entries_of(document)
    if compiler.faults:
        first = compiler.faults[0]
        raise Invalid(f"{first.pointer or 'the document'}: {first.detail}", compiler.faults)
    return CompiledMapping(document["id"], entries)


class _Compiler:
    """Reads on after a fault, so that an author sees all of them at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._leaves = 0

    def entries_of(self, document: Mapping[str, Any]) -> list[Entry]:
        self._only(document, _DOCUMENT, "")
        if not isinstance(id := document.get("id"), str) or not _ID.match(id):
            self._fault("/id", "an id is lower-case letters, digits, dots, hyphens and underscores, at most 100")
        description = document.get("description", "")
        if not isinstance(description, str) or len(description) > DESCRIPTION_LENGTH_MAX:
            self._fault("/description", f"a description is a text of at most {DESCRIPTION_LENGTH_MAX} characters")
        events = document.get("events")
        if not isinstance(events, list) or not 1 <= len(events) <= ENTRIES_MAX:
            self._fault("/events", f"events is a list of 1 to {ENTRIES_MAX} entries")
            return []
        return [self._entry(each, f"/events/{index}") for index, each in enumerate(events)]

    def _entry(self, entry: Any, at: str) -> Entry:
        self._leaves = 0
        nothing = Entry(at, {}, Tree({}), Tree({}))
        if not isinstance(entry, dict) or not isinstance(emit := entry.get("emit"), dict):
            self._fault(
                at, 'an entry is an object such as {"when": ..., "emit": {"id": ..., "type": ..., "time": ...}}'
            )
            return nothing
        self._only(entry, _ENTRY, at)
        self._only(emit, _EMIT, f"{at}/emit")
        each = self._leaf(entry["each"], f"{at}/each", NAMES_GIVEN) if "each" in entry else None
        names = NAMES_GIVEN if each is None else (*NAMES_GIVEN, *NAMES_OF_EACH)
        when = self._leaf(entry["when"], f"{at}/when", names) if "when" in entry else None
        for name in REQUIRED:
            if name not in emit:
                self._fault(f"{at}/emit", f"an event needs {name}")
        texts = {name: self._leaf(emit[name], f"{at}/emit/{name}", names) for name in TEXTS if name in emit}
        self._check_type(texts.get("type"))
        identifiers = self._identifiers(emit.get("identifiers", {}), f"{at}/emit/identifiers", names)
        data = self._node(emit.get("data", {}), f"{at}/emit/data", names)
        if self._leaves > LEAVES_MAX:
            self._fault(at, f"an entry has at most {LEAVES_MAX} expressions and constants, not {self._leaves}")
        return Entry(at, texts, identifiers, data, when, each)

    def _identifiers(self, held: Any, at: str, names: tuple[str, ...]) -> Tree | Leaf:
        if not isinstance(held, dict):
            return self._leaf(held, at, names)
        parts = {}
        for name, leaf in held.items():
            where = at + pointer_of([name])
            if name not in IDENTIFIER_TYPES and not _PARTNER.match(name):
                known = f"the types are {', '.join(IDENTIFIER_TYPES)} and partner:<name>"
                self._fault(where, f"no identifier type is named {name[:60]!r}; {known}")
            parts[name] = self._leaf(leaf, where, names)
        return Tree(parts)

    def _node(self, held: Any, at: str, names: tuple[str, ...], depth: int = 1) -> Tree | Leaf:
        if not isinstance(held, dict) or _is_constant(held):
            return self._leaf(held, at, names)
        if depth > 10:
            self._fault(at, "data is nested at most 10 deep here; an expression may make more")
            return Tree({})
        return Tree({name: self._node(part, at + pointer_of([name]), names, depth + 1) for name, part in held.items()})

    def _leaf(self, held: Any, at: str, names: tuple[str, ...]) -> Leaf:
        self._leaves += 1
        if isinstance(held, str):
            try:
                return Leaf(at, parse(held, names))
            except WrongExpression as error:
                self._fault(at, str(error))
        elif isinstance(held, dict) and _is_constant(held):
            return Leaf(at, None, held["value"])
        else:
            self._fault(at, 'it is an expression as a text, or {"value": ...} for a constant')
        return Leaf(at)

    def _check_type(self, leaf: Leaf | None) -> None:
        if leaf is None:
            return
        name = leaf.constant
        if leaf.expression is not None and leaf.expression.parsed["type"] == "literal":
            name = leaf.expression.parsed["value"]
        if name is not None and not (isinstance(name, str) and _TYPE.match(name)):
            self._fault(leaf.pointer, "a type is named in lower-case letters, digits, underscores and dots")

    def _only(self, held: Mapping[str, Any], known: tuple[str, ...], at: str) -> None:
        for name in held:
            if name not in known:
                detail = f"there is no {name[:60]!r} here; there are {', '.join(known)}.{nearest(name, known)}"
                self._fault(at + pointer_of([name]), detail)

    def _fault(self, at: str, detail: str) -> None:
        self.faults.append(Fault(at, detail))


def _is_constant(held: Mapping[str, Any]) -> bool:
    """Exactly {"value": ...}; an object of the event that has this one name is written as an expression."""
    return held.keys() == {"value"}


def _encoded(event: dict[str, Any], at: str) -> bytes:
    try:
        return msgspec.json.encode(event)
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, RecursionError):
        raise failed(at, "what it makes cannot be written as JSON.") from None


def problems_of(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything that is wrong with a document; nothing when it can be kept."""
    try:
        compile_mapping(document)
    except Invalid as error:
        yield from error.errors

"""Which event types are known at this moment, and is the data of an event as its type demands? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from libs.common.events import EventReceived
from services.ingest.refusals import INVALID_DATA, RESERVED_TYPE, UNKNOWN_TYPE, Reject, Violation
from services.ingest.schemas.hints import Hints
from services.ingest.schemas.modes import SourceModes
from services.ingest.schemas.schema import Schema
from services.ingest.schemas.standard import standard, subjects_of
from services.ingest.strict import printable

RESERVED_PREFIXES: Final = ("message.", "task.", "profile.")
FAMILIES: Final = ("segment.track.",)
"""Prefixes under which any name is a known type without registration; its data is any object."""
NAME_PATTERN: Final = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$"
NAME_LENGTH_MAX: Final = 100

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_whole = msgspec.json.Decoder().decode


class _Free(Struct):
    """Any object: nothing in it is kept."""


_object = msgspec.json.Decoder(_Free).decode


class Kind:
    """What the data of one type must satisfy: each of `schemas`, and one of `subjects` must be named if there are."""

    __slots__ = ("accepts", "schemas", "subjects")

    def __init__(self, schemas: Iterable[Schema] = (), subjects: tuple[str, ...] = ()) -> None:
        self.schemas = tuple(schemas)
        self.subjects = subjects
        # The usual case is a single schema, asked for every event: nothing of ours stands between.
        self.accepts = self.schemas[0].is_valid if len(self.schemas) == 1 else self._accepted_by_all

    def violations(self, data: dict[str, Any], branch: str | None, size: int, *, all_of_them: bool) -> list[Violation]:
        """What is wrong with `data`, whose JSON has `size` bytes: the first thing, or all that can be told."""
        found: list[Violation] = []
        for schema in self.schemas:
            found += schema.violations(data, size, all_of_them=all_of_them)
        if not found and not self.concerns_something(data, branch):
            found.append(_without_subject(self.subjects))
        return found

    def concerns_something(self, data: Mapping[str, Any], branch: str | None) -> bool:
        if not self.subjects or (branch is not None and "branch" in self.subjects):
            return True
        return any(data.get(name) not in (None, "") for name in self.subjects)

    def _accepted_by_all(self, data: Any) -> bool:
        return all(schema.is_valid(data) for schema in self.schemas)


FREE: Final = Kind()
"""A type whose data is any object."""


class Kinds:
    """The types that ship and those that the owners registered; replaced whole when one of them changes.

    `own` are the owners' schemas by type; for a standard type both schemas must hold. A type with None is free.
    """

    __slots__ = ("_hints", "_kinds", "modes", "own")

    def __init__(self, own: Mapping[str, Schema | None] | None = None, modes: SourceModes | None = None) -> None:
        self.own = dict(own or {})
        self.modes = modes or SourceModes()
        self._kinds = {name: Kind([schema], subjects_of(schema)) for name, schema in standard().items()}
        for name, added in self.own.items():
            beneath = self._kinds.get(name, FREE)
            if added is not None:
                subjects = beneath.subjects if name in standard() else subjects_of(added)
                self._kinds[name] = Kind((*beneath.schemas, added), subjects)
            else:
                self._kinds[name] = beneath
        self._hints: Hints | None = None

    def check(self, event: EventReceived) -> tuple[Violation, ...]:
        """What is wrong with an event of a source that is observed, nothing for a good event; else raises Reject.

        Data that is no object and types that only the platform makes are refused from every source.
        """
        kind = self._kinds.get(event.type)
        if kind is None:
            return self._check_unregistered(event)
        if not kind.schemas:
            _read(_object, event.data)
            return ()
        data = _read(_whole, event.data)
        if data.__class__ is not dict:
            raise _no_object()
        if kind.accepts(data) and (not kind.subjects or kind.concerns_something(data, event.branch)):
            return ()
        return self._violated(event, kind, data)

    def concerns_everyone(self, type: str) -> bool:
        """Whether an event of this type that names nobody is for whoever a rule selects."""
        kind = self._kinds.get(type)
        return kind is not None and bool(kind.subjects)

    def _violated(self, event: EventReceived, kind: Kind, data: dict[str, Any]) -> tuple[Violation, ...]:
        observed = self.modes.of(event.source) == "observe"
        found = kind.violations(data, event.branch, len(event.data), all_of_them=observed)
        if observed:
            return tuple(found)
        raise Reject(found[0].reason, found[0].pointer, found[0].detail)

    def _check_unregistered(self, event: EventReceived) -> tuple[Violation, ...]:
        name = event.type
        if reserved(name):
            detail = f"Only the platform itself makes {printable(name, 60)} events; send your own type instead."
            raise Reject(RESERVED_TYPE, "/type", detail)
        _read(_object, event.data)
        if in_family(name):
            return ()
        # A name is printed in many places; one with control characters in it is no name for anybody.
        if self.modes.of(event.source) == "observe" and name.isprintable():
            return (Violation("/type", UNKNOWN_TYPE, "The type is not registered."),)
        raise self._unknown(name)

    def _unknown(self, name: str) -> Reject:
        if self._hints is None:
            self._hints = Hints(self._kinds)
        remedy = "Register it by POST /v1/schemas, or correct the name."
        detail = f"No event type is named {printable(name, 60)!r}.{self._hints.nearest(name)} {remedy}"
        return Reject(UNKNOWN_TYPE, "/type", detail)


def reserved(name: str) -> bool:
    return name.startswith(RESERVED_PREFIXES)


def in_family(name: str) -> bool:
    """Whether the name is one that is known by its prefix alone."""
    return name.startswith(FAMILIES) and len(name) <= NAME_LENGTH_MAX and _NAME.fullmatch(name) is not None


def _read(decode: Any, data: Raw) -> Any:
    try:
        return decode(data)
    except _UNREADABLE:
        raise _no_object() from None


def _no_object() -> Reject:
    return Reject(INVALID_DATA, "/data", 'data is no JSON object such as {"amount": 45000, "currency": "KRW"}.')


def _without_subject(subjects: tuple[str, ...]) -> Violation:
    ways = {"branch": "branch, of the event or in its data", "product": "data.product", "region": "data.region"}
    named = " or ".join(ways.get(name, f"data.{name}") for name in subjects)
    detail = f"An event without a person must say what it is about: {named} is missing."
    return Violation("/data", INVALID_DATA, detail)

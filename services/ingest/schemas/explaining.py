"""How is it said in plain words that data does not fit its schema, or that a schema is none? Pure.

The values themselves are never repeated: they may be a person's. A schema with a `title` says with it what it expects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs

from libs.common.errors import Fault
from services.ingest.refusals import INVALID_DATA, Violation
from services.ingest.schemas.hints import Hints
from services.ingest.strict import pointer, printable

_OPTIONS_SHOWN = 12
_TEXT_SHOWN = 200
_NAMES: Final = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "object": "an object",
    "array": "a list",
    "boolean": "true or false",
    "null": "null",
}
_LIMITS: Final[Mapping[str, str]] = {
    "minimum": "a number of at least {}",
    "maximum": "a number of at most {}",
    "exclusiveMinimum": "a number above {}",
    "exclusiveMaximum": "a number below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "a text of at least {} characters",
    "maxLength": "a text of at most {} characters",
    "pattern": "a text that matches {}",
    "format": "a text of the format {}",
    "minItems": "a list of at least {} members",
    "maxItems": "a list of at most {} members",
    "minProperties": "an object with at least {} members",
    "maxProperties": "an object with at most {} members",
}
_FIXED: Final[Mapping[str, str]] = {
    "uniqueItems": "Expected a list in which nothing stands twice",
    "contains": "Expected a list with a member of the kind that the schema names",
    "not": "Expected anything but what is here",
    "falseSchema": "Nothing may stand here",
    "unevaluatedItems": "The list has more members than the schema knows",
}


def explain(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> Violation:
    """What is wrong with an event's data; the pointer is relative to the event."""
    where = pointer(["data", *error.instance_path])
    return Violation(where, INVALID_DATA, f"{_told(error, document)}.")


def fault_of_schema(error: Exception) -> Fault:
    """Why a document is no schema; the pointer is relative to the document."""
    if not isinstance(error, jsonschema_rs.ValidationError):
        return Fault("", printable(str(error), _TEXT_SHOWN))
    where = pointer(error.instance_path)
    if _asks_for_pattern(error):
        return Fault(where, "is no pattern that can be used: it has a mistake, is too large, or looks around or back")
    if error.instance_path[-1:] == ["type"] and error.kind.name == "anyOf":
        return Fault(where, f"expected one of {', '.join(_NAMES)}, or a list of them")
    if error.kind.name == "referencing":
        return Fault(where, printable(error.message, _TEXT_SHOWN))
    told = _told(error, {})
    return Fault(where, told[:1].lower() + told[1:])


def _asks_for_pattern(error: jsonschema_rs.ValidationError) -> bool:
    inner = error.kind.value if error.kind.name == "propertyNames" else error
    return bool(inner.kind.name == "format" and inner.kind.value == "regex")


def _told(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> str:
    found = f"; found {_kind_of(error.instance, 'a' if error.kind.name == 'type' else 'another')}"
    special = _SPECIAL.get(error.kind.name)
    if special is not None:
        return special(error, document)
    if title := _title_at(document, error.schema_path[:-1]):
        return f"Expected {title}{found}"
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.OneOfMultipleValid):
        return "The data fits several of the alternatives of which only one may hold"
    if error.kind.name in ("anyOf", "oneOf"):
        return _of_alternatives(error, document, found)
    return f"Expected {expected}{found}" if (expected := _expectation(error)) else _FIXED.get(error.kind.name, "Unfit")


def _expectation(error: jsonschema_rs.ValidationError) -> str:
    """What a single keyword asks for; empty for one that cannot be said in few words."""
    name, value = error.kind.name, error.kind.value
    if name == "type":
        return " or ".join(text for kind, text in _NAMES.items() if kind in value)
    if name == "const":
        return _shown(value)
    if name == "enum":
        more = ", …" if len(value) > _OPTIONS_SHOWN else ""
        return f"one of {', '.join(_shown(each) for each in value[:_OPTIONS_SHOWN])}{more}"
    form = _LIMITS.get(name)
    return form.format(printable(str(value), _TEXT_SHOWN)) if form else ""


def _of_alternatives(error: jsonschema_rs.ValidationError, document: Mapping[str, Any], found: str) -> str:
    """The one alternative that is of the right kind tells most; else what all of them ask for."""
    branches: list[list[jsonschema_rs.ValidationError]] = error.kind.context  # type: ignore[attr-defined]
    near = [branch for branch in branches if branch and not any(_of_another_kind(each, error) for each in branch)]
    if len(near) == 1:
        inner = near[0][0]
        beneath = inner.instance_path[len(error.instance_path) :]
        told = _told(inner, document)
        return f"At {pointer(beneath)}: {told}" if beneath else told
    wanted = [_wanted(branch[0], document) for branch in branches if branch]
    known = list(dict.fromkeys(each for each in wanted if each))
    return f"Expected {' or '.join(known)}{found}" if known else f"None of the alternatives fits{found}"


def _of_another_kind(error: jsonschema_rs.ValidationError, outer: jsonschema_rs.ValidationError) -> bool:
    return error.kind.name == "type" and error.instance_path == outer.instance_path


def _wanted(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> str:
    return _title_at(document, error.schema_path[:-1]) or _expectation(error)


def _missing(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> str:
    del document
    return f"{printable(str(error.kind.value), 60)!r} is missing"


def _unexpected(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> str:
    names: list[str] = error.kind.value
    holder = _at(document, error.schema_path[:-1])
    known = list(holder.get("properties", {})) if isinstance(holder, dict) else []
    shown, name = ", ".join(repr(printable(each, 60)) for each in names[:5]), names[0][:60] if names else ""
    near = get_close_matches(name, _hints(tuple(known)).candidates(name), n=2, cutoff=0.6) if names else []
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"Nothing named {shown} is known here{hint}"


@lru_cache(maxsize=64)
def _hints(known: tuple[str, ...]) -> Hints:
    """The names of a schema are the same for every event that misspells one of them."""
    return Hints(known)


def _misnamed(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> str:
    told = _told(error.kind.value, document)
    return f"A name in the object does not fit: {told[:1].lower()}{told[1:]}"


_SPECIAL: Final[Mapping[str, Callable[[jsonschema_rs.ValidationError, Mapping[str, Any]], str]]] = {
    "required": _missing,
    "additionalProperties": _unexpected,
    "unevaluatedProperties": _unexpected,
    "propertyNames": _misnamed,
}


def _title_at(document: Mapping[str, Any], path: Sequence[str | int]) -> str:
    node = _at(document, path)
    title = node.get("title") if isinstance(node, dict) and path else None
    return printable(title, _TEXT_SHOWN) if isinstance(title, str) else ""


def _at(document: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _kind_of(value: Any, article: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds: Sequence[tuple[type, str]] = ((str, f"{article} text"), (dict, "an object"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), f"{article} number")


def _shown(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False), 80)

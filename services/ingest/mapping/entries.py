"""What does one entry of a mapping make of a foreign document? Pure: evaluated expressions in, an event out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from services.ingest.mapping.evaluation import Evaluation, Failed
from services.ingest.mapping.functions import FunctionFailed, text_of
from services.ingest.mapping.language import Expression
from services.ingest.refusals import MAPPING_FAILED, Reject

DEPTH_MAX: Final = 40
NAMES_GIVEN: Final = ("body", "headers", "received_at", "source", "branch", "history")
NAMES_OF_EACH: Final = ("item", "index")
REQUIRED: Final = ("id", "type", "time")
TEXTS: Final = ("id", "type", "time", "source", "branch")


class Leaf(Struct, frozen=True):
    """An expression, or a constant where `expression` is None; `pointer` is its place in the mapping."""

    pointer: str
    expression: Expression | None = None
    constant: Any = None


class Tree(Struct, frozen=True):
    parts: Mapping[str, Tree | Leaf]


class Entry(Struct, frozen=True):
    """One of the events of a mapping; `each` is evaluated to the list whose items make one event each."""

    pointer: str
    texts: Mapping[str, Leaf]
    identifiers: Tree | Leaf
    data: Tree | Leaf
    when: Leaf | None = None
    each: Leaf | None = None


def made(entry: Entry, given: Mapping[str, Any], evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """The events of this entry, none when its condition does not hold; Reject when one cannot be made."""
    for scope in _scopes(entry, given, evaluation):
        if entry.when is None or _holds(value_of(entry.when, scope, evaluation)):
            yield _event(entry, scope, evaluation)


def value_of(leaf: Leaf, scope: Mapping[str, Any], evaluation: Evaluation) -> Any:
    if leaf.expression is None:
        return leaf.constant
    try:
        return evaluation.result(leaf.expression.parsed, scope)
    except Failed as error:
        raise failed(leaf.pointer, f"{_shown(leaf.expression.text)} has no result: {error}.") from None


def failed(pointer: str, detail: str) -> Reject:
    return Reject(MAPPING_FAILED, pointer, f"At {pointer or 'the top'} of the mapping: {detail}")


def _scopes(entry: Entry, given: Mapping[str, Any], evaluation: Evaluation) -> Iterator[Mapping[str, Any]]:
    if entry.each is None:
        yield given
        return
    items = value_of(entry.each, given, evaluation)
    if items is None:
        return
    if not isinstance(items, list):
        raise failed(entry.each.pointer, "each needs a list, and this is none.")
    for index, item in enumerate(items):
        yield {**given, "item": item, "index": index}


def _event(entry: Entry, scope: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name in TEXTS:
        text = _text(entry.texts[name], scope, evaluation) if name in entry.texts else None
        if text is None and name not in REQUIRED and scope.get(name):
            text = scope[name]
        if text is not None:
            event[name] = text
        elif name in REQUIRED:
            leaf = entry.texts[name]
            told = "" if leaf.expression is None else f" {_shown(leaf.expression.text)} found nothing."
            raise failed(leaf.pointer, f"an event needs {name}.{told}")
    if scope.get("history"):
        event["history"] = True
    if identifiers := _identifiers(entry, scope, evaluation):
        event["identifiers"] = identifiers
    data = _built(entry.data, scope, evaluation)
    if data is not None and not isinstance(data, dict):
        raise failed(f"{entry.pointer}/emit/data", "the data of an event is an object, and this is none.")
    if data:
        event["data"] = data
    return event


def _text(leaf: Leaf, scope: Mapping[str, Any], evaluation: Evaluation) -> str | None:
    value = value_of(leaf, scope, evaluation)
    if value is None or isinstance(value, str) and not value.strip():
        return None
    try:
        return text_of(value, "text")
    except FunctionFailed as error:
        raise failed(leaf.pointer, f"{error}.") from None


def _identifiers(entry: Entry, scope: Mapping[str, Any], evaluation: Evaluation) -> dict[str, str]:
    """What names a person; blank ones are left out, for some systems send "" where they know nothing."""
    if isinstance(entry.identifiers, Tree):
        leaves = {name: leaf for name, leaf in entry.identifiers.parts.items() if isinstance(leaf, Leaf)}
        found = {name: _text(leaf, scope, evaluation) for name, leaf in leaves.items()}
        return {name: text for name, text in found.items() if text is not None}
    whole = value_of(entry.identifiers, scope, evaluation)
    if whole is None:
        return {}
    if not isinstance(whole, dict):
        raise failed(entry.identifiers.pointer, "identifiers are an object, and this is none.")
    parts = {name: Leaf(entry.identifiers.pointer, None, value) for name, value in whole.items()}
    texts = {name: _text(leaf, scope, evaluation) for name, leaf in parts.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _built(node: Tree | Leaf, scope: Mapping[str, Any], evaluation: Evaluation) -> Any:
    if isinstance(node, Leaf):
        return _without_nulls(value_of(node, scope, evaluation), node.pointer)
    parts = {name: _built(part, scope, evaluation) for name, part in node.parts.items()}
    return {name: value for name, value in parts.items() if value is not None}


def _without_nulls(value: Any, pointer: str, depth: int = 1) -> Any:
    """What is missing in a document is missing in the event, also inside of lists of objects."""
    if not isinstance(value, dict | list):
        return value
    if depth > DEPTH_MAX:
        raise failed(pointer, f"the value is nested more than {DEPTH_MAX} deep.")
    if isinstance(value, dict):
        kept = {name: _without_nulls(inner, pointer, depth + 1) for name, inner in value.items() if inner is not None}
        return kept
    return [_without_nulls(inner, pointer, depth + 1) for inner in value if inner is not None]


def _holds(value: Any) -> bool:
    """As JMESPath has it: null, false and what is empty do not; 0 does."""
    return value is not None and value is not False and value not in ("", [], {})


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")

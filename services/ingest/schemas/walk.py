"""What is in a JSON Schema, and how large is it once every reference is followed? Pure.

Only the keywords of the dialect are let through: a name that is misspelt would otherwise check nothing, silently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from libs.common.errors import Fault
from services.ingest.strict import printable

DEPTH_MAX: Final = 32
NODES_MAX: Final = 5_000
PATTERNS_MAX: Final = 200
FAULTS_MAX: Final = 50
"""More of them are not looked for: the hint for each misspelt name takes a while."""

SINGLE: Final = frozenset(
    "additionalProperties items contains not if then else propertyNames unevaluatedItems unevaluatedProperties".split()
)
"""Keywords whose value is one schema."""
LISTED: Final = frozenset("allOf anyOf oneOf prefixItems".split())
"""Keywords whose value is a list of schemas."""
NAMED: Final = frozenset("properties patternProperties dependentSchemas $defs".split())
"""Keywords whose value is schemas by name."""
ANNOTATIONS: Final = frozenset(
    "$schema $id $comment $defs title description default examples deprecated readOnly writeOnly contentEncoding"
    " contentMediaType contentSchema".split()
)
"""Keywords that demand nothing of the data."""
PLAIN: Final = frozenset(
    "$ref type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern"
    " maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required dependentRequired"
    " format".split()
)
KEYWORDS: Final = SINGLE | LISTED | NAMED | ANNOTATIONS | PLAIN
OWN_PREFIX: Final = "x-"

_REMEDIES: Final = {
    "definitions": "this dialect calls it $defs",
    "dependencies": "this dialect calls it dependentRequired or dependentSchemas",
    "additionalItems": "this dialect says items, beside prefixItems",
    "nullable": 'say type: ["string", "null"] instead',
    "id": "this dialect calls it $id",
    "example": "this dialect says examples, a list",
    "$anchor": "point to the place by $ref: #/$defs/… instead",
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "point to the place by $ref: #/$defs/… instead",
    "$recursiveRef": "use $ref",
    "$vocabulary": "leave it out",
}

Path = tuple[str | int, ...]


class Unfolded:
    """What a walk found. `nodes` are all schemas by their place; `size` counts those that a check may visit."""

    __slots__ = ("faults", "nodes", "size")

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.size = 0


class _TooMuch(Exception):
    """Ends the count; the fault says why."""


def walk(document: Mapping[str, Any], formats: Collection[str]) -> Unfolded:
    """Every schema in the document, or `faults` with what forbids its use."""
    found = Unfolded()
    waiting: list[tuple[Path, Any]] = [((), document)]
    patterns = 0
    while waiting:
        path, node = waiting.pop()
        place = place_of(path)
        found.nodes[place] = node
        if not isinstance(node, dict):
            continue
        if len(path) > DEPTH_MAX:
            found.faults.append(Fault(place, f"the schema is nested more than {DEPTH_MAX} deep"))
            return found
        found.faults += islice(_faults_of_names(path, node, formats), FAULTS_MAX - len(found.faults))
        if len(found.faults) >= FAULTS_MAX:
            return found
        patterns += ("pattern" in node) + len(_mapping(node.get("patternProperties")))
        waiting += children(path, node)
        if len(found.nodes) + len(waiting) > NODES_MAX:
            found.faults.append(Fault("", f"the schema has more than {NODES_MAX} parts"))
            return found
    if patterns > PATTERNS_MAX:
        found.faults.append(Fault("", f"the schema has more than {PATTERNS_MAX} patterns"))
    if not found.faults:
        _count(found)
    return found


def children(path: Path, node: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The schemas right inside of a schema, $defs among them; malformed places are left to others."""
    for keyword, value in node.items():
        if keyword in SINGLE:
            yield (*path, keyword), value
        elif keyword in LISTED and isinstance(value, list):
            yield from (((*path, keyword, number), each) for number, each in enumerate(value))
        elif keyword in NAMED:
            yield from (((*path, keyword, name), each) for name, each in _mapping(value).items())


def place_of(path: Path) -> str:
    """The RFC 6901 pointer to a place in a document, exact however long a name is."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def target_of(reference: str) -> str | None:
    """The place within the document that a reference leads to; None when it leads out of it."""
    if reference == "#":
        return ""
    return unquote(reference[1:]) if reference.startswith("#/") else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _faults_of_names(path: Path, node: Mapping[str, Any], formats: Collection[str]) -> Iterator[Fault]:
    for keyword, value in node.items():
        place = place_of((*path, keyword))
        if keyword == "$ref" and isinstance(value, str) and target_of(value) is None:
            yield Fault(
                place, "a reference leads to a place in this document, such as #/$defs/name; nothing is fetched"
            )
        elif keyword == "$id" and path:
            yield Fault(place, "only the whole document may have an $id")
        elif keyword == "format" and isinstance(value, str) and value not in formats:
            yield Fault(place, f"no such format is checked; there are {', '.join(formats)}")
        elif keyword not in KEYWORDS and not keyword.startswith(OWN_PREFIX):
            yield Fault(place, _unknown_keyword(keyword))


def _unknown_keyword(keyword: str) -> str:
    if remedy := _REMEDIES.get(keyword):
        return f"{keyword} is not used here; {remedy}"
    near = get_close_matches(keyword[:60], sorted(KEYWORDS), n=2, cutoff=0.6)
    hint = f" did you mean {' or '.join(near)}?" if near else ""
    return f"there is no keyword {printable(keyword, 60)!r};{hint} your own begin with {OWN_PREFIX}"


def _count(found: Unfolded) -> None:
    """Adds up what a check may visit, references followed, and refuses circles and explosions."""
    known: dict[str, tuple[int, int]] = {}
    try:
        found.size, _ = _measure(found, "", (), known)
    except _TooMuch:
        return


def _measure(found: Unfolded, place: str, above: tuple[str, ...], known: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """How many schemas are met from here on, and how deep they lie."""
    if place in known:
        size, depth = known[place]
        if len(above) + depth > 2 * DEPTH_MAX:
            _refuse(found, place, "references make the schema too deep")
        return size, depth
    if place in above:
        _refuse(found, place, "a reference leads back here; a schema cannot contain itself")
    if len(above) > 2 * DEPTH_MAX:
        _refuse(found, place, "references make the schema too deep")
    node, size, depth = found.nodes[place], 1, 0
    if isinstance(node, dict):
        for inner in _visited(found, place, node):
            inner_size, inner_depth = _measure(found, inner, (*above, place), known)
            size, depth = size + inner_size, max(depth, inner_depth)
            if size > NODES_MAX:
                _refuse(found, place, f"with all references followed the schema has more than {NODES_MAX} parts")
    known[place] = (size, depth + 1)
    return size, depth + 1


def _visited(found: Unfolded, place: str, node: Mapping[str, Any]) -> Iterator[str]:
    for path, _ in children((), node):
        if path[0] != "$defs":
            yield place + place_of(path)
    reference = node.get("$ref")
    if isinstance(reference, str):
        target = target_of(reference)
        if target not in found.nodes:
            _refuse(found, f"{place}/$ref", "there is no schema at the place that this refers to")
        assert target is not None
        yield target


def _refuse(found: Unfolded, place: str, detail: str) -> None:
    found.faults.append(Fault(place, detail))
    raise _TooMuch

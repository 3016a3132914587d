"""Does a new schema accept everything that the present one accepts? Pure.

Senders are out there already: what they may send today they may send tomorrow. The two documents are walked side by
side, because that finds the place of each difference; what single keywords mean for one another is asked of the
library. It holds up the whole process while it thinks, so that it is only asked about small pieces: what is left open
counts as not proven, never as fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jsonschema_rs
import msgspec

from services.ingest.schemas.schema import PATTERNS, Schema
from services.ingest.schemas.walk import ANNOTATIONS, LISTED, NAMED, OWN_PREFIX, SINGLE, place_of, target_of

BRANCHES_MAX: Final = 64
QUESTIONS_MAX: Final = 300
STEPS_MAX: Final = 100_000
NARROWINGS_MAX: Final = 50
# The library compares each value of one list with each of the other.
ENUM_PAIRS_MAX: Final = 250_000

# Keywords that only mean something together.
_GROUPS: Final = {"if": ("if", "then", "else"), "contains": ("contains", "minContains", "maxContains")}
_GROUPED: Final = frozenset(("then", "else", "minContains", "maxContains"))
_COMBINING: Final = frozenset(
    "anyOf oneOf allOf not if then else contains minContains maxContains properties patternProperties"
    " additionalProperties items prefixItems propertyNames dependentSchemas unevaluatedItems unevaluatedProperties"
    " $ref".split()
)
_WHOLE: Final = frozenset(("unevaluatedItems", "unevaluatedProperties"))


class Narrowing(NamedTuple):
    """A place of the new schema that may refuse what is accepted now; `proven` says that it certainly does."""

    pointer: str
    detail: str
    proven: bool


class _TooLong(Exception):
    """Ends a comparison that would go on for seconds."""


class Part(NamedTuple):
    """A schema within one of the documents that are compared."""

    document: int
    place: str


def narrowings(new: Schema, present: Sequence[Schema]) -> list[Narrowing]:
    """Where `new` is narrower than all of `present` together; with none of them any object was accepted."""
    comparison = _Comparison(new, present)
    found: dict[str, Narrowing] = {}
    try:
        for each in comparison.run():
            found.setdefault(each.pointer, each)
            if len(found) >= NARROWINGS_MAX:
                break
    except _TooLong:
        found.setdefault("", Narrowing("", "the schemas are too intricate to be compared as a whole", False))
    return list(found.values())


class _Comparison:
    """The new document has the number 0, the present ones follow. A list of parts means: all of them hold."""

    def __init__(self, new: Schema, present: Sequence[Schema]) -> None:
        self._nodes = [new.unfolded.nodes, *(each.unfolded.nodes for each in present), {"": {"type": "object"}}]
        self._registry = jsonschema_rs.Registry(
            [(f"urn:{number}", _without_id(nodes[""])) for number, nodes in enumerate(self._nodes)]
        )
        self._questions = 0
        self._steps = 0

    def run(self) -> Iterator[Narrowing]:
        return self._compare("", [Part(number, "") for number in range(1, len(self._nodes))])

    def _node(self, part: Part) -> Any:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise _TooLong
        return self._nodes[part.document][part.place]

    def _compare(self, place: str, olds: Iterable[Part]) -> Iterator[Narrowing]:
        """What at this place of the new document is narrower than everything that held there."""
        parts = list(self._conjuncts(olds))
        node = self._nodes[0][place]
        if node is True or any(self._node(part) is False or self._same(Part(0, place), part) for part in parts):
            return
        if node is False:
            yield Narrowing(place, "nothing may stand here any more", True)
            return
        held = [part for part in parts if isinstance(self._node(part), dict)]
        for keyword in node:
            if keyword in ANNOTATIONS or keyword in _GROUPED or keyword.startswith(OWN_PREFIX):
                continue
            walker = self._WALKERS.get(keyword)
            if walker is None:
                yield from self._weighed(place, keyword, held)
            else:
                yield from walker(self, place, node, held)

    def _conjuncts(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts with everything that they refer to and contain by allOf."""
        for part in parts:
            yield part
            node = self._node(part)
            if isinstance(node, dict):
                inner = [Part(part.document, f"{part.place}/allOf/{n}") for n in range(len(node.get("allOf", ())))]
                if "$ref" in node:
                    inner.append(Part(part.document, target_of(node["$ref"]) or ""))
                yield from self._conjuncts(inner)

    def _of_reference(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        return self._compare(target_of(node["$ref"]) or "", olds)

    def _of_all(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        for number in range(len(node["allOf"])):
            yield from self._compare(f"{place}/allOf/{number}", olds)

    def _of_any(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        """Fine when each alternative of before is within one of now; else the library is asked."""
        branches = range(len(node["anyOf"]))
        for part in olds:
            alternatives = self._node(part).get("anyOf", ())
            if alternatives and all(
                any(
                    self._covers(f"{place}/anyOf/{n}", [Part(part.document, f"{part.place}/anyOf/{o}")])
                    for n in branches
                )
                for o in range(len(alternatives))
            ):
                return
        yield from self._weighed(place, "anyOf", olds)

    def _covers(self, place: str, olds: Sequence[Part]) -> bool:
        return next(self._compare(place, olds), None) is None

    def _of_required(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        known = {name for part in olds for name in self._node(part).get("required", ())}
        for number, name in enumerate(node["required"]):
            answer = "yes" if name in known else self._ask({"required": [name]}, olds)
            if answer != "yes":
                yield Narrowing(f"{place}/required/{number}", f"{name!r} could be left out until now", answer == "no")

    def _of_properties(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        for name in node["properties"]:
            yield from self._within(f"{place}/properties{place_of((name,))}", self._named(name, olds))

    def _of_additional(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        where = f"{place}/additionalProperties"
        spoken_of = node.get("properties", {})
        names = {name for part in olds for name in self._node(part).get("properties", {}) if name not in spoken_of}
        for name in sorted(names):
            if not self._covers(where, self._named(name, olds)):
                yield Narrowing(where, f"{name!r} was known until now", True)
                return
        yield from self._within(where, self._named(None, olds))

    def _of_patterns(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        for pattern in node["patternProperties"]:
            below = place_of(("patternProperties", pattern))
            held = [part for part in olds if pattern in self._node(part).get("patternProperties", {})]
            if held:
                yield from self._compare(place + below, [Part(part.document, part.place + below) for part in held])
            else:
                yield from self._weighed(place, "patternProperties", olds)

    def _of_items(self, place: str, node: Mapping[str, Any], olds: Sequence[Part]) -> Iterator[Narrowing]:
        held = [part for part in olds if "items" in self._node(part) and "prefixItems" not in self._node(part)]
        yield from self._within(f"{place}/items", [Part(part.document, f"{part.place}/items") for part in held])

    def _within(self, place: str, olds: Sequence[Part]) -> Iterator[Narrowing]:
        if olds:
            yield from self._compare(place, olds)
        elif not self._covers(place, []):
            yield Narrowing(place, "anything could stand here until now", True)

    def _named(self, name: str | None, olds: Iterable[Part]) -> list[Part]:
        """What held for the member of this name, as far as that can be told; None is one that nothing speaks of."""
        found = []
        for part in olds:
            node = self._node(part)
            if name is not None and name in node.get("properties", {}):
                found.append(Part(part.document, part.place + place_of(("properties", name))))
            # A pattern may match the name: then what is said of all others does not hold for it.
            elif "additionalProperties" in node and "patternProperties" not in node:
                found.append(Part(part.document, f"{part.place}/additionalProperties"))
        return found

    def _weighed(self, place: str, keyword: str, olds: Sequence[Part]) -> Iterator[Narrowing]:
        """Asks the library whether one keyword (with its group) follows from what held."""
        node = self._nodes[0][place]
        if keyword == "enum" and any(_among(self._node(part).get("enum"), node["enum"]) for part in olds):
            return
        names = tuple(node) if keyword in _WHOLE else _GROUPS.get(keyword, (keyword,))
        answer = self._ask(_outside({name: node[name] for name in names if name in node}, 0), olds)
        if answer == "yes":
            return
        where = place + place_of((keyword,))
        if answer == "no":
            yield Narrowing(where, f"{keyword} refuses what is accepted now", True)
        else:
            yield Narrowing(where, f"it cannot be proven that {keyword} lets through all that is accepted now", False)

    def _ask(self, piece: Any, olds: Sequence[Part]) -> str:
        """yes, no or unknown: does `piece` admit all that `olds` admit together?"""
        nodes = [(part.document, self._node(part)) for part in olds]
        plain = [{k: v for k, v in node.items() if k not in _COMBINING} for _, node in nodes]
        if self._answer(piece, plain) == "yes":
            return "yes"
        return self._answer(piece, [_outside(node, number) for number, node in nodes])

    def _answer(self, piece: Any, olds: Sequence[Any]) -> str:
        self._questions += 1
        if self._questions > QUESTIONS_MAX or self._branches(piece) * self._branches({"allOf": olds}) > BRANCHES_MAX:
            return "unknown"
        if self._enumerated(piece) * self._enumerated({"allOf": olds}) > ENUM_PAIRS_MAX:
            return "unknown"
        try:
            wide, narrow = self._canonical(piece), self._canonical({"allOf": [*olds, True]})
            return str(wide.covers(narrow))
        except (ValueError, jsonschema_rs.ReferencingError):
            return "unknown"

    def _canonical(self, schema: Any) -> jsonschema_rs.CanonicalSchema:
        return jsonschema_rs.canonicalize(
            schema, draft=jsonschema_rs.Draft202012, validate_formats=True, pattern_options=PATTERNS,
            registry=self._registry, offline=True,
        )  # fmt: skip

    def _branches(self, schema: Any) -> int:
        """In how many ways a schema may have to be looked at, references followed; counted up to the limit."""
        if not isinstance(schema, dict):
            return 1
        total = 1
        for keyword, value in schema.items():
            if keyword in ("anyOf", "oneOf"):
                total *= max(1, len(value))
            elif keyword in ("if", "not", "contains", "dependentSchemas", "patternProperties"):
                total *= 2
            elif keyword == "dependentRequired":
                total *= 2 ** min(len(value), 10)
            elif keyword == "$ref":
                total *= self._branches(self._referred(value))
            for inner in _schemas_in(keyword, value):
                total *= self._branches(inner)
            if total > BRANCHES_MAX:
                return total
        return total

    def _enumerated(self, schema: Any) -> int:
        """How many values are listed in a schema, references followed; of one with few branches."""
        if not isinstance(schema, dict):
            return 0
        total = len(schema.get("enum", ()))
        for keyword, value in schema.items():
            inner = [self._referred(value)] if keyword == "$ref" else _schemas_in(keyword, value)
            total += sum(self._enumerated(each) for each in inner)
        return total

    def _referred(self, reference: str) -> Any:
        number, _, place = reference.removeprefix("urn:").partition("#")
        return _outside(self._nodes[int(number)][target_of("#" + place) or ""], int(number))

    def _same(self, one: Part, other: Part) -> bool:
        """Whether two schemas demand the same in the same words, wherever their definitions stand."""
        first, second = self._node(one), self._node(other)
        if not isinstance(first, dict) or not isinstance(second, dict):
            return first is second
        names = {name for name in first if name not in ANNOTATIONS and not name.startswith(OWN_PREFIX)}
        if names != {name for name in second if name not in ANNOTATIONS and not name.startswith(OWN_PREFIX)}:
            return False
        return all(self._same_keyword(name, one, other) for name in names)

    def _same_keyword(self, name: str, one: Part, other: Part) -> bool:
        mine, theirs = self._node(one)[name], self._node(other)[name]
        if name == "$ref":
            return self._same(Part(one.document, target_of(mine) or ""), Part(other.document, target_of(theirs) or ""))
        if name in SINGLE:
            return self._same_beneath((name,), one, other)
        if name in LISTED:
            return len(mine) == len(theirs) and all(self._same_beneath((name, n), one, other) for n in range(len(mine)))
        if name in NAMED:
            return set(mine) == set(theirs) and all(self._same_beneath((name, key), one, other) for key in mine)
        # As text: to Python 1 and true are the same.
        return msgspec.json.encode(mine, order="sorted") == msgspec.json.encode(theirs, order="sorted")

    def _same_beneath(self, path: tuple[str | int, ...], one: Part, other: Part) -> bool:
        below = place_of(path)
        return self._same(Part(one.document, one.place + below), Part(other.document, other.place + below))

    _WALKERS: Final = {
        "$ref": _of_reference,
        "allOf": _of_all,
        "anyOf": _of_any,
        "required": _of_required,
        "properties": _of_properties,
        "additionalProperties": _of_additional,
        "patternProperties": _of_patterns,
        "items": _of_items,
    }


def _among(few: Sequence[Any] | None, many: Sequence[Any]) -> bool:
    """As text: to Python 1 and true are the same."""
    if few is None:
        return False
    first, second = ({msgspec.json.encode(each, order="sorted") for each in values} for values in (few, many))
    return first <= second


def _without_id(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "$id"}


def _schemas_in(keyword: str, value: Any) -> list[Any]:
    if keyword in SINGLE:
        return [value]
    if keyword in LISTED:
        return list(value)
    return list(value.values()) if keyword in NAMED and keyword != "$defs" else []


def _outside(node: Any, number: int) -> Any:
    """A copy of a schema that can stand outside of its document: its references name the document."""
    if not isinstance(node, dict):
        return node
    copy: dict[str, Any] = {}
    for keyword, value in node.items():
        if keyword == "$ref":
            copy[keyword] = f"urn:{number}#{quote(target_of(value) or '')}"
        elif keyword in SINGLE:
            copy[keyword] = _outside(value, number)
        elif keyword in LISTED:
            copy[keyword] = [_outside(each, number) for each in value]
        elif keyword in NAMED and keyword != "$defs":
            copy[keyword] = {name: _outside(each, number) for name, each in value.items()}
        elif keyword not in ANNOTATIONS:
            copy[keyword] = value
    return copy

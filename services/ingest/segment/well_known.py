"""Which track calls does a mapping know better than by their own name? A compiled mapping, asked by name. Pure.

A mapping asks each entry in turn whether it holds, which is dear when most calls are none of its business. So the
entries are put beside the names that their conditions begin with, `body.slug == 'order_completed'`; those that begin
in another way are asked for every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.ingest.mapping.document import CompiledMapping
from services.ingest.mapping.entries import Entry
from services.ingest.refusals import MAPPING_FAILED, Reject
from services.ingest.segment.calls import slug


class WellKnownCalls:
    __slots__ = ("_by_slug", "_of_all")

    def __init__(self, mapping: CompiledMapping) -> None:
        named = [(entry, _slugs(entry)) for entry in mapping.entries]
        self._of_all = _mapping(mapping, [entry for entry, slugs in named if slugs is None])
        every = {name for _, slugs in named for name in slugs or ()}
        self._by_slug = {
            name: CompiledMapping(mapping.id, [entry for entry, slugs in named if slugs is None or name in slugs])
            for name in every
        }

    def covers(self, slug: str) -> bool:
        return self._of_all is not None or slug in self._by_slug

    def events(self, given: Mapping[str, Any]) -> list[bytes]:
        """Reject(MAPPING_FAILED) when an entry that holds makes nothing of the call."""
        mapping = self._by_slug.get(given["body"]["slug"], self._of_all)
        return [] if mapping is None else mapping.events(given)


def _mapping(whole: CompiledMapping, entries: list[Entry]) -> CompiledMapping | None:
    return CompiledMapping(whole.id, entries) if entries else None


def _slugs(entry: Entry) -> frozenset[str] | None:
    """The names that the entry can hold for; None when only the entry itself can tell."""
    if entry.when is None or entry.when.expression is None:
        return None
    return _slugs_in(entry.when.expression.parsed)


def _slugs_in(node: Any) -> frozenset[str] | None:
    match node:
        case {"type": "and_expression", "children": [first, second]}:
            found = [each for each in (_slugs_in(first), _slugs_in(second)) if each is not None]
            return frozenset.intersection(*found) if found else None
        case {"type": "or_expression", "children": [first, second]}:
            one, other = _slugs_in(first), _slugs_in(second)
            return None if one is None or other is None else one | other
        case {"type": "comparator", "value": "eq", "children": [{"type": "subexpression"} as left, right]}:
            path = [child.get("value") for child in left["children"]]
            if right["type"] != "literal" or not isinstance(right["value"], str):
                return None
            if path == ["body", "slug"]:
                return frozenset({right["value"]})
            if path == ["body", "event"]:
                return frozenset({slug(right["value"])})
    return None


class CurrentCalls:
    """The calls of the mapping that holds right now, which its owners may replace at any time.

    While there is one that cannot be read, nobody knows what any track call is: all are refused, and kept.
    """

    def __init__(self, mapping: Callable[[], CompiledMapping | None]) -> None:
        self._mapping = mapping
        # One pair, replaced whole: large bodies are examined on other threads.
        self._held: tuple[CompiledMapping | None, WellKnownCalls | None] = (None, None)

    def covers(self, slug: str) -> bool:
        calls = self._current()
        return calls is None or calls.covers(slug)

    def events(self, given: Mapping[str, Any]) -> list[bytes]:
        calls = self._current()
        if calls is None:
            detail = "The mapping of track calls cannot be read by this version of the program; activate another one."
            raise Reject(MAPPING_FAILED, "", detail)
        return calls.events(given)

    def _current(self) -> WellKnownCalls | None:
        mapping = self._mapping()
        held, calls = self._held
        if mapping is not held:
            calls = None if mapping is None else WellKnownCalls(mapping)
            self._held = (mapping, calls)
        return calls

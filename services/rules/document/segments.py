"""What is a segment, is it well written, and which segments does a document name? A segment is a named `who`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from libs.common.errors import Fault, Invalid
from services.rules.document import shape, wellformed
from services.rules.document.language import Condition, Rule, SegmentId, SegmentWhen, Strict, Text

KIND = "segment"
DEEP_MAX = 5
"""How many segments may stand within one another."""
RESERVED_IDS = ("validate",)
SERVER_SET = ("version", "status")


class SegmentTiming(Strict, frozen=True):
    zone: str = "customer"


class Segment(Strict, frozen=True):
    """`time.zone` is that by which its measures count days, wherever the segment is asked about."""

    id: SegmentId
    name: Text
    who: Annotated[list[Condition], Meta(min_length=1)]
    description: Annotated[str, Meta(max_length=2_000)] = ""
    version: int | None = None
    status: Literal["draft", "active", "paused", "retired"] | None = None
    time: SegmentTiming = msgspec.field(default_factory=SegmentTiming)
    tags: list[str] = []
    owner: str = ""
    note: Annotated[str, Meta(max_length=2_000)] = ""


Definitions = Mapping[str, Segment]
"""By id; what is not among them nobody may name."""


def decode(body: bytes) -> Segment:
    """A stored document, which was valid when it was stored; msgspec.ValidationError otherwise."""
    return msgspec.json.decode(body, type=Segment)


def read(document: Any) -> tuple[Segment, bytes]:
    """The segment in a decoded JSON document, and the JSON that is kept of it; Invalid with every fault."""
    found = shape.faults(document, Segment)
    segment = None
    if not found:
        try:
            segment = msgspec.convert(document, Segment)
        except msgspec.ValidationError as error:
            found = [Fault("", str(error))]
    if segment is not None:
        found = [Fault(pointer, detail) for pointer, detail in _findings(segment)]
    if found or segment is None:
        raise _invalid(found)
    kept = {name: each for name, each in document.items() if name not in SERVER_SET}
    return segment, msgspec.json.encode(kept)


def _findings(segment: Segment) -> Iterator[tuple[str, str]]:
    if segment.id in RESERVED_IDS:
        yield "/id", f"{segment.id} is the address of something else under /v1/segments; choose another"
    yield from wellformed.of_conditions(segment.who, "/who", ("profile",), measures=True)
    yield from wellformed.of_zone(segment.time.zone)


# --- who names whom ----------------------------------------------------------------------------------------------


def named(conditions: Iterable[Condition], at: str = "/who") -> Iterator[tuple[str, str]]:
    """The place and the id of every segment that the conditions ask about."""
    for index, each in enumerate(conditions):
        yield from _named(each, f"{at}/{index}")


def _named(condition: Condition, at: str) -> Iterator[tuple[str, str]]:
    if condition.in_segment is not None:
        yield f"{at}/in_segment", condition.in_segment
    for name, inner in (("any", condition.any_), ("all", condition.all_)):
        yield from named(inner or (), f"{at}/{name}")
    if condition.not_ is not None:
        yield from _named(condition.not_, f"{at}/not")


def named_by(document: Rule | Segment) -> list[tuple[str, str]]:
    found = list(named(document.who))
    when = document.when if isinstance(document, Rule) else None
    return [("/when/segment", when.segment), *found] if isinstance(when, SegmentWhen) else found


Chains = dict[tuple[str, int], str]
"""What is wrong with the chains that begin with a segment that many deep; each is walked once, however often named."""


def reference_faults(
    document: Rule | Segment, known: Definitions, how: str = "is no segment", chains: Chains | None = None
) -> list[Fault]:
    """What is wrong with the segments that a document names; `how` says what those are that are not known.

    `chains` may be shared by documents that are `known` themselves.
    """
    trail, chains = (document.id,) if isinstance(document, Segment) else (), {} if chains is None else chains
    found = []
    for pointer, id in named_by(document):
        if id not in known and id not in trail:
            near = [each for each in sorted(known) if each.startswith(id[:3])][:3]
            hint = f"; there is {', '.join(near)}" if near else ""
            found.append(Fault(pointer, f"{id} {how}{hint}"))
        elif fault := chain_fault(id, known, trail, chains):
            found.append(Fault(pointer, fault))
    return found


def chain_fault(id: str, known: Definitions, trail: tuple[str, ...], chains: Chains) -> str:
    """Empty where nothing is wrong; `trail` is what has been gone through before."""
    if id in trail:
        return f"goes round in a circle: {' > '.join((*trail, id))}"
    if len(trail) >= DEEP_MAX:
        return f"has more than {DEEP_MAX} segments within one another: {' > '.join((*trail, id))}"
    at = (id, len(trail))
    if at not in chains:
        inner = known.get(id)
        names = dict.fromkeys(each for _, each in (named_by(inner) if inner is not None else ()))
        faults = (chain_fault(each, known, (*trail, id), chains) for each in names)
        chains[at] = next((each for each in faults if each), "")
    return chains[at]


def require_references(document: Rule | Segment, known: Definitions, how: str = "is no segment") -> None:
    if found := reference_faults(document, known, how):
        raise _invalid(found)


def needed_by(document: Rule | Segment, known: Definitions) -> set[str]:
    """The ids of all segments that it rests on, directly or not."""
    waiting, found = [id for _, id in named_by(document)], set[str]()
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            waiting += [each for _, each in named_by(known[id])] if id in known else []
    return found


def _invalid(found: list[Fault]) -> Invalid:
    first = found[0]
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return Invalid(f"{first.pointer or 'the document'}: {first.detail}{more}", found)

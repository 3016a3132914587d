"""What is read of the past, as documents: the rules that are new, and the segments that they or their askers need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec import Raw, Struct

from libs.common.documents.reading import load_together
from services.rules.document.segments import KIND as SEGMENT_KIND
from services.rules.engine.compiled import SEGMENT
from services.rules.engine.snapshot import Source
from services.rules.warming.needs import Wanted

KIND = "rule"
MEANING = ("who", "time")
"""What is the meaning of a segment, and of whom an event without a person concerns."""
_NAMES = (b'"in_segment"', b'"segment"')


class Written(Struct, frozen=True):
    """A version of a document in force, and since which change it has meant the same."""

    id: str
    version: int
    body: Raw
    began: int = 0

    @property
    def silent(self) -> Source:
        """It is followed, and nobody is told."""
        return Source(bytes(self.body), self.version, False, 100, self.began)


class Documents(Struct, frozen=True):
    """Rules, and the segments beside them."""

    rules: list[Written]
    segments: list[Written]


async def load(connection: Any, wanted: Collection[Wanted]) -> Documents:
    """Of what is still in force in that version. Segments are all there or none: one may be named within another."""
    versions = {(each.id, each.version) for each in wanted}
    _, documents = await load_together(connection, KIND, [SEGMENT_KIND], MEANING)
    made = [(each.kind, Written(each.id, each.version, Raw(each.body), each.began)) for each in documents]
    rules = [each for kind, each in made if kind == KIND and (each.id, each.version) in versions]
    named = any(each.id.startswith(SEGMENT) for each in wanted)
    named = named or any(name in bytes(each.body) for each in rules for name in _NAMES)
    return Documents(rules, [each for kind, each in made if kind == SEGMENT_KIND] if named else [])

"""Which triggers and segments are in the library, what does each catch, and which text of it is this?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from services.rules.document import segments
from services.rules.document.language import Rule
from services.rules.library.traits import TRAITS

_FOLDER: Final = Path(__file__).parent
_TEXT_LENGTH: Final = 12

SUBJECTS: Final[Mapping[str, str]] = {
    "life": "Life stage",
    "welcome": "Welcome",
    "permission": "Permission",
    "advocacy": "Advocacy",
    "buying": "Buying",
    "value": "Value",
    "dormancy": "Dormancy and win-back",
    "dates": "Contracts and dates",
    "usage": "Usage cycle",
    "service": "Service",
    "channel": "Channel",
    "data": "Data",
    "surroundings": "Prices, stock, branches and weather",
}
"""By the name of the folder, in the order in which people read them."""


class ReadySegment(NamedTuple):
    """`sentence` says who is in it and why it matters. `text` marks the wording, as that of a trigger does."""

    id: str
    name: str
    subject: str
    sentence: str
    text: str
    document: Mapping[str, Any]

    @property
    def body(self) -> bytes:
        return msgspec.json.encode(self.document)


class Trigger(NamedTuple):
    """`sentence` says which moment is caught and why it matters. `traits` are those that the company has to deliver,
    and `segments` the library's own that it rests on, directly or not.

    `text` marks the wording of the document: another one is another text, however it is laid out.
    """

    id: str
    name: str
    subject: str
    sentence: str
    kind: str
    traits: tuple[str, ...]
    segments: tuple[str, ...]
    text: str
    document: Mapping[str, Any]


@cache
def ready_segments() -> Mapping[str, ReadySegment]:
    """All segments by id, in the order of their ids. Whatever names one lies in the folder of the same subject."""
    found = [_segment(path) for subject in SUBJECTS for path in (_FOLDER / subject / "segments").glob("*.json")]
    return {each.id: each for each in sorted(found)}


@cache
def library() -> Mapping[str, Trigger]:
    """All triggers by id, in the order of their ids."""
    found = [read(path) for subject in SUBJECTS for path in (_FOLDER / subject).glob("*.json")]
    return {each.id: each for each in sorted(found)}


def read(path: Path) -> Trigger:
    """The trigger in a file; its folder is its subject."""
    document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    rests_on = _rests_on(document)
    parts = [{name: value for name, value in document.items() if name != "tests"}]
    parts += [dict(ready_segments()[id].document) for id in rests_on]
    named = set(_profile_fields(parts))
    return Trigger(
        document["id"],
        document["name"],
        path.parent.name,
        document["note"],
        document["when"]["type"],
        tuple(sorted(named & TRAITS.keys())),
        rests_on,
        _text(document),
        document,
    )


def _segment(path: Path) -> ReadySegment:
    document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    subject = path.parents[1].name
    return ReadySegment(document["id"], document["name"], subject, document["note"], _text(document), document)


def _rests_on(document: Mapping[str, Any]) -> tuple[str, ...]:
    known = {id: segments.decode(each.body) for id, each in ready_segments().items()}
    return tuple(sorted(segments.needed_by(msgspec.convert(document, Rule), known)))


def _text(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()[:_TEXT_LENGTH]


def _profile_fields(value: Any) -> Iterator[str]:
    """The names of all profile fields that a part of a document mentions."""
    if isinstance(value, str):
        root, _, name = value.partition(".")
        if root in ("profile", "was", "now") and name:
            yield name.partition(".")[0]
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _profile_fields(name)
            yield from _profile_fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _profile_fields(inner)

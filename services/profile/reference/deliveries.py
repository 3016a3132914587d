"""Which customers are the lines of a delivery of traits about, and what is said of them? Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import Struct
from pydantic import Field, model_validator

from libs.common.clock import derived_id
from libs.common.errors import Fault
from libs.common.events import IDENTIFIER_TYPES
from libs.common.web import Document
from services.profile.identity import Table
from services.profile.normal import normalised
from services.profile.reference.lines import Line

TRAITS_MAX: Final = 50
Text = Annotated[str, Field(max_length=500)]
TraitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class TraitLine(Document):
    """One person by identifiers, the strongest of which counts, and what is said of them.

    A line of a table has both in one row: columns that are called as types of identifiers, and all others.
    """

    identifiers: dict[str, Text]
    traits: Annotated[dict[TraitName, bool | int | float | Text], Field(min_length=1, max_length=TRAITS_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _parted(cls, said: Any) -> Any:
        if not isinstance(said, dict) or "traits" in said or "identifiers" in said:
            return said
        identifiers = {name: each for name, each in said.items() if _is_identifier(name)}
        return {
            "identifiers": identifiers,
            "traits": {name: each for name, each in said.items() if name not in identifiers},
        }


def _is_identifier(name: str) -> bool:
    return name in IDENTIFIER_TYPES or name.startswith("partner:")


class Meant(Struct, gc=False):
    """A line with the keys under which the person may be known, the strongest first."""

    place: int
    keys: list[str]
    traits: dict[str, Any]


def meant_by(lines: Sequence[Line[TraitLine]], region: str, table: Table) -> list[Meant]:
    """The lines that can be looked up; a fault is put on the others."""
    found = []
    for place, line in enumerate(lines):
        if line.document is None:
            continue
        unknown = [name for name in line.document.identifiers if not _is_identifier(name)]
        keys = table.keys_of(normalised(line.document.identifiers, region, table)) if not unknown else []
        # A browser or a device is anybody's who sits before it.
        keys = [key for key in keys if not table.is_session(key)]
        if unknown or not keys:
            what = f"{unknown[0]!r} is no type of identifier" if unknown else "there is none that tells who it is"
            line.faults = [Fault("/identifiers", what)]
            continue
        found.append(Meant(place, keys, line.document.traits))
    return found


class Match(Struct, gc=False):
    """A line whose customer is known; `command_id` follows from the delivery and the place in it."""

    command_id: str
    customer_id: str
    traits: dict[str, Any]


def matches(delivery_id: str, meant: Sequence[Meant], records: Mapping[str, str]) -> list[Match]:
    """`records` are the customers of keys, as far as they are known."""
    found = []
    for each in meant:
        record = next((records[key] for key in each.keys if key in records), None)
        if record is not None:
            found.append(Match(command_id(delivery_id, each.place), record, each.traits))
    return found


def command_id(delivery_id: str, place: int) -> str:
    return str(derived_id("enrich", delivery_id, place))


def counted(found: Sequence[Match]) -> dict[str, int]:
    """How often each trait was given."""
    counts = Counter(name for each in found for name in each.traits)
    return dict(sorted(counts.items()))

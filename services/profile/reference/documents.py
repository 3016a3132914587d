"""What do owners write of their products, places and staff? The documents, and what makes them fit together. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from libs.common.errors import Fault
from libs.common.web import Document

CODE: Final = r"^[^\s/](?:[^\x00-\x1f]*[^\s])?$"
_HOURS: Final = re.compile(
    r"(mon|tue|wed|thu|fri|sat|sun|holiday)(-(mon|tue|wed|thu|fri|sat|sun))?"
    r" ([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)"
)

Code = Annotated[str, Field(min_length=1, max_length=200, pattern=CODE)]
Name = Annotated[str, Field(max_length=200)]


def _category(path: str) -> str:
    parts = [part.strip() for part in path.split("/")]
    if path and not all(parts):
        raise ValueError("name every step of the way, such as food/bakery/bread")
    return "/".join(parts)


def _zone(name: str) -> str:
    if name and name not in _zones():
        raise ValueError("use a name of the IANA time zone database, such as Asia/Seoul")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _hours(text: str) -> str:
    if not _HOURS.fullmatch(text):
        raise ValueError(
            'write days and times, such as "mon-fri 10:00-20:00", "sat 10:00-18:00" or "holiday 11:00-17:00"'
        )
    return text


class ProductFacts(Document):
    """`category` is the way from the root of the tree; `margin` the share of the price that is left, 0.25 for 25 %."""

    name: Name = ""
    category: Annotated[str, Field(max_length=500), AfterValidator(_category)] = ""
    brand: Name = ""
    margin: Annotated[Decimal, Field(ge=-10, le=1, max_digits=9, decimal_places=6)] | None = None


class PlaceFacts(Document):
    """A head office stands above regions, a region above branches (and smaller regions); the branch is at the end."""

    name: Name = ""
    kind: Literal["head_office", "region", "branch"] = "branch"
    parent: Name = ""
    zone: Annotated[str, Field(max_length=100), AfterValidator(_zone)] = ""
    ownership: Literal["own", "independent"] = "own"
    opening_hours: Annotated[list[Annotated[str, AfterValidator(_hours)]], Field(max_length=50)] = []


class StaffFacts(Document):
    name: Name = ""
    job: Name = ""
    branch: Name = ""


class ProductLine(ProductFacts):
    code: Code


class PlaceLine(PlaceFacts):
    code: Code


class StaffLine(StaffFacts):
    code: Code


_ABOVE: Final[Mapping[str, tuple[str, ...]]] = {
    "head_office": (),
    "region": ("head_office", "region"),
    "branch": ("head_office", "region", "branch"),
}


def parent_fault(code: str, wanted: PlaceFacts, kinds: Mapping[str, str], parents: Mapping[str, str]) -> Fault | None:
    """What is wrong with the place above; `kinds` and `parents` are of all places as they would be then, by code."""
    if not wanted.parent:
        return None
    kind = kinds.get(wanted.parent)
    if kind is None:
        return Fault("/parent", f"there is no place {wanted.parent!r}; write it first")
    if kind not in _ABOVE[wanted.kind]:
        return Fault("/parent", f"a {wanted.kind} does not belong under a {kind}")
    above, seen = wanted.parent, {code}
    while above:
        if above in seen:
            return Fault("/parent", "it would lie beneath itself")
        seen.add(above)
        above = parents.get(above, "")
    return None

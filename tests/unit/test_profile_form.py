"""Is the number of the form raised whenever states that were written before could not be read any more?"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from services.profile.person.state import FORM, Customer

SHAPES = {1: "55deb4eb212b67de"}
"""The checksum of the shape of a customer by its number."""


def shape_of(root: type[msgspec.Struct]) -> str:
    """A checksum of all structs that can be reached: names, types, order, defaults, and how they are packed."""
    return hashlib.sha256(told(inspect.type_info(root), set()).encode()).hexdigest()[:16]


def told(kind: Any, seen: set[type]) -> str:
    """A type as text; a struct with all its fields where it is met first."""
    name = type(kind).__name__
    if isinstance(kind, inspect.StructType):
        return _struct(kind, seen)
    if isinstance(kind, inspect.LiteralType):
        return f"{name}{sorted(map(repr, kind.values))}"
    if isinstance(kind, inspect.EnumType):
        return f"{name}{[(each.name, each.value) for each in kind.cls]}"
    parts = [getattr(kind, part) for part in ("item_type", "key_type", "value_type") if hasattr(kind, part)]
    parts += [*getattr(kind, "item_types", ()), *getattr(kind, "types", ())]
    return f"{name}({', '.join(told(each, seen) for each in parts)})"


def _struct(kind: inspect.StructType, seen: set[type]) -> str:
    if kind.cls in seen:
        return kind.cls.__name__
    seen.add(kind.cls)
    lines = [f"{kind.cls.__name__} {kind.array_like} {kind.tag_field} {kind.tag}"]
    for each in kind.fields:
        default = each.default if each.default_factory is msgspec.NODEFAULT else each.default_factory()
        lines.append(f"{each.encode_name}: {told(each.type, seen)} = {default!r}")
    return "{" + "\n".join(lines) + "}"


def test_the_number_of_the_form_is_raised_with_every_change_of_the_shape() -> None:
    found = shape_of(Customer)
    assert SHAPES.get(FORM) == found, (
        f"The shape of Customer is not the one that has the number {FORM}: states that were written before would be"
        " read wrongly or not at all. Raise FORM in services/profile/person/state.py by one, so that they are folded"
        f" anew, and put the new number with the checksum {found!r} into SHAPES here."
    )


class Inner(msgspec.Struct):
    held: bytes = b""


class Whole(msgspec.Struct):
    inner: Inner | None = None
    days: dict[str, list[Inner]] = {}


def whole(*fields: Any) -> type[msgspec.Struct]:
    inner: Any = msgspec.defstruct("Inner", fields)
    return msgspec.defstruct("Whole", [("inner", inner | None, None), ("days", dict[str, list[inner]], {})])


def test_the_same_shape_has_the_same_checksum() -> None:
    assert shape_of(Whole) == shape_of(whole(("held", bytes, b"")))


@pytest.mark.parametrize(
    "fields",
    [
        [("held", list[int], msgspec.field(default_factory=list))],
        [("held", bytes, b"-")],
        [("kept", bytes, b"")],
        [("held", bytes, b""), ("more", int, 0)],
        [("more", int, 0), ("held", bytes, b"")],
    ],
)
def test_a_change_of_any_struct_within_is_another_shape(fields: list[Any]) -> None:
    assert shape_of(whole(*fields)) != shape_of(Whole)

"""How much may be said of one customer? So much that whatever tells of it can still be delivered.

Which traits have room follows from all that was ever said, never from the order in which it came: the names have a
fixed lot, each takes the room of the largest value that was said of it, and those stay that come before the first one
for which there is no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from services.profile.person.panes import lot

TRAITS_MAX: Final = 300
NAME_LENGTH_MAX: Final = 200
VALUE_BYTES_MAX: Final = 2_048
RECORD_BYTES_MAX: Final = 65_536
NO_ROOM: Final = (
    f"has no room: a customer has at most {TRAITS_MAX} traits of {RECORD_BYTES_MAX:,} bytes together, where each takes"
    " those of the largest value that was ever said of it"
)

_encode: Final = msgspec.json.Encoder().encode
_store: Final = msgspec.msgpack.Encoder().encode


class Roomy(Protocol):
    room: int


def room_of(name: str, value: Any) -> int:
    """The bytes of name and value as JSON; 0 where one of them cannot be kept."""
    if len(name) > NAME_LENGTH_MAX:
        return 0
    size = len(_encode(value))
    if value.__class__ is not str and not _fits_in_a_row(value):
        return 0
    return size + len(name.encode("utf-8", "surrogatepass")) if size <= VALUE_BYTES_MAX else 0


def _fits_in_a_row(value: Any) -> bool:
    """A number of a hundred digits is no number to the states' form."""
    try:
        return bool(_store(value))
    except OverflowError:
        return False


def has_place(name: str, end: str) -> bool:
    """Whether a name comes before `end`, the first one without room; empty where there is room for all."""
    return not end or lot(name) < lot(end)


def is_full(count: int, filled: int) -> bool:
    return count > TRAITS_MAX or filled > RECORD_BYTES_MAX


def without_room(held: Mapping[str, Roomy]) -> list[str]:
    """The names that there is no room for, the last by lot first."""
    filled, count = sum(each.room for each in held.values()), len(held)
    given_up: list[str] = []
    for name in sorted(held, key=lot, reverse=True):
        if not is_full(count - len(given_up), filled):
            break
        filled -= held[name].room
        given_up.append(name)
    return given_up


def fault_of(name: str, value: Any) -> str:
    """Why such a trait cannot be kept of anybody; empty where it can."""
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        return f"is no name of a trait: it must have 1 to {NAME_LENGTH_MAX} characters"
    if not room_of(name, value):
        return f"is too long, or no number of 64 bits: a value has at most {VALUE_BYTES_MAX:,} bytes"
    return ""

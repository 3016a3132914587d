"""How much may be said of one customer? So much that whatever tells of it can still be delivered.

Which traits have room follows from all that was ever said, never from the order in which it came: the names have a
fixed lot, each takes the room of the largest value that was said of it, and those stay that come before the first one
for which there is no room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from services.profile.person.panes import lot

TRAITS_MAX: Final = 300
NAME_LENGTH_MAX: Final = 200
VALUE_BYTES_MAX: Final = 2_048
RECORD_BYTES_MAX: Final = 65_536

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


def faults_of(said: Mapping[str, Any], known: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """By name, why something cannot be said of a customer of whom `known` is known already."""
    for name, value in said.items():
        if not 1 <= len(name) <= NAME_LENGTH_MAX:
            yield name, f"is no name of a trait: it must have 1 to {NAME_LENGTH_MAX} characters"
        elif not room_of(name, value):
            yield name, f"is too long, or no number of 64 bits: a value has at most {VALUE_BYTES_MAX:,} bytes"
    new = [name for name in said if name not in known]
    together = {**known, **said}
    if new and len(together) > TRAITS_MAX:
        yield new[0], f"is one too many: a customer has at most {TRAITS_MAX} traits"
    elif said and sum(room_of(*each) for each in together.items()) > RECORD_BYTES_MAX:
        yield next(iter(said)), f"is too much: the traits of a customer have at most {RECORD_BYTES_MAX:,} bytes"

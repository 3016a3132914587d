"""How long may a filter make a text? Liquid's own limits watch loops and output, not what one filter brings forth."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

OUTPUT_LENGTH_MAX = 100_000
_ITEMS_MAX = 10_000


class TooLong(Exception):
    """A filter would make more than a message can hold."""


def bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing before it makes a giant by multiplication, and after it made anything too long."""
    expected = _GROWTH.get(name)

    @wraps(function)
    def checked(value: Any, *arguments: Any, **named: Any) -> Any:
        if expected is not None and expected(value, arguments) > OUTPUT_LENGTH_MAX:
            raise TooLong(f"the filter {name} makes more than {OUTPUT_LENGTH_MAX} characters")
        return _measured(name, function(value, *arguments, **named))

    return checked


def _measured(name: str, made: Any) -> Any:
    if isinstance(made, str) and len(made) > OUTPUT_LENGTH_MAX:
        raise TooLong(f"the filter {name} makes more than {OUTPUT_LENGTH_MAX} characters")
    if isinstance(made, (list, tuple)) and len(made) > _ITEMS_MAX:
        raise TooLong(f"the filter {name} makes more than {_ITEMS_MAX} items")
    if isinstance(made, int) and made.bit_length() > 256:
        raise TooLong(f"the filter {name} makes too large a number")
    return made


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple)) else len(str(value))


def _of_replace(value: Any, arguments: tuple[Any, ...]) -> int:
    if len(arguments) < 2:
        return 0
    # An empty pattern stands between all characters.
    return _length(value) + (_length(value) + 1) * _length(arguments[1]) // max(1, _length(arguments[0]))


def _of_join(value: Any, arguments: tuple[Any, ...]) -> int:
    return _length(value) * _length(arguments[0]) if arguments else 0


_GROWTH: dict[str, Callable[[Any, tuple[Any, ...]], int]] = {"replace": _of_replace, "join": _of_join}

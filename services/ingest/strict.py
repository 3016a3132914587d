"""Can every part behind the door hold this JSON? Cheap scans of bytes, and the exact walk only on suspicion.

msgspec has checked the grammar by then, control characters and surrogate pairs included; it leaves open what
PostgreSQL refuses (U+0000, endless numbers) and what other readers change (integers beyond 64 bits, broken UTF-8).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from services.ingest.refusals import NOT_JSON, UNSAFE_VALUE, Reject

DEPTH_MAX: Final = 32
NAMES_MAX: Final = 512
STRING_BYTES_MAX: Final = 32 * 1024
NUMBER_LENGTH_MAX: Final = 64
EXPONENT_MAX: Final = 99

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_SHAPE = bytes.maketrans(b"123456789E{", b"000000000e[")
_SIGNS = b"+-"
_LONG_NUMBER = b"0" * 19
_LONG_EXPONENT = b"0e000"
# The shortest member is `"":1,`, so that fewer bytes cannot hold too many names, nor too long a text.
_SMALL_BYTES_MAX = 5 * NAMES_MAX


class _Unfit:
    """Stands where a number was that cannot be carried, until the walk knows its place."""

    def __init__(self, detail: str) -> None:
        self.detail = detail


def check(raw: bytes) -> None:
    """Raises Reject for what cannot be carried on unchanged; `raw` is an event of checked grammar."""
    if not raw.isascii():
        _text(raw)
    if _is_suspicious(raw):
        parse(raw)


def parse(raw: bytes) -> Any:
    """The exact walk: the value, or Reject with a pointer to the first thing that is wrong."""
    text = _text(raw)
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise Reject(
            NOT_JSON, "", f"The event is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep("") from None
    _walk(value)
    return value


def pointer(parts: Iterable[str | int]) -> str:
    """An RFC 6901 pointer, safe to print whatever the names hold."""
    return "".join("/" + printable(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def printable(text: str, length_max: int = 200) -> str:
    """Text as far as it may stand in an answer: no half characters, no NUL, not endless."""
    return text[:length_max].encode("utf-8", "replace").decode("utf-8").replace("\x00", "\\u0000")


def _is_suspicious(raw: bytes) -> bool:
    """Never False for what the walk would refuse; True for some that are fine, such as a 20-digit string."""
    if len(raw) > _SMALL_BYTES_MAX and (len(raw) > STRING_BYTES_MAX or raw.count(b":") > NAMES_MAX):
        return True
    if b"\\" in raw and b"\\u0000" in raw:
        return True
    # One letter for all digits, one for both brackets that open, no signs: then plain searches find what would
    # take regexes many times as long.
    shape = raw.translate(_SHAPE, _SIGNS)
    return shape.count(b"[") > DEPTH_MAX or _LONG_NUMBER in shape or _LONG_EXPONENT in shape


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Reject(NOT_JSON, "", f"The event is not UTF-8 at byte {error.start}.") from None


def _integer(text: str) -> object:
    # The length is looked at first: converting a million digits takes seconds.
    if len(text) > 20 or not _INT_MIN <= int(text) <= _INT_MAX:
        return _Unfit("The integer does not fit into 64 bits; send it as a string.")
    return int(text)


def _number(text: str) -> object:
    exponent = text.lower().partition("e")[2]
    # More than 20 characters of exponent are leading zeros at best.
    if len(text) > NUMBER_LENGTH_MAX or len(exponent) > 20 or abs(int(exponent or 0)) > EXPONENT_MAX:
        return _Unfit(
            f"The number has more than {NUMBER_LENGTH_MAX} characters or an exponent beyond {EXPONENT_MAX}; "
            "send it as a string."
        )
    value = float(text)
    return value if math.isfinite(value) else _Unfit("The number is not finite.")


def _constant(name: str) -> object:
    return _Unfit(f"{name} is no JSON number; leave the attribute out or send null.")


def _walk(document: Any) -> None:
    names = 0
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict | list):
            if len(path) >= DEPTH_MAX:
                raise _too_deep(pointer(path))
            if isinstance(value, dict):
                names += len(value)
                if names > NAMES_MAX:
                    raise Reject(UNSAFE_VALUE, "", f"The event has more than {NAMES_MAX} names.")
                for name in value:
                    _check_text(name, path, "A name")
            waiting.extend(((*path, key), inner) for key, inner in _parts(value))
        else:
            _check_leaf(value, path)


def _check_leaf(value: Any, path: tuple[str | int, ...]) -> None:
    if isinstance(value, str):
        _check_text(value, path, "The text")
    elif isinstance(value, _Unfit):
        raise Reject(UNSAFE_VALUE, pointer(path), value.detail)


def _parts(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    yield from value.items() if isinstance(value, dict) else enumerate(value)


def _check_text(text: str, path: tuple[str | int, ...], what: str) -> None:
    if "\x00" in text:
        raise Reject(UNSAFE_VALUE, pointer(path), f"{what} contains U+0000, which cannot be stored.")
    try:
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except UnicodeEncodeError:
        detail = f"{what} contains half of a surrogate pair, which is no character."
        raise Reject(UNSAFE_VALUE, pointer(path), detail) from None
    if size > STRING_BYTES_MAX:
        raise Reject(UNSAFE_VALUE, pointer(path), f"{what} is longer than {STRING_BYTES_MAX} bytes.")


def _too_deep(where: str) -> Reject:
    return Reject(UNSAFE_VALUE, where, f"The event is nested more than {DEPTH_MAX} deep.")

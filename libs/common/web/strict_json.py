"""Is this body JSON that every part behind can hold? Pure: bytes in, the reason for refusal out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from libs.common.errors import Fault, Invalid, Refused

DEPTH_MAX = 32
KEYS_MAX = 10_000
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def check(body: bytes) -> None:
    """Raises Refused (400) for what is not JSON and Invalid (422) for what would be changed or refused later.

    Parsers disagree on NaN, on numbers beyond 64 bits and on repeated names, and PostgreSQL refuses NUL and
    lone surrogates; whatever passes here means the same everywhere.
    """
    for pointer, detail in _findings(_parse(body)):
        raise Invalid(f"{pointer or 'the document'}: {detail}", [Fault(pointer, detail)])


class _Unfit(NamedTuple):
    """Stands for a number that cannot be kept, until it is known where it stands."""

    reason: str


class _Repeating(dict[str, Any]):
    """An object in which a name occurs twice."""

    repeated = ""


def _parse(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"The body is not UTF-8 at byte {error.start}.") from None
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_number,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Refused(f"The body is not JSON: {error.msg} at {where}.") from None
    except RecursionError:
        detail = f"nested more than {DEPTH_MAX} deep"
        raise Invalid(f"The document is {detail}.", [Fault("", detail)]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        made = _Repeating(made)
        made.repeated = _first_repeated(pairs)
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise Refused(f"The body is not JSON: {name} is no JSON number.")


def _number(text: str) -> float | _Unfit:
    value = float(text)
    return value if math.isfinite(value) else _Unfit("a number that is too large")


def _integer(text: str) -> int | _Unfit:
    # The length is looked at first: converting a million digits takes seconds.
    if len(text) > 20 or not _INT_MIN <= int(text) <= _INT_MAX:
        return _Unfit("an integer that does not fit into 64 bits; send it as a string")
    return int(text)


def _findings(document: Any) -> Iterator[tuple[str, str]]:
    names = 0
    waiting: list[tuple[str, Any, int]] = [("", document, 1)]
    while waiting:
        pointer, value, depth = waiting.pop()
        if isinstance(value, str | _Unfit):
            if fault := value.reason if isinstance(value, _Unfit) else _fault_of_text(value):
                yield pointer, fault
            continue
        if depth > DEPTH_MAX:
            yield pointer, f"nested more than {DEPTH_MAX} deep"
            continue
        if isinstance(value, dict):
            names += len(value)
            if names > KEYS_MAX:
                yield "", f"more than {KEYS_MAX} names"
                return
            yield from _faults_of_names(pointer, value)
        waiting.extend((f"{pointer}/{_escaped(key)}", inner, depth + 1) for key, inner in _parts(value))


def _faults_of_names(pointer: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(value, _Repeating):
        yield f"{pointer}/{_escaped(value.repeated)}", "occurs twice in one object"
    if bad := next((name for name in value if _fault_of_text(name)), None):
        yield pointer, f"a name {_fault_of_text(bad)}"


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ((key, inner) for key, inner in pairs if isinstance(inner, str | dict | list | _Unfit))


def _fault_of_text(text: str) -> str:
    if "\x00" in text:
        return "contains the character U+0000, which cannot be stored"
    if not text.isascii() and not _encodable(text):
        return "contains half of a surrogate pair, which is no character"
    return ""


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _escaped(key: str | int) -> str:
    return _plain(str(key)).replace("~", "~0").replace("/", "~1")


def _plain(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")

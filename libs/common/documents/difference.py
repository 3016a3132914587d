"""What is different between two versions of a document? Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def diff(was: Any, now: Any) -> list[dict[str, Any]]:
    """One entry per changed place: `pointer` (RFC 6901), and `was` and `now` where there is something."""
    return list(_changes("", was, now))


def _changes(pointer: str, was: Any, now: Any) -> Iterator[dict[str, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        # The order of the newer version, then what is gone.
        for name in [*now, *(name for name in was if name not in now)]:
            yield from _member(f"{pointer}/{_escaped(name)}", was, now, name)
    elif isinstance(was, list) and isinstance(now, list):
        for index in range(max(len(was), len(now))):
            yield from _member(f"{pointer}/{index}", dict(enumerate(was)), dict(enumerate(now)), index)
    elif not _same(was, now):
        yield {"pointer": pointer, "was": was, "now": now}


def _member(pointer: str, was: dict[Any, Any], now: dict[Any, Any], name: Any) -> Iterator[dict[str, Any]]:
    if name not in was:
        yield {"pointer": pointer, "now": now[name]}
    elif name not in now:
        yield {"pointer": pointer, "was": was[name]}
    else:
        yield from _changes(pointer, was[name], now[name])


def _same(was: Any, now: Any) -> bool:
    # In Python True equals 1; in a document they are different things.
    return isinstance(was, bool) == isinstance(now, bool) and bool(was == now)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

"""How is much kept in little room, so that the order in which it came leaves no trace?

A thing is known by the newest statement about it, and of many things the newest stay. Whatever has had to go is older
than all that stays, so it would have gone in any order. What must not depend on time is kept by name instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from typing import Final, TypeVar

from msgspec import Struct

WHOLE_MAX: Final = 10**18
KEY_LENGTH_MAX: Final = 200


class Statement(Struct, array_like=True, order=True, frozen=True, gc=False):
    """What is said of one thing at an instant (Unix milliseconds); of two at once the same counts in any order."""

    at_ms: int


T = TypeVar("T", bound=Statement)
S = TypeVar("S")


def keep_newest(held: dict[str, T], name: str, found: T, most: int) -> bool:
    """Keep the newest statement about `name`, and the names with the `most` newest ones; says whether it was new."""
    known = held.get(name)
    if known is not None:
        if not known < found:
            return False
    elif len(held) >= most:
        oldest = min(held, key=lambda each: (held[each], each))
        if (found, name) <= (held[oldest], oldest):
            return False
        del held[oldest]
    held[name] = found
    return True


def newest_of(each: Iterable[Mapping[str, T]]) -> Mapping[str, T]:
    """What several records know together; what one knows alone is given as it is, and not to be changed."""
    known_by = list(each)
    if len(known_by) == 1:
        return known_by[0]
    merged: dict[str, T] = {}
    for held in known_by:
        for name, found in held.items():
            known = merged.get(name)
            if known is None or known < found:
                merged[name] = found
    return merged


def keep_largest(held: list[int], found: int, most: int) -> bool:
    """Keep the `most` largest of distinct numbers, in order; says whether it was new."""
    if found in held or (len(held) >= most and found < held[0]):
        return False
    held.append(found)
    held.sort()
    if len(held) > most:
        del held[0]
    return True


def keep_by_mark(held: dict[str, S], name: str, found: S, most: int) -> bool:
    """Keep what is new under `<place>/<mark>`, where there is no room the lowest marks; says whether it stays.

    Which names stay does not depend on time, so that what is summed up under each of them is complete.
    """
    if len(held) >= most:
        last = max(held, key=_by_mark)
        if _by_mark(name) > _by_mark(last):
            return False
        del held[last]
    held[name] = found
    return True


def _by_mark(name: str) -> tuple[str, str]:
    return name.rpartition("/")[2], name


def text_of(value: object, length_max: int = KEY_LENGTH_MAX) -> str:
    """A text or a whole number as a text within bounds; empty for anything else."""
    if isinstance(value, str):
        return value.strip()[:length_max]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < WHOLE_MAX:
        return str(value)
    return ""


def number_of(value: object) -> float | None:
    """A number that can be reckoned with; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if abs(value) < WHOLE_MAX else None


def day_of(value: object) -> int:
    """The ordinal of a day that is written as one, or as an instant on it; 0 for anything else, and for "never"."""
    if not isinstance(value, str) or len(value) < 10:
        return 0
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        return 0
    # Whoever has to name an end where there is none names the last year there is, after which no clock can be set.
    return day.toordinal() if day.year < date.max.year else 0


@lru_cache(maxsize=4096)
def written(day: int) -> str | None:
    """A day as everybody writes it; None for the day that nobody named."""
    return date.fromordinal(day).isoformat() if day else None


def mark_of(text: str) -> str:
    """What tells one text from another and can be shown where the text cannot."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

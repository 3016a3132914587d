"""How is what happens often kept in little room? Days as runs, joined where they lie close, and counts by name.

None of it depends on the order in which it came: what had to go would have gone in any order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

RUN_GAP_DAYS: Final = 14
"""Days that lie closer together are one run: no definition may ask for a shorter silence."""

RUNS_BEGIN: Final = 726_468
"""The first day of 1990: what was bought before counts as bought then, so that runs stay few."""

NAMES_MAX: Final = 48
_NAME_LENGTH_MAX: Final = 200


def extend(runs: list[int], day: int) -> bool:
    """Add a day to runs, kept flat as first and last day of each; says whether they changed."""
    day = max(day, RUNS_BEGIN)
    if not runs:
        runs += (day, day)
        return True
    if day > runs[-1]:
        if day - runs[-1] < RUN_GAP_DAYS:
            runs[-1] = day
        else:
            runs += (day, day)
        return True
    return day < runs[-2] and _insert(runs, day)


def _insert(runs: list[int], day: int) -> bool:
    at = bisect_right(runs, day)
    if at % 2 or (at and runs[at - 1] == day):
        return False
    follows = at > 0 and day - runs[at - 1] < RUN_GAP_DAYS
    precedes = runs[at] - day < RUN_GAP_DAYS
    if follows and precedes:
        del runs[at - 1 : at + 1]
    elif follows:
        runs[at - 1] = day
    elif precedes:
        runs[at] = day
    else:
        runs[at:at] = (day, day)
    return True


def joined(found: Sequence[list[int]]) -> list[int]:
    """The runs of several records as those of one."""
    if len(found) == 1:
        return found[0]
    whole: list[int] = []
    for first, last in sorted((each[at], each[at + 1]) for each in found for at in range(0, len(each), 2)):
        if whole and first - whole[-1] < RUN_GAP_DAYS:
            whole[-1] = max(whole[-1], last)
        else:
            whole += (first, last)
    return whole


def tally(counts: dict[str, int], name: str, number: int = 1) -> None:
    """Count a name. Of too many, those stay that come first by a fixed lot: what is kept is counted in full."""
    if not name or len(name) > _NAME_LENGTH_MAX:
        return
    known = counts.get(name)
    if known is None:
        if len(counts) >= NAMES_MAX and not make_room(counts, name):
            return
        known = 0
    counts[name] = known + number


def make_room(held: dict[str, Any], name: str) -> bool:
    """Give up the name with the highest lot, unless `name` would be that one."""
    last = max(held, key=lot)
    if lot(name) > lot(last):
        return False
    del held[last]
    return True


def lot(name: str) -> tuple[int, str]:
    return crc32(name.encode("utf-8", "surrogatepass")), name


def favourite(counts: dict[str, int]) -> str:
    """The most frequent of the names, of several the first by the alphabet."""
    if len(counts) == 1:
        [only] = counts
        return only
    most = max(counts.values())
    return min([name for name, count in counts.items() if count == most])


def tallied(found: Sequence[dict[str, int]]) -> dict[str, int]:
    """What several records counted, together."""
    whole: dict[str, int] = {}
    for each in found:
        for name, count in each.items():
            tally(whole, name, count)
    return whole

"""How is a purchase history kept in little room? A pane per day and currency, runs of days, and counts by name.

Panes go back two years from the newest one, totals for ever. Runs are all days, joined where they lie close together.
None of it depends on the order in which it came: what had to go would have gone in any order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any, Final
from zlib import crc32

from msgspec import Struct

KEPT_DAYS: Final = 730
"""How far back panes go from the newest of them: the longest window, and as long as a grade may be kept after it."""

RUN_GAP_DAYS: Final = 14
"""Days that lie closer together are one run: no definition may ask for a shorter silence."""

RUNS_BEGIN: Final = 726_468
"""The first day of 1990: what was bought before counts as bought then, so that runs stay few."""

NAMES_MAX: Final = 48
_NAME_LENGTH_MAX: Final = 200
_INTEGER_MAX: Final = 2**62
_add_exactly: Final = Context(prec=60).add

Amount = int | Decimal
"""Whole amounts are integers, which are an order of magnitude cheaper to add, write and read."""


class Series(Struct, array_like=True, gc=False):
    """Purchases in one currency: how many and how much ever, and by day (ordinals, ascending); refunds are netted."""

    count: int = 0
    total: Amount = 0
    days: list[int] = []
    counts: list[int] = []
    sums: list[Amount] = []


def plus(one: Amount, other: Amount) -> Amount:
    """The sum, exact; what outgrows the integers that can be stored goes on as a decimal."""
    if type(one) is int and type(other) is int:
        total = one + other
        return total if -_INTEGER_MAX < total < _INTEGER_MAX else Decimal(total)
    return _add_exactly(one, other)


def exact(number: float) -> Amount:
    """A number that somebody defined, to be reckoned with amounts."""
    return int(number) if number == int(number) else Decimal(number)


def add(held: Series, day: int, count: int, amount: Amount) -> None:
    held.count += count
    held.total = plus(held.total, amount)
    days = held.days
    if not days or day > days[-1]:
        days.append(day)
        held.counts.append(count)
        held.sums.append(amount)
        _forget(held, day - KEPT_DAYS)
        return
    if day <= days[-1] - KEPT_DAYS:
        return
    at = bisect_left(days, day)
    if days[at] == day:
        held.counts[at] += count
        held.sums[at] = plus(held.sums[at], amount)
    else:
        days.insert(at, day)
        held.counts.insert(at, count)
        held.sums.insert(at, amount)


def _forget(held: Series, until: int) -> None:
    if held.days[0] <= until:
        gone = bisect_right(held.days, until)
        del held.days[:gone], held.counts[:gone], held.sums[:gone]


def merged(found: Sequence[Series]) -> Series:
    """What several records hold of one currency, as one record would hold it."""
    if len(found) == 1:
        return found[0]
    whole = Series()
    for each in found:
        whole.count += each.count
        whole.total = plus(whole.total, each.total)
    total, count = whole.total, whole.count
    for day, number, amount in sorted(
        (day, number, amount)
        for each in found
        for day, number, amount in zip(each.days, each.counts, each.sums, strict=True)
    ):
        add(whole, day, number, amount)
    whole.total, whole.count = total, count
    return whole


def within(held: Series, newest: int, lengths: Sequence[int]) -> list[tuple[int, Amount]]:
    """Count and sum over the last so many days, `newest` included; `lengths` ascend."""
    days = held.days
    upto, count = len(days), 0
    amount: Amount = 0
    found: list[tuple[int, Amount]] = []
    for length in lengths:
        if upto and days[upto - 1] > newest - length:
            start = bisect_right(days, newest - length, 0, upto)
            count += sum(held.counts[start:upto])
            amount = amount + sum(held.sums[start:upto])
            upto = start
        found.append((count, amount))
    return found


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
    return min(name for name, count in counts.items() if count == most)


def tallied(found: Sequence[dict[str, int]]) -> dict[str, int]:
    """What several records counted, together."""
    whole: dict[str, int] = {}
    for each in found:
        for name, count in each.items():
            tally(whole, name, count)
    return whole

"""How many customers have a turn now, and in which fan-outs? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.rules.fanout.store import Running

ELAPSED_SECONDS_MAX = 2.0
"""What a unit was away for longer than that is not made up for at once."""
JUDGED_MAX = 1_000
"""Customers times events in one transaction, which lets nothing else run meanwhile: some 50 ms, where others that are
open are cut off when they wait for seconds.
"""


class Group(NamedTuple):
    """Fan-outs that are at the same place of the same list of customers: each of those is looked at for all of them."""

    segment_id: str
    cursor: str
    members: list[Running]


def budget(customers_per_second: float, elapsed_seconds: float) -> int:
    """How many customers may have a turn; one at least, or nothing would ever come to an end."""
    return max(1, round(customers_per_second * min(max(elapsed_seconds, 0.0), ELAPSED_SECONDS_MAX)))


def groups(running: Sequence[Running]) -> list[Group]:
    """In the order in which the first of each began."""
    found: dict[tuple[str, str], list[Running]] = {}
    for each in running:
        found.setdefault((each.segment_id, each.cursor), []).append(each)
    return [Group(segment_id, cursor, members) for (segment_id, cursor), members in found.items()]


def share(customers_left: int, judged_left: int, group: Group) -> int:
    """All that is left, for the oldest; what that does not need goes to the next. None at all: not in this turn.

    Equal parts would let all of them run out of time together, and leave out the same customers in each.
    """
    return min(customers_left, judged_left // len(group.members))

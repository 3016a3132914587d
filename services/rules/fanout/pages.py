"""How many customers have a turn now, and in which fan-outs? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.rules.fanout.store import Running

ELAPSED_SECONDS_MAX = 2.0
"""What a unit was away for longer than that is not made up for at once."""
JUDGED_MAX = 20_000
"""Customers times events in one transaction: thousands of prices that fall at once are still worked off in pieces."""


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


def share(customers_left: int, groups_left: int, group: Group) -> int:
    """Each has its part, so that a long one does not keep a short one waiting; what one leaves goes to the next."""
    return max(1, min(customers_left // groups_left, JUDGED_MAX // len(group.members)))

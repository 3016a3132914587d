"""How many points has a customer, until when, and how many did they earn? As their ledger says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from msgspec import Struct

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence

NEVER: Final = date.max.toordinal()
"""The day until which points are kept that do not expire."""

SOON_DAYS: Final = 30
YEAR_DAYS: Final = 365

DAYS_KEPT_MAX: Final = 32
"""Only that many days of expiry can lie within `SOON_DAYS`, and each that passes makes room for a later one."""


class Points(Struct, array_like=True, gc=False):
    """What the ledger holds of one record. It is copied from there and never folded: a refold leaves it as it is.

    `owed` is what was spent or taken back without being there. `expiries` are the next days of expiry (ordinals, the
    last day on which points are worth something) with their points, `earned` the points of each day of the last year.
    `open` is how many entries wait for something; of very many the eldest are counted.
    """

    balance: int = 0
    owed: int = 0
    expiries: list[tuple[int, int]] = []
    earned: list[tuple[int, int]] = []
    open: int = 0


class Standing(Struct, gc=False):
    """What the ledger holds after an entry: of the record, and of others of the person whose points it moved.

    Those are written by their own units; here they are changed as they are seen beside this one.
    """

    own: Points
    elsewhere: list[tuple[Any, Points]] = []


def _entered(held: Points, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    standing: Standing | None = event.standing
    if standing is None:
        return False
    for other, points in standing.elsewhere:
        other.points = points
    own = standing.own
    if own == held:
        return bool(standing.elsewhere)
    held.balance, held.owed, held.open = own.balance, own.owed, own.open
    held.expiries, held.earned = own.expiries, own.earned
    return True


def _all(records: Records) -> list[Points]:
    return [each.points for each in records if each.points is not None]


def _added(lists: Iterable[list[tuple[int, int]]]) -> dict[int, int]:
    added: dict[int, int] = {}
    for each in lists:
        for day, points in each:
            added[day] = added.get(day, 0) + points
    return added


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if len(records) == 1 and records[0].points is None:
        return {}
    held = _all(records)
    if not held:
        return {}
    expiries = _added(each.expiries for each in held)
    return {
        "points_balance": sum(each.balance for each in held),
        "points_owed": sum(each.owed for each in held),
        "points_expiring_30d": sum(points for day, points in expiries.items() if day <= at.day + SOON_DAYS),
        "points_next_expiry_on": date.fromordinal(min(expiries)).isoformat() if expiries else None,
        "points_earned_365d": sum(
            points for each in held for day, points in each.earned if at.day - YEAR_DAYS < day <= at.day
        ),
    }


def _shown(records: Records, at: Moment) -> dict[str, Any] | None:
    found = _fields(records, at)
    if not found:
        return None
    expiries = sorted(_added(each.expiries for each in _all(records)).items())
    return {
        "balance": found["points_balance"],
        "owed": found["points_owed"],
        "expiring": [{"on": date.fromordinal(day), "points": points} for day, points in expiries],
    }


def _due(records: Records, at: Moment) -> int | None:
    """A day of expiry comes into sight, or a day of earning leaves it; the expiry itself is an event of its own."""
    if len(records) == 1 and records[0].points is None:
        return None
    held = _all(records)
    days = [day - SOON_DAYS for each in held for day, _ in each.expiries if day - SOON_DAYS > at.day]
    days += [day + YEAR_DAYS for each in held for day, _ in each.earned if day + YEAR_DAYS > at.day]
    # What was earned on a day that is still to come counts from that day on.
    days += [day for each in held for day, _ in each.earned if day > at.day]
    return min(days, default=None)


_FIELDS: Final = frozenset(
    "points_balance points_owed points_expiring_30d points_next_expiry_on points_earned_365d".split()
)

POINTS = Chapter(
    "points",
    reads=("points",),
    keeps="points",
    state=Points,
    effects=dict.fromkeys(
        (
            *("points.earned", "points.granted", "points.spent", "points.adjusted", "points.reversed"),
            *("points.settled", "points.expired", "purchase", "refund"),
        ),
        _entered,
    ),
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=_FIELDS.__contains__,
)

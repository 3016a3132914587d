"""What stands in the ledger of points, as far as one batch needs it? Lots, entries, and what is open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from services.profile.person.points import DAYS_KEPT_MAX, NEVER, YEAR_DAYS, Points


class Entry(Struct, gc=False):
    """One line of the ledger: what was asked, and what became of it.

    `points` is positive but for an adjustment downwards; `day` is the day of the event (ordinal in the company's zone).
    `reverses` and `settles` are ids of other entries. `waits_until` is the last day on which what does not suffice, or
    names an entry that has not come yet, is tried again; 0 means that it is refused for good.
    `status` is done, waiting or refused, with the reason in `why`; `moved` is what it changed in the balance.
    """

    id: str
    customer_id: str
    kind: str
    points: int
    day: int
    at_ms: int = 0
    actor: str = ""
    business_unit: str = ""
    partner: str = ""
    reference: str = ""
    reason: str = ""
    expires_day: int = NEVER
    reverses: str = ""
    settles: str = ""
    waits_until: int = 0
    status: str = "done"
    why: str = ""
    moved: int = 0

    def refuse(self, why: str) -> None:
        self.status, self.why = "refused", why


class Lot(Struct, gc=False):
    """Points of one record that one business unit gave and that end on one day.

    `expired` are those that were left on that day: a spend of before that is told late still finds them.
    """

    customer_id: str
    business_unit: str
    expires_day: int
    left: int = 0
    expired: int = 0
    changed: bool = False

    def usable(self, day: int) -> int:
        return self.left + self.expired if self.expires_day >= day else 0


class Posting(NamedTuple):
    """What an entry did to one lot; of all postings of a lot the sum is what is left of it."""

    entry_id: str
    customer_id: str
    business_unit: str
    expires_day: int
    kind: str
    points: int


class Known(Struct, gc=False):
    """An entry that is in the ledger; `reversed` of its points were taken back, `drawn` is which lots it took from."""

    customer_id: str
    kind: str
    points: int
    status: str
    day: int
    business_unit: str
    expires_day: int
    reversed: int = 0
    drawn: list[tuple[str, str, int, int]] = []


class Open(Struct, gc=False):
    """What could not be done: `kind` is spend, adjust, debt or reverse; `points` are still missing.

    A `reverse` waits for the entry `awaits`. `state` is open, settled or written_off.
    """

    entry_id: str
    customer_id: str
    kind: str
    points: int
    at_ms: int
    day: int
    until_day: int
    business_unit: str = ""
    awaits: str = ""
    state: str = "open"
    note: str = ""
    by: str = ""
    changed: bool = False


class Book:
    """The part of the ledger that a batch works with: it is changed in memory, and then what changed is written."""

    def __init__(
        self,
        lots: Iterable[Lot] = (),
        opens: Iterable[Open] = (),
        known: dict[str, Known] | None = None,
        standings: dict[str, Points] | None = None,
    ) -> None:
        self.lots: dict[str, dict[tuple[int, str], Lot]] = {}
        for lot in lots:
            self.lots.setdefault(lot.customer_id, {})[lot.expires_day, lot.business_unit] = lot
        self.opens: dict[str, Open] = {}
        self._opens_by_record: dict[str, list[Open]] = {}
        for each in opens:
            self._take(each)
        self.known = known if known is not None else {}
        self.settled_by: dict[str, str] = {}
        self.accounts = frozenset(standings or ())
        self.earned = {record: dict(each.earned) for record, each in (standings or {}).items()}
        self.entries: list[Entry] = []
        self.postings: list[Posting] = []
        self.touched: set[str] = set()

    def lot(self, customer_id: str, business_unit: str, expires_day: int) -> Lot:
        held = self.lots.setdefault(customer_id, {})
        key = expires_day, business_unit
        if key not in held:
            held[key] = Lot(customer_id, business_unit, expires_day)
        return held[key]

    def lots_of(self, records: Iterable[str]) -> list[Lot]:
        return [lot for record in records for lot in self.lots.get(record, {}).values()]

    def opens_of(self, records: Sequence[str]) -> list[Open]:
        """What waits for points or for an entry, the eldest first."""
        found = [each for record in records for each in self._opens_by_record.get(record, ()) if each.state == "open"]
        return sorted(found, key=lambda each: (each.at_ms, each.entry_id)) if len(found) > 1 else found

    def _take(self, found: Open) -> None:
        self.opens[found.entry_id] = found
        self._opens_by_record.setdefault(found.customer_id, []).append(found)

    def post(self, entry_id: str, lot: Lot, kind: str, points: int) -> None:
        self.postings.append(Posting(entry_id, lot.customer_id, lot.business_unit, lot.expires_day, kind, points))
        lot.changed = True
        self.touched.add(lot.customer_id)

    def earn(self, customer_id: str, day: int, points: int) -> None:
        """Count what was earned on a day; what lies more than a year before the last of them is forgotten."""
        days = self.earned.setdefault(customer_id, {})
        days[day] = days.get(day, 0) + points
        if not days[day]:
            del days[day]
        for old in [each for each in days if each <= max(days) - YEAR_DAYS]:
            del days[old]

    def note(self, entry: Entry, drawn_from: int) -> None:
        """Write an entry down; its postings are those from the place `drawn_from` on."""
        made = self.postings[drawn_from:]
        entry.moved = sum(each.points for each in made)
        if not any(each.customer_id == entry.customer_id for each in made):
            # Each record's ledger shows what came to it, also when nothing came of it.
            lot = Lot(entry.customer_id, entry.business_unit, NEVER)
            self.post(entry.id, lot, entry.kind, 0)
        self.entries.append(entry)
        if entry.settles and entry.kind in ("spend", "adjust"):
            self.settled_by[entry.settles] = entry.id
        self.known[entry.id] = Known(
            entry.customer_id,
            entry.kind,
            entry.points,
            entry.status,
            entry.day,
            entry.business_unit,
            entry.expires_day,
            drawn=drawn(made),
        )

    def open(self, entry: Entry, kind: str, points: int, until_day: int, awaits: str = "") -> None:
        self.touched.add(entry.customer_id)
        found = Open(entry.id, entry.customer_id, kind, points, entry.at_ms, entry.day, until_day, entry.business_unit)
        found.awaits, found.changed = awaits, True
        self._take(found)

    def balance(self, customer_id: str) -> int:
        return sum(lot.left for lot in self.lots.get(customer_id, {}).values())

    def standing(self, customer_id: str) -> Points:
        """What the record's profile shows of its ledger."""
        expiries: dict[int, int] = {}
        for lot in self.lots.get(customer_id, {}).values():
            if lot.left and lot.expires_day != NEVER:
                expiries[lot.expires_day] = expiries.get(lot.expires_day, 0) + lot.left
        waiting = self.opens_of((customer_id,))
        return Points(
            self.balance(customer_id),
            sum(each.points for each in waiting if each.kind != "reverse"),
            sorted(expiries.items())[:DAYS_KEPT_MAX],
            sorted(self.earned.get(customer_id, {}).items()),
            len(waiting),
        )


def drawn(postings: Iterable[Posting]) -> list[tuple[str, str, int, int]]:
    """What was taken from each lot (record, business unit, day of expiry, points), what ends last first."""
    taken = [
        (each.customer_id, each.business_unit, each.expires_day, -each.points)
        for each in postings
        if each.points < 0 and each.kind in ("spend", "adjust")
    ]
    return sorted(taken, key=lambda each: (-each[2], each))

"""What becomes of an entry in the ledger of points? Pure: a book and an entry in, the book changed.

Points lie in lots, by record, business unit and day of expiry. What is taken is taken from the lots of all records of
the person, what ends first first, and never more than there is. What cannot be done is refused, or waits: a spend that
was told before the points that it spends, a reversal before what it reverses, a debt until points come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from libs.common.clock import derived_id
from services.profile.person.points import NEVER
from services.profile.points.book import Book, Entry, Known, Lot, Open

_GIVES: Final = frozenset({"earn", "grant", "adjust"})
_TAKES: Final = frozenset({"spend", "adjust"})


class Terms(Struct, frozen=True):
    """`today` is the day on which the ledger is written; points that come back to a lot that is over last so long."""

    today: int
    returned_days: int = 0


def play(book: Book, entry: Entry, records: Sequence[str], terms: Terms) -> bool:
    """Enter what was asked for; `records` are all of the person. False when the entry was there before."""
    if entry.id in book.known:
        return False
    _enter(book, entry, records, terms)
    _settle(book, entry, records, terms)
    return True


def expire(book: Book, name: str, customer_id: str, today: int, at_ms: int) -> Entry | None:
    """Let the lots of a record go whose day is over, by an entry of this name; None when there is nothing in them."""
    over = [lot for lot in book.lots_of((customer_id,)) if lot.left and lot.expires_day < today]
    if not over:
        return None
    over.sort(key=lambda lot: (lot.expires_day, lot.business_unit))
    points = sum(lot.left for lot in over)
    entry = Entry(name, customer_id, "expire", points, today, at_ms, "dangol/profile/time", over[0].business_unit)
    begun = len(book.postings)
    for lot in over:
        book.post(name, lot, "expire", -lot.left)
        lot.expired, lot.left = lot.expired + lot.left, 0
    book.note(entry, begun)
    return entry


def _enter(book: Book, entry: Entry, records: Sequence[str], terms: Terms) -> None:
    begun = len(book.postings)
    if not entry.why:
        if entry.kind == "reverse":
            _reverse(book, entry, records, terms)
        elif entry.kind == "settle":
            _write_off(book, entry, records)
        elif entry.kind in _GIVES and entry.points > 0:
            _give(book, entry)
        elif entry.kind in _TAKES:
            _spend(book, entry, records)
    book.note(entry, begun)


def _give(book: Book, entry: Entry) -> None:
    lot = book.lot(entry.customer_id, entry.business_unit, entry.expires_day)
    lot.left += entry.points
    book.post(entry.id, lot, entry.kind, entry.points)
    if entry.kind != "adjust":
        book.earn(entry.customer_id, entry.day, entry.points)


def _spend(book: Book, entry: Entry, records: Sequence[str]) -> None:
    """All or nothing."""
    wanted = abs(entry.points)
    lots = _usable(book, entry.customer_id, records, entry.day)
    if sum(lot.usable(entry.day) for lot in lots) < wanted:
        _lack(book, entry, "short", entry.kind, wanted)
        return
    _take_from(book, entry.id, entry.kind, lots, wanted, entry.day)


def _lack(book: Book, entry: Entry, why: str, kind: str, points: int, awaits: str = "") -> None:
    entry.refuse(why)
    if entry.waits_until:
        entry.status = "waiting"
        book.open(entry, kind, points, entry.waits_until, awaits)


def _usable(book: Book, customer_id: str, records: Sequence[str], day: int) -> list[Lot]:
    """The lots to take from, in order: what ends first, then the record's own."""
    found = [lot for lot in book.lots_of(records) if lot.usable(day)]
    found.sort(key=lambda lot: (lot.expires_day, lot.customer_id != customer_id, lot.customer_id, lot.business_unit))
    return found


def _take_from(book: Book, entry_id: str, kind: str, lots: Sequence[Lot], wanted: int, day: int) -> int:
    """Take up to `wanted`; returns what was taken."""
    missing = wanted
    for lot in lots:
        missing -= _take(book, entry_id, kind, lot, min(missing, lot.usable(day)))
    return wanted - missing


def _take(book: Book, entry_id: str, kind: str, lot: Lot, points: int) -> int:
    if not points:
        return 0
    stale = max(0, points - lot.left)
    if stale:
        # They were written off as expired, and turn out to have been gone before that.
        lot.expired -= stale
        book.post(entry_id, lot, "expire", stale)
    lot.left -= points - stale
    book.post(entry_id, lot, kind, -points)
    return points


# --- taking back -----------------------------------------------------------------------------------------------


def _reverse(book: Book, entry: Entry, records: Sequence[str], terms: Terms) -> None:
    if not entry.reverses:
        _take_back(book, entry, None, entry.points, records)
        return
    original = book.known.get(entry.reverses)
    if original is None:
        _lack(book, entry, "unknown", "reverse", entry.points, entry.reverses)
        return
    if original.status == "waiting" and entry.reverses in book.settled_by:
        entry.reverses = book.settled_by[entry.reverses]
        original = book.known[entry.reverses]
    why = _why_not(original, records)
    amount = abs(original.points) - original.reversed
    amount = min(entry.points, amount) if entry.points else amount
    if why or amount <= 0:
        entry.refuse(why or "reversed")
        return
    entry.points = amount
    if original.status != "done":
        _withdraw(book, entry, book.opens.get(entry.reverses), amount)
    elif original.kind in _GIVES and original.points > 0:
        _take_back(book, entry, original, amount, records)
    else:
        _give_back(book, entry, original, amount, terms)
    if entry.status == "done":
        original.reversed += amount


def _why_not(original: Known, records: Sequence[str]) -> str:
    if original.customer_id not in records:
        return "another customer's"
    if original.kind not in _GIVES | _TAKES:
        return "not reversible"
    return "refused" if original.status == "refused" else ""


def _take_back(book: Book, entry: Entry, original: Known | None, amount: int, records: Sequence[str]) -> None:
    """Take back what was given, from its own lot first; what is spent already is taken from others, or owed."""
    taken = 0
    if original is not None:
        own = book.lot(original.customer_id, original.business_unit, original.expires_day)
        taken = _take(book, entry.id, "reverse", own, min(amount, own.left + own.expired))
        if original.kind != "adjust":
            book.earn(original.customer_id, original.day, -amount)
    else:
        book.earn(entry.customer_id, entry.day, -amount)
    lots = _usable(book, entry.customer_id, records, entry.day)
    taken += _take_from(book, entry.id, "reverse", lots, amount - taken, entry.day)
    if taken < amount:
        book.open(entry, "debt", amount - taken, NEVER)


def _give_back(book: Book, entry: Entry, original: Known, amount: int, terms: Terms) -> None:
    """Give back to the lots from which it was taken, what ends last first; from a lot that is over to a new one.

    Whoever is another person by now has their own again. What was of somebody who is no more goes to who spent it.
    """
    skipped = original.reversed
    for customer_id, business_unit, expires_day, points in original.drawn:
        passed = min(skipped, points)
        skipped -= passed
        given = min(amount, points - passed)
        if given:
            amount -= given
            day = expires_day if expires_day >= terms.today else terms.today + terms.returned_days
            lot = book.lot(customer_id if customer_id in book.accounts else entry.customer_id, business_unit, day)
            lot.left += given
            book.post(entry.id, lot, "reverse", given)


def _withdraw(book: Book, entry: Entry, waiting: Open | None, amount: int) -> None:
    """What never came about need not come about any more."""
    if waiting is None or waiting.state != "open":
        entry.refuse("written off")
        return
    _lessen(book, waiting, amount)


def _lessen(book: Book, waiting: Open, points: int) -> None:
    waiting.points -= points
    waiting.changed = True
    if waiting.points <= 0:
        waiting.points, waiting.state = 0, "settled"
    book.touched.add(waiting.customer_id)


def _write_off(book: Book, entry: Entry, records: Sequence[str]) -> None:
    waiting = book.opens.get(entry.reverses)
    if waiting is None or waiting.state != "open" or waiting.customer_id not in records:
        entry.refuse("nothing open")
        return
    entry.points = waiting.points
    waiting.state, waiting.note, waiting.by, waiting.changed = "written_off", entry.reason, entry.actor, True
    book.touched.add(waiting.customer_id)


# --- what is open ----------------------------------------------------------------------------------------------


def _settle(book: Book, cause: Entry, records: Sequence[str], terms: Terms) -> None:
    """Do what can be done now, the eldest first, until nothing more can."""
    again = True
    while again:
        again = False
        for waiting in book.opens_of(records):
            if waiting.until_day >= terms.today and waiting.entry_id != cause.id:
                again |= _try(book, waiting, cause, records, terms)


def _try(book: Book, waiting: Open, cause: Entry, records: Sequence[str], terms: Terms) -> bool:
    lots = _usable(book, waiting.customer_id, records, waiting.day)
    there = sum(lot.usable(waiting.day) for lot in lots)
    name = str(derived_id("points-settled", waiting.entry_id, cause.id, waiting.points))
    entry = Entry(
        name,
        waiting.customer_id,
        "reverse" if waiting.kind == "debt" else waiting.kind,
        waiting.points,
        waiting.day,
        waiting.at_ms,
        "dangol/profile/points",
        waiting.business_unit,
        settles=waiting.entry_id,
    )
    if name in book.known:
        return False
    if waiting.kind == "reverse":
        if waiting.awaits not in book.known:
            return False
        entry.reverses = waiting.awaits
        waiting.state, waiting.changed = "settled", True
        _enter(book, entry, records, terms)
        return True
    if not there or (waiting.kind != "debt" and there < waiting.points):
        return False
    entry.points = min(there, waiting.points)
    begun = len(book.postings)
    _take_from(book, name, entry.kind, lots, entry.points, waiting.day)
    _lessen(book, waiting, entry.points)
    book.note(entry, begun)
    return True

"""How is the ledger of points kept while a batch of events is applied? Locked, read, played, written: once a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from libs.common.clock import new_id, to_ms
from libs.common.timers import Timer, put
from libs.common.topics import partition_of
from libs.common.unit import UnitTx
from services.profile.cabinet import Cabinet
from services.profile.holding import Held, forget_views
from services.profile.person import Definitions, Occurrence
from services.profile.person.folding import bit_of
from services.profile.person.points import Points, Standing
from services.profile.points.asking import entry_of
from services.profile.points.book import Book, Entry
from services.profile.points.ledger import Terms, expire, play
from services.profile.store import points as store

TIMERS: Final = "points:"
"""The beginning of the keys of our timers: `points:<record>` for what expires, with more behind for what others did."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Points).decode


class Asked(Struct, gc=False):
    """An event and the entry that it asks for."""

    customer_id: str
    event: Occurrence
    records: Sequence[str]
    entry: Entry


class Expired(Struct, gc=False):
    """What a record had and has, and the entry by which some of it went, if any did."""

    before: Points
    after: Points
    entry: Entry | None

    @property
    def told(self) -> msgspec.Raw:
        """What the event of it says."""
        points = self.entry.points if self.entry is not None else 0
        return msgspec.Raw(msgspec.json.encode({"points": points}))


class PointsKeeper:
    """One instance for all units; `partitions` tells whose unit another record belongs to."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    async def enter(self, cabinet: Cabinet, work: Iterable[tuple[str, Occurrence, Sequence[str]]]) -> set[str]:
        """Enter what the events of a batch ask for, and tell each of them the `standing` after it.

        `work` are record, event and all records of the person; the cabinet is open for them. Returns the records of
        this unit whose state has changed by that, among them such as nothing in the batch happened to.
        """
        definitions = cabinet.definitions
        today = definitions.day_of(to_ms(cabinet.tx.now))
        asked = []
        others: set[str] = set()
        for customer_id, event, records in work:
            if event.standing is not None:
                continue
            entry = entry_of(customer_id, event, definitions, today)
            if entry is not None:
                asked.append(Asked(customer_id, event, records, entry))
            elif len(records) > 1 and _has_points(cabinet, records):
                others.update(records)
        noted: set[str] = set()
        if others:
            found = await store.summaries(cabinet.tx.connection, others)
            noted = _take_note(cabinet, {record: _decode(body) for record, body in found.items()})
        if asked:
            noted |= await self._play(cabinet, asked, Terms(today, definitions.points.returned_days))
        return noted

    async def forfeit(self, tx: UnitTx, customer_id: str) -> None:
        """What an erased customer had is nobody's any more."""
        await store.forfeit(tx, tx.unit, customer_id)

    async def expire(self, cabinet: Cabinet, customer_ids: Mapping[str, datetime]) -> dict[str, Expired]:
        """Let go what is over in these records of our own unit, and learn what others did to them.

        The instants are those for which it is told. The day is that of the unit's clock, before which everything that
        happened is known here.
        """
        tx = cabinet.tx
        today = cabinet.definitions.day_of(to_ms(tx.clock))
        book, locked = await self._opened(tx, (), customer_ids, today)
        found = {}
        for record in sorted(locked):
            before = book.standing(record)
            entry = expire(book, str(new_id()), record, today, to_ms(customer_ids[record]))
            found[record] = Expired(before, book.standing(record), entry)
        await self._write(tx, book, [record for record, each in found.items() if each.entry is not None])
        await _set_timers(tx, book, locked, cabinet.definitions)
        return found

    async def _play(self, cabinet: Cabinet, asked: Sequence[Asked], terms: Terms) -> set[str]:
        own = {each.customer_id for each in asked}
        people = {record for each in asked for record in each.records}
        book, locked = await self._opened(cabinet.tx, own, people, terms.today, asked)
        noted = _take_note(cabinet, {record: book.standing(record) for record in locked & people})
        everybody: set[str] = set()
        moved: set[str] = set()
        for each in asked:
            book.touched.clear()
            records = [record for record in each.records if record in locked]
            play(book, each.entry, records, terms)
            others = sorted(book.touched - {each.customer_id})
            elsewhere = [
                (known, book.standing(other))
                for other in others
                if other in records and (known := cabinet.known(other)) is not None
            ]
            each.event.standing = Standing(book.standing(each.customer_id), elsewhere)
            everybody |= book.touched
            moved.update(others)
        await self._write(cabinet.tx, book, everybody)
        await _set_timers(cabinet.tx, book, own & everybody, cabinet.definitions)
        await self._tell(cabinet.tx, moved)
        return noted

    async def _opened(
        self, tx: UnitTx, own: Collection[str], records: Collection[str], today: int, asked: Sequence[Asked] = ()
    ) -> tuple[Book, set[str]]:
        """The part of the ledger that these records need, and whose accounts are locked; `own` have one from now on.

        Among them are those to whom something is given back, whoever they are by now.
        """
        entries = [each.entry for each in asked]
        targets = {each.reverses for each in entries if each.reverses}
        found = await self._locked(tx, records, targets)
        if missing := set(own) - found.keys():
            await store.add_accounts(tx, tx.unit, missing, _encode(Points()))
            found |= dict.fromkeys(missing, _encode(Points()))
        standings = {record: _decode(body) for record, body in found.items()}
        waiting = [record for record, standing in standings.items() if standing.open]
        opens = await store.opens_of(tx, waiting, targets, today) if waiting or targets else []
        targets |= {each.awaits for each in opens if each.awaits}
        known, settled_by = await store.known_of(tx, {each.id for each in entries} | targets, targets)
        book = Book(await store.lots_of(tx, found), opens, known, standings)
        book.settled_by |= settled_by
        return book, set(found)

    @staticmethod
    async def _locked(tx: UnitTx, records: Collection[str], targets: Collection[str]) -> dict[str, bytes]:
        if not targets:
            return await store.lock_accounts(tx, records)
        wanted = {*records, *await store.drawn_from(tx, targets)}
        while True:
            # Whoever takes more locks does it in their order, or two could wait for one another.
            await tx.execute("SAVEPOINT accounts")
            found = await store.lock_accounts(tx, wanted)
            # What another unit has settled before it let go of them took points too, of whomever.
            missing = await store.drawn_from(tx, targets) - wanted
            if not missing:
                await tx.execute("RELEASE SAVEPOINT accounts")
                return found
            await tx.execute("ROLLBACK TO SAVEPOINT accounts")
            wanted |= missing

    @staticmethod
    async def _write(tx: UnitTx, book: Book, touched: Collection[str]) -> None:
        if book.entries or any(each.changed for each in book.opens.values()):
            standings = {record: book.standing(record) for record in touched}
            summaries = {record: (each.balance, _encode(each)) for record, each in standings.items()}
            await store.write(tx, tx.unit, book, summaries, tx.now)

    async def _tell(self, tx: UnitTx, moved: Collection[str]) -> None:
        """Have the units of other records look at their accounts. No two of these timers have one key: nobody waits."""
        by_unit: dict[int, list[Timer]] = {}
        for record in sorted(moved):
            unit = partition_of(record.encode(), self._partitions)
            by_unit.setdefault(unit, []).append(Timer(f"{TIMERS}{record}:{new_id()}", tx.now, gated=False))
        for unit, timers in sorted(by_unit.items()):
            await put(tx, tx.worker, unit, timers)


def record_of(timer: Timer) -> str:
    return timer.key.split(":")[1]


async def _set_timers(tx: UnitTx, book: Book, customer_ids: Collection[str], definitions: Definitions) -> None:
    """What a record has ends with the first of its days; whatever has moved since is seen when the timer fires."""
    first = {record: standing.expiries[0][0] for record in customer_ids if (standing := book.standing(record)).expiries}
    await tx.set_timers([Timer(f"{TIMERS}{record}", definitions.starts(day + 1)) for record, day in first.items()])


def _take_note(cabinet: Cabinet, accounts: Mapping[str, Points]) -> set[str]:
    """See records as their accounts are now: another unit may have spent from them since their states were written.

    Returns those of our own that are to be written.
    """
    own = set()
    for record, points in accounts.items():
        customer = cabinet.known(record)
        if customer is None or (customer.points or Points()) == points:
            continue
        held = cabinet.held(record)
        if held is not None:
            take_over(held, points)
            own.add(record)
        else:
            customer.points = points
    return own


def take_over(held: Held, points: Points) -> None:
    """Have a record of our own written as its account is, which it may have been shown as before it was written."""
    held.customer.version += held.customer.points != points
    held.customer.points = points
    held.touched, held.dirty = held.touched | bit_of("points"), True
    forget_views(held)


def _has_points(cabinet: Cabinet, records: Iterable[str]) -> bool:
    return any((known := cabinet.known(each)) is not None and known.points is not None for each in records)

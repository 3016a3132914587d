"""How does what is decided of persons get into the tables, while other units decide as well? Read, locked, and told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from libs.common.clock import derived_id, to_ms
from libs.common.db import Row
from libs.common.errors import Poison, Transient
from libs.common.events import EventIdentified, EventReceived, Fact, LinkOrdered
from libs.common.unit import Message, UnitTx
from services.profile.identity import Directory, Findings, IdentityRules, Person, Table, obey
from services.profile.normal import record_id_in
from services.profile.store import commands as command_store
from services.profile.store import identity as store

SOURCE = "dangol/profile"
T = TypeVar("T")
Counted = Callable[[str, int], None]


class Decided(NamedTuple, Generic[T]):
    """What was decided, the directory after it, and the notices of it to the records concerned."""

    result: T
    directory: Directory
    notices: list[Fact]
    revision: int


class Linking:
    """Decides about persons in a transaction of one unit; `counted` is told what happened and which guards fired.

    People are looked up without a lock, and mostly nothing about them changes. What does change is decided again when
    the records concerned are locked and something else is known by then: two units that meet the same people at once
    come to what one of them after the other would have come to.
    """

    def __init__(self, rules: Callable[[], IdentityRules], counted: Counted) -> None:
        self._rules = rules
        self._counted = counted
        self._table = Table(rules())

    @property
    def table(self) -> Table:
        rules = self._rules()
        if rules is not self._table.rules:
            self._table = Table(rules)
        return self._table

    async def decide(
        self,
        tx: UnitTx,
        keys: Collection[str],
        record_ids: Collection[str],
        work: Callable[[Directory, Findings], T],
        *,
        with_links: bool = False,
    ) -> Decided[T]:
        """`work` is pure and may be asked twice; it sees the links that stand only if that is asked for."""
        seen = await _seen(tx, keys, record_ids, with_links)
        result, directory, findings = _asked(work, seen, record_ids, tx)
        if findings.touched:
            locked = set(findings.touched)
            await store.lock_records(tx, locked)
            again = await _seen(tx, keys, record_ids, with_links)
            if again != seen:
                result, directory, findings = _asked(work, again, record_ids, tx)
                if not findings.touched <= locked:
                    raise Transient("other units are changing the same people")
        revision = await _write(tx, directory, findings)
        for what, count in findings.counts.items():
            self._counted(what.partition(":")[0], count)
        return Decided(result, directory, _notices(directory, findings, tx), revision)

    async def on_ordered(self, batch: Sequence[Message[LinkOrdered]], tx: UnitTx) -> Sequence[Fact]:
        """Orders to link or to part, each once; the outcome of each is noted for whoever waits for it."""
        orders = {each.event.order_id: each.event for each in batch}
        known = await command_store.known_commands(tx, list(orders))
        fresh = [order for order_id, order in orders.items() if order_id not in known]
        if not fresh:
            return []
        named = set().union(*map(_records_named, fresh))
        decided = await self.decide(tx, (), named, partial(_obey_all, fresh, self.table), with_links=True)
        notes = [
            (order.order_id, order.customer_id, outcome, decided.revision)
            for order, outcome in zip(fresh, decided.result, strict=True)
        ]
        await command_store.note_commands(tx, tx.unit, notes, tx.now)
        return decided.notices


def _obey_all(orders: Sequence[LinkOrdered], table: Table, directory: Directory, findings: Findings) -> list[str]:
    return [obey(order, table, directory, findings) for order in orders]


def _records_named(order: LinkOrdered) -> set[str]:
    found = {record_id_in(each) for each in (order.customer_id, *order.records)}
    if "" in found:
        raise Poison("an order names a record by something that is no id")
    return found


_Seen = tuple[list[Row], list[Any]]


async def _seen(tx: UnitTx, keys: Collection[str], record_ids: Collection[str], with_links: bool) -> _Seen:
    rows = await store.directory_rows(tx, keys, record_ids)
    links = await store.standing_links(tx, [row["record_id"] for row in rows]) if with_links and rows else []
    return rows, links


def _asked(
    work: Callable[[Directory, Findings], T], seen: _Seen, record_ids: Collection[str], tx: UnitTx
) -> tuple[T, Directory, Findings]:
    rows, links = seen
    directory = store.directory_of(rows, record_ids)
    directory.edges = {edge.link_id: edge for edge in links}
    findings = Findings(tx.now)
    return work(directory, findings), directory, findings


async def _write(tx: UnitTx, directory: Directory, findings: Findings) -> int:
    """Returns the revision of what has changed, 0 when nobody belongs to somebody else than before."""
    if findings.keys and not await store.add_identifiers(tx, findings.keys, findings.silenced, tx.now):
        raise Transient("another unit has just met one of these identifiers")
    if findings.born:
        await store.add_records(tx, findings.born)
    if findings.silenced:
        await store.silence(tx, {key: why for key, why in findings.silenced.items() if key not in findings.keys})
    if findings.edges:
        await store.add_links(tx, findings.edges, tx.now)
    if findings.ended:
        await store.end_links(tx, findings.ended, tx.now)
    await _write_apart(tx, findings)
    # Also who is only kept apart counts as changed: from then on the rows of theirs are looked for.
    moved = {*findings.moved, *(record for pair in findings.parted for record in pair)}
    if not moved:
        return 0
    revision = await store.next_revision(tx)
    for record in moved:
        directory.person_of[record].revision = revision
    await store.set_persons(tx, {record: directory.person_of[record].id for record in sorted(moved)}, revision)
    return revision


async def _write_apart(tx: UnitTx, findings: Findings) -> None:
    if findings.reunited:
        await store.forget_apart(tx, findings.reunited)
    if findings.parted:
        await store.keep_apart(tx, findings.parted, tx.now)


def _notices(directory: Directory, findings: Findings, tx: UnitTx) -> list[Fact]:
    """Every record whose person consists of other records than before learns of it, each in its own unit."""
    facts: list[Fact] = []
    for record, before in sorted(findings.moved.items()):
        person = directory.person_of[record]
        if set(person.records) == set(before):
            continue
        kind = "profile.linked" if set(before) <= set(person.records) else "profile.unlinked"
        event_id = str(derived_id(kind, record, person.revision))
        data = msgspec.Raw(msgspec.json.encode({"records": person.records, "before": list(before)}))
        event = msgspec.Raw(msgspec.json.encode(EventReceived(event_id, SOURCE, kind, tx.now, data=data)))
        facts.append(_notice(record, person, event, to_ms(tx.now)))
    return facts


def _notice(record: str, person: Person, event: msgspec.Raw, now_ms: int) -> EventIdentified:
    linked = person.records if len(person.records) > 1 else []
    return EventIdentified(record, person.id, event, now_ms, linked=linked, links_revision=person.revision)

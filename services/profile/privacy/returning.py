"""Has somebody come back who was erased? Their identifiers are known by their marks alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from libs.common.clock import derived_id, to_ms
from libs.common.errors import Transient
from libs.common.events import EventIdentified, EventReceived, Fact
from libs.common.unit import Message, UnitTx
from services.profile.identity import Directory, Table
from services.profile.person.erased import CAME_BACK
from services.profile.privacy.emptying import SOURCE
from services.profile.privacy.marks import Marks
from services.profile.store import erasing as store

Event = tuple[Message[EventReceived], dict[str, str]]
"""An event as it was received, and its identifiers as they are compared."""


class Returning:
    """Looks at identifiers that nobody has had: at no others can there be a mark, for those of the erased are deleted.

    What came to the door before they were erased is dropped, as if it had been here in time to be erased with them.
    What comes later makes a new record, which is told at once that it is to be left alone.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._erased_until_ms = 0

    def suspects(self, batch: Sequence[Message[EventReceived]]) -> bool:
        """Whether there may be events from before an erasure among these, as far as was noticed."""
        return self._erased_until_ms > 0 and any(each.append_ms <= self._erased_until_ms for each in batch)

    async def without_erased(
        self, events: Sequence[Event], table: Table, tx: UnitTx, counted: Callable[[str, int], None]
    ) -> list[Event]:
        keys = {key for _, identifiers in events for key in table.keys_of(identifiers)}
        erased_ms = await self.erased_ms(keys, tx)
        kept = [
            (each, identifiers)
            for each, identifiers in events
            if all(erased_ms.get(key, 0) < each.append_ms for key in table.keys_of(identifiers))
        ]
        counted("erased", len(events) - len(kept))
        return kept

    async def notices(
        self,
        events: Iterable[tuple[Message[EventReceived], Sequence[str]]],
        learned: Mapping[str, str],
        born: Collection[str],
        table: Table,
        directory: Directory,
        tx: UnitTx,
    ) -> list[Fact]:
        """For each record that has learned an identifier of an erased person, before anything else is said of it.

        A browser or a device says it only of a record that is new and known by nothing else: many sit at one computer.
        """
        erased_ms = await self.erased_ms(learned, tx)
        if not erased_ms:
            return []
        self._require_later(events, erased_ms)
        named = {record for key, record in learned.items() if not table.is_session(key)}
        found: dict[str, int] = {}
        for key, at_ms in erased_ms.items():
            record = learned[key]
            if not table.is_session(key) or (record in born and record not in named):
                found[record] = max(at_ms, found.get(record, 0))
        return [_notice(record, at_ms, directory, tx) for record, at_ms in sorted(found.items())]

    def _require_later(
        self, events: Iterable[tuple[Message[EventReceived], Sequence[str]]], erased_ms: Mapping[str, int]
    ) -> None:
        latest = max(erased_ms.values())
        for each, keys in events:
            if any(erased_ms.get(key, 0) >= each.append_ms for key in keys):
                self._erased_until_ms = max(latest, self._erased_until_ms)
                raise Transient("a person was erased after their events had come; they are looked through again")

    async def erased_ms(self, keys: Collection[str], tx: UnitTx) -> dict[str, int]:
        """When the owners of these identifiers were erased, where they were, in Unix milliseconds."""
        by_mark = self._marks.by_mark(keys)
        found = await store.marked(tx, by_mark) if by_mark else {}
        return {by_mark[mark]: to_ms(at) for mark, at in found.items()}


def _notice(record: str, at_ms: int, directory: Directory, tx: UnitTx) -> EventIdentified:
    person = directory.person_of[record]
    data = msgspec.Raw(msgspec.json.encode({"erased_ms": at_ms}))
    event = EventReceived(str(derived_id(CAME_BACK, record, at_ms)), SOURCE, CAME_BACK, tx.now, data=data)
    linked = person.records if len(person.records) > 1 else []
    return EventIdentified(
        record,
        person.id,
        msgspec.Raw(msgspec.json.encode(event)),
        to_ms(tx.now),
        linked=linked,
        links_revision=person.revision,
    )

"""What is known of the people whom a batch touches, and what does the batch add to it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

SHARED = "shared"
LIMIT = "limit"
"""Why an identifier joins nobody: it was seen with people who must stay apart, or its person has enough of its type."""

Born = tuple[datetime, str]
"""When a record was made, and its id: the order of age, the same for whoever looks."""


class Edge(NamedTuple):
    """Why two records are one person's. `kind` is event, hand or score.

    `evidence` are the two identifiers by which an event links them; `about` is what an order says of itself.
    """

    link_id: str
    one: str
    other: str
    kind: str
    evidence: tuple[str, ...] = ()
    event_id: str = ""
    actor: str = ""
    about: Mapping[str, Any] = {}


@dataclass(slots=True)
class Person:
    """One person: records, the eldest first, whose id is the person's; identifiers that count; and since when so.

    `revision` is that of the last change of its records before this batch.
    """

    id: str
    records: list[str]
    keys: set[str] = field(default_factory=set)
    revision: int = 0


@dataclass(slots=True)
class Directory:
    """The part of the identity tables that one batch touches; it learns as the batch goes on.

    record_of   the record that an identifier belongs to, for good
    born        by record, how old it is
    person_of   by record
    silent      identifiers that join nobody
    own         identifiers of ours: the id of a record, given as a customer_id
    claims      the evidence of events that stands already
    apart       by record, the records that nothing but a person's order may join it with
    edges       the links that stand; known only where orders are obeyed
    """

    record_of: dict[str, str] = field(default_factory=dict)
    born: dict[str, Born] = field(default_factory=dict)
    person_of: dict[str, Person] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    claims: set[tuple[str, ...]] = field(default_factory=set)
    apart: dict[str, set[str]] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)

    def add(self, person: Person, born: Mapping[str, Born]) -> None:
        for record in person.records:
            self.person_of[record] = person
        self.born |= born

    def by_age(self, records: Iterable[str]) -> list[str]:
        return sorted(records, key=self.born.__getitem__)


@dataclass(slots=True)
class Findings:
    """What a batch adds to the tables, or takes from them; `now` is when the records it makes were made.

    born       new records
    keys       new identifiers with their record
    silenced   identifiers, new or known, that join nobody from now on, with the reason
    edges      new links
    ended      ids of links that are taken back, with by whom and why
    parted     pairs of records that are kept apart from now on
    reunited   pairs that are kept apart no more
    moved      records whose person has changed, with the records that it had before
    touched    records that were there before and whose person must not change until this is written
    counts     what happened, and which guards kept people apart
    """

    now: datetime
    born: dict[str, Born] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    silenced: dict[str, str] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    parted: set[tuple[str, str]] = field(default_factory=set)
    reunited: set[tuple[str, str]] = field(default_factory=set)
    moved: dict[str, tuple[str, ...]] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def bear(self, record: str, directory: Directory) -> None:
        """A new record, which is a person of its own; within a batch each is younger than the one before."""
        born = (self.now + timedelta(microseconds=len(self.born)), record)
        self.born[record] = born
        directory.add(Person(record, [record]), {record: born})

    def move(self, person: Person) -> None:
        """Said of a person before its records change."""
        for record in person.records:
            self.moved.setdefault(record, tuple(person.records))

    def touch(self, person: Person) -> None:
        self.touched.update(record for record in person.records if record not in self.born)

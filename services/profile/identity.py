"""Which person does an event belong to? Pure: identifiers and what is known of them in, records and links out.

A record is what we made when we met an identifier that nobody had; it is never moved or deleted by a merge. A person is
a set of records. An event is kept under the record of its strongest identifier; when its identifiers belong to two
persons, their records become one person's, unless something forbids it:

* a device or a cookie is shared too easily: it joins only a person of whom nothing stronger is known;
* two persons with different values of a type that nobody has two of (`customer_id`, `account`) stay two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.events import IDENTIFIER_TYPES

WEAK = frozenset({"device", "cookie"})
ONE_EACH = frozenset({"customer_id", "account"})
_STRENGTH = {kind: at for at, kind in enumerate([*IDENTIFIER_TYPES[:5], "partner", *IDENTIFIER_TYPES[5:]])}


def keys_of(identifiers: Mapping[str, str]) -> list[str]:
    """`<type>:<value>`, strongest first."""
    return [f"{kind}:{identifiers[kind]}" for kind in sorted(identifiers, key=_strength)]


def _strength(kind: str) -> tuple[int, str]:
    return _STRENGTH.get(kind.partition(":")[0], len(_STRENGTH)), kind


def kind_of(key: str) -> str:
    head, _, _ = key.partition(":")
    return head


@dataclass(slots=True)
class Person:
    """What the directory knows of one person: records in the order in which they were met, and identifiers."""

    id: str
    records: list[str]
    keys: set[str] = field(default_factory=set)

    @property
    def known(self) -> bool:
        return any(kind_of(key) not in WEAK for key in self.keys)

    def excludes(self, other: Person) -> bool:
        """Whether a type that nobody has two of has different values in the two."""
        mine = {kind_of(key): key for key in self.keys if kind_of(key) in ONE_EACH}
        theirs = {kind_of(key): key for key in other.keys if kind_of(key) in ONE_EACH}
        return any(theirs.get(kind, key) != key for kind, key in mine.items())


@dataclass(slots=True)
class Directory:
    """The part of the identity tables that one batch touches; it learns as the batch goes on."""

    record_of: dict[str, str] = field(default_factory=dict)
    person_of: dict[str, Person] = field(default_factory=dict)

    def add(self, person: Person, keys: Mapping[str, str]) -> None:
        """`keys` are identifiers and the record that each belongs to."""
        for record in person.records:
            self.person_of[record] = person
        self.record_of.update(keys)


@dataclass(frozen=True, slots=True)
class Link:
    """Two persons that an event proved to be one: `joined` now belong to `person`, because of `evidence`."""

    person: str
    joined: tuple[str, ...]
    evidence: tuple[str, str]
    event_id: str


@dataclass(slots=True)
class Findings:
    """What a batch adds to the tables: records in order of birth, identifiers with their record, links."""

    records: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where an event belongs, and all records of that person at this moment."""

    record: str
    person: str
    records: tuple[str, ...]


def assign(
    event_id: str, keys: Sequence[str], fresh_record: Callable[[], str], directory: Directory, findings: Findings
) -> Assignment:
    """Find or make the record of one event; `keys` (strongest first, not empty) are learned, links are noted.

    `fresh_record` makes the id to use if nobody is known yet.
    """
    found = [key for key in keys if key in directory.record_of and _may_be_of(key, keys, directory)]
    if found:
        record = directory.record_of[found[0]]
    else:
        record = fresh_record()
        directory.add(Person(record, [record]), {})
        findings.records.append(record)
    person = directory.person_of[record]
    for key in found[1:]:
        person = _joined(person, found[0], key, event_id, directory, findings)
    for key in keys:
        if key not in directory.record_of:
            _learn(key, record, person, directory, findings)
    return Assignment(record, person.id, tuple(person.records))


def _may_be_of(key: str, keys: Sequence[str], directory: Directory) -> bool:
    """Whether the event may belong to the owner of `key`, one of its `keys`.

    Not when it names an account that differs from the owner's: somebody else behind a shared phone. Not when only a
    cookie or a device says so of somebody who is known by more, while the event names somebody: a family's computer.
    """
    owner = directory.person_of[directory.record_of[key]]
    accounts = {kind_of(each): each for each in keys if kind_of(each) in ONE_EACH}
    if any(accounts.get(kind_of(held), held) != held for held in owner.keys):
        return False
    named = any(kind_of(each) not in WEAK for each in keys)
    return not (kind_of(key) in WEAK and named and owner.known)


def _learn(key: str, record: str, person: Person, directory: Directory, findings: Findings) -> None:
    directory.record_of[key] = record
    findings.keys[key] = record
    person.keys.add(key)


def _joined(person: Person, own: str, key: str, event_id: str, directory: Directory, findings: Findings) -> Person:
    other = directory.person_of[directory.record_of[key]]
    if other.id == person.id or person.excludes(other):
        return person
    elder, younger = (person, other) if _older(person, other, findings.records) else (other, person)
    elder.records.extend(younger.records)
    elder.keys |= younger.keys
    for record in younger.records:
        directory.person_of[record] = elder
    findings.links.append(Link(elder.id, tuple(younger.records), (own, key), event_id))
    return elder


def _older(one: Person, other: Person, born_here: Iterable[str]) -> bool:
    """The person that was known before this batch is the elder one; between two such, the smaller id, for good."""
    born = list(born_here)
    return (one.id in born, one.id) <= (other.id in born, other.id)

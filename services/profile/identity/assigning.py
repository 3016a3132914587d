"""Whose is an event, and whom does it prove to be one person? One event at a time, in the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from libs.common.clock import derived_id
from services.profile.identity.directory import LIMIT, SHARED, Directory, Edge, Findings, Person
from services.profile.identity.joining import APART, DIFFERENT, apart_pairs, forbids, joined
from services.profile.identity.rules import Table, kind_of

SESSION = "session"
UNPROVEN = "unproven"


class Named(NamedTuple):
    """An event and its identifiers as keys, strongest first, not empty.

    `fresh_record` makes the id of the record to use if nobody is known yet. `public` says that the event came by a key
    that everybody can read, so that of its identifiers those of a session are a stranger's word.
    """

    event_id: str
    keys: Sequence[str]
    fresh_record: Callable[[], str]
    public: bool = False


def assign(event: Named, table: Table, directory: Directory, findings: Findings) -> str:
    """The record that the event is kept under; its identifiers are learned, and links are noted."""
    keys, record_of = event.keys, directory.record_of
    first = record_of.get(keys[0])
    if first is not None and all(record_of.get(key) == first for key in keys):
        return first
    return _Meeting(event, table, directory, findings).held_under()


class _Meeting:
    """One event whose identifiers are not plainly one record's."""

    def __init__(self, event: Named, table: Table, directory: Directory, findings: Findings) -> None:
        self.event, self.table, self.directory, self.findings = event, table, directory, findings
        self.refused: list[tuple[str, str]] = []
        """Identifiers that were not believed, with the reason."""

    def held_under(self) -> str:
        directory, findings = self.directory, self.findings
        keys = self._speaking()
        if keys:
            record = directory.record_of[keys[0]]
        else:
            record = self.event.fresh_record()
            findings.bear(record, directory)
        person = directory.person_of[record]
        for key in keys[1:]:
            person = self._meet(person, keys[0], key)
        for key, why in self.refused:
            if self._owner(key) is not person:
                findings.counts[why] += 1
                if why.startswith(DIFFERENT):
                    self._share(key)
        for key in self.event.keys:
            if key not in directory.record_of:
                self._learn(key, record, person)
        return record

    def _owner(self, key: str) -> Person:
        return self.directory.person_of[self.directory.record_of[key]]

    def _speaking(self) -> list[str]:
        """The known identifiers by which the event may belong to their owners; those that join nobody last.

        Not one of an owner whose account differs from the event's: somebody else behind a shared telephone. Where the
        event names somebody, not one that joins nobody, and not a cookie or a device of somebody who is known by more:
        a family's computer.
        """
        table, directory, keys = self.table, self.directory, self.event.keys
        uniques = table.uniques_of(key for key in keys if key not in directory.own)
        named = any(not table.is_session(key) and key not in directory.silent for key in keys)
        speaking: list[str] = []
        silent: list[str] = []
        for key in keys:
            if key not in directory.record_of:
                continue
            owner = self._owner(key)
            if different := self._differs(uniques, owner):
                self.refused.append((key, f"{DIFFERENT}:{different}"))
            elif key in directory.silent:
                (self.refused.append((key, SHARED)) if named else silent.append(key))
            elif named and table.is_session(key) and self._is_known(owner):
                self.refused.append((key, SESSION))
            else:
                speaking.append(key)
        return speaking + silent

    @staticmethod
    def _differs(uniques: dict[str, str], owner: Person) -> str:
        """The type of which the event and the owner have different values."""
        if uniques:
            for held in owner.keys:
                kind = kind_of(held)
                if uniques.get(kind, held) != held:
                    return kind
        return ""

    def _is_known(self, person: Person) -> bool:
        """Whether anything is known of the person beside browsers and devices."""
        return any(not self.table.is_session(key) for key in person.keys)

    def _meet(self, person: Person, own: str, key: str) -> Person:
        """The event names `own` and `key`: they are one person's, and that is a link unless nothing new follows."""
        directory, findings = self.directory, self.findings
        one, other = directory.record_of[own], directory.record_of[key]
        claim = (own, key)
        if one == other or claim in directory.claims:
            return person
        owner = directory.person_of[other]
        if owner is not person:
            if why := self._forbidden(person, owner, own, key):
                findings.counts[why] += 1
                return person
            person = joined(person, owner, directory, findings)
            findings.counts["merges"] += 1
        elif self.table.is_session(key) or key in directory.silent:
            return person
        findings.touch(person)
        directory.claims.add(claim)
        link_id = str(derived_id("link", *claim, self.event.event_id))
        findings.edges.append(Edge(link_id, one, other, "event", claim, self.event.event_id))
        return person

    def _forbidden(self, person: Person, other: Person, own: str, key: str) -> str:
        table, silent = self.table, self.directory.silent
        if own in silent or key in silent:
            return SHARED
        sessions = table.is_session(own) + table.is_session(key)
        if sessions == 2 and self.event.public:
            return UNPROVEN
        if sessions and self._is_known(person) and self._is_known(other):
            return SESSION
        kept_apart = any(apart_pairs((person, other), self.directory))
        why = APART if kept_apart else forbids((person, other), table)
        if why.startswith((DIFFERENT, APART)):
            self._share(key if table.of(kind_of(key)).shared else own)
        return why

    def _share(self, key: str) -> None:
        """People who must stay apart have the same: if that may be, it tells nobody from anybody from now on."""
        if key not in self.directory.silent and self.table.of(kind_of(key)).shared:
            self.directory.silent.add(key)
            self.findings.silenced[key] = SHARED
            self.findings.counts["shared"] += 1

    def _learn(self, key: str, record: str, person: Person) -> None:
        directory, findings = self.directory, self.findings
        directory.record_of[key] = record
        findings.keys[key] = record
        findings.touch(person)
        kind = kind_of(key)
        if sum(kind_of(held) == kind for held in person.keys) < self.table.of(kind).limit:
            person.keys.add(key)
            return
        directory.silent.add(key)
        findings.silenced[key] = LIMIT
        findings.counts["over_limit"] += 1

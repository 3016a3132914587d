"""How do tests of identity see a whole world? A directory that lives through events and orders, without a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from libs.common import clock
from libs.common.events import LinkOrdered
from services.profile.identity import Directory, Edge, Findings, IdentityRules, Named, Person, Table, assign, obey

PHONE = "+821012345678"


class Met(NamedTuple):
    """Where an event is kept, and who that is at that moment."""

    record: str
    person: str
    records: tuple[str, ...]


class World:
    """`limit` is what all types may have at most, when it is given; records are called after their first event."""

    def __init__(self, limit: int | None = None) -> None:
        rules = IdentityRules()
        if limit is not None:
            rules = IdentityRules(tuple(msgspec.structs.replace(each, limit=limit) for each in rules.types))
        self.table = Table(rules)
        self.directory = Directory()
        self.findings = Findings(clock.from_ms(0))
        self.number = 0

    def meet(self, *, public: bool = False, name: str = "", **identifiers: str) -> Met:
        return self.take(name or f"e{self.number + 1}", identifiers, public=public)

    def take(self, name: str, identifiers: Mapping[str, str], *, public: bool = False) -> Met:
        self.number += 1
        named = Named(name, self.table.keys_of(identifiers), lambda: f"r-{name}", public)
        record = assign(named, self.table, self.directory, self.findings)
        self._heed()
        person = self.directory.person_of[record]
        return Met(record, person.id, tuple(person.records))

    def order(self, kind: str, customer: str, *records: str, link: str = "", automatic: bool = False) -> str:
        self.number += 1
        order = LinkOrdered(
            f"o{self.number}",
            kind,
            customer,
            "somebody",
            clock.from_ms(0),
            list(records),
            link,
            automatic=automatic,
        )
        outcome = obey(order, self.table, self.directory, self.findings)
        self._heed()
        return outcome

    def _heed(self) -> None:
        """What the tables would do: links of events stand for orders as well."""
        for edge in self.findings.edges:
            if edge.link_id not in self.findings.ended:
                self.directory.edges.setdefault(edge.link_id, edge)

    @property
    def counts(self) -> Counter[str]:
        """What the guards did: whom they kept apart, and what joins nobody because of them."""
        return Counter({what: n for what, n in self.findings.counts.items() if what not in ("merges", "unmerges")})

    @property
    def standing(self) -> list[Edge]:
        return [edge for edge in self.findings.edges if edge.link_id not in self.findings.ended]

    def person(self, record: str) -> str:
        return self.directory.person_of[record].id

    def people(self) -> list[Person]:
        return list({id(person): person for person in self.directory.person_of.values()}.values())

    def snapshot(self) -> tuple[object, ...]:
        """Whose is what: persons with their records and identifiers, whose identifiers are, and which links stand."""
        people = sorted((person.id, tuple(person.records), tuple(sorted(person.keys))) for person in self.people())
        return people, dict(self.directory.record_of), {edge.link_id for edge in self.standing}

    def partition(self, names: Sequence[str] | None = None) -> set[frozenset[str]]:
        """Identifiers by person."""
        groups: dict[str, set[str]] = {}
        for key, record in self.directory.record_of.items():
            groups.setdefault(self.person(record), set()).add(key)
        return {frozenset(group) for group in groups.values()}

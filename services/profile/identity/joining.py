"""May people be made one, and what becomes of them then? The guards, the making and the parting of persons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from services.profile.identity.directory import Directory, Findings, Person
from services.profile.identity.rules import Table, kind_of

DIFFERENT = "different"
TOO_MANY = "too_many"
APART = "apart"


def forbids(people: Sequence[Person], table: Table) -> str:
    """Why these may not be one person whoever says so, or nothing.

    `different:<type>` where they have several values of a type that nobody has two of, `too_many:<type>` where they
    would have more of a type than its limit.
    """
    keys = set().union(*(person.keys for person in people))
    count = Counter(map(kind_of, keys))
    for kind in sorted(table.uniques & count.keys()):
        if count[kind] > 1:
            return f"{DIFFERENT}:{kind}"
    for kind, number in sorted(count.items()):
        limit = table.of(kind).limit
        # A person who was over a limit before it was lowered may still be joined by what is not of that type.
        if number > limit and all(number > sum(kind_of(key) == kind for key in person.keys) for person in people):
            return f"{TOO_MANY}:{kind}"
    return ""


def apart_pairs(people: Sequence[Person], directory: Directory) -> Iterable[tuple[str, str]]:
    """The pairs of records of different persons among these that are kept apart, the smaller id first."""
    for at, person in enumerate(people):
        for other in people[at + 1 :]:
            for one in person.records:
                for two in directory.apart.get(one, set()).intersection(other.records):
                    yield pair_of(one, two)


def pair_of(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def joined(person: Person, other: Person, directory: Directory, findings: Findings) -> Person:
    """The person that the two are from now on; its id is that of its eldest record."""
    for each in (person, other):
        findings.touch(each)
        findings.move(each)
    person.records = directory.by_age([*person.records, *other.records])
    person.id = person.records[0]
    person.keys |= other.keys
    for record in other.records:
        directory.person_of[record] = person
    return person


def fallen_apart(person: Person, directory: Directory, findings: Findings) -> list[Person]:
    """The persons that the remaining links make of one; that one alone when they still hold it together."""
    parts = components(person.records, ((edge.one, edge.other) for edge in directory.edges.values()))
    if len(parts) == 1:
        return [person]
    findings.move(person)
    keys = {key: directory.record_of[key] for key in person.keys}
    made = []
    for part in parts:
        records = directory.by_age(part)
        held = {key for key, record in keys.items() if record in part}
        made.append(Person(records[0], records, held, person.revision))
        directory.add(made[-1], {})
    return made


def components(records: Collection[str], pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
    """What hangs together; pairs with a record that is not asked for are passed over."""
    part_of = {record: {record} for record in records}
    for one, other in pairs:
        if one in part_of and other in part_of and part_of[one] is not part_of[other]:
            part_of[one] |= part_of[other]
            for each in part_of[other]:
                part_of[each] = part_of[one]
    return list({id(part): part for part in part_of.values()}.values())

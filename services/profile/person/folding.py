"""What does an event change in what is known of a customer? Pure: a state and an event in, a state and changes out.

State is kept per customer record. A person may consist of several records, which are never copied into one another:
a view adds them up, so that taking them apart again is exact. What a profile holds stands in chapters, one file each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from libs.common.events import Change, ProfileUpdated
from services.profile.person.attributes import attributes_of
from services.profile.person.care import CARE
from services.profile.person.cases import CASES
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.consents import CONSENTS, PERMISSION, delivered
from services.profile.person.contacts import CONTACTS
from services.profile.person.definitions import Definitions
from services.profile.person.deliverability import DELIVERABILITY
from services.profile.person.enriched import ENRICHED
from services.profile.person.erased import ERASED_BEFORE
from services.profile.person.grades import GRADES
from services.profile.person.holdings import HOLDINGS
from services.profile.person.life_stage import LIFE_STAGE
from services.profile.person.lifecycle import LIFECYCLE
from services.profile.person.notes import NOTES
from services.profile.person.occurrence import Effect, Occurrence
from services.profile.person.papers import PAPERS
from services.profile.person.points import POINTS
from services.profile.person.presence import PRESENCE
from services.profile.person.purchases import PURCHASES
from services.profile.person.quality import FRESHNESS, QUALITY
from services.profile.person.relations import RELATIONS
from services.profile.person.responses import RESPONSES
from services.profile.person.restrictions import RESTRICTIONS
from services.profile.person.rfm import RFM
from services.profile.person.state import Customer
from services.profile.person.surveys import SURVEYS
from services.profile.person.traits import TRAITS

CHAPTERS: Final[tuple[Chapter, ...]] = (
    PRESENCE,
    ENRICHED,
    TRAITS,
    CONTACTS,
    CONSENTS,
    PERMISSION,
    DELIVERABILITY,
    CASES,
    PURCHASES,
    POINTS,
    CARE,
    RELATIONS,
    HOLDINGS,
    PAPERS,
    SURVEYS,
    NOTES,
    RESTRICTIONS,
    QUALITY,
    FRESHNESS,
    LIFE_STAGE,
    RESPONSES,
    LIFECYCLE,
    RFM,
    GRADES,
    ERASED_BEFORE,
)
"""In the order in which a field of the same name in two of them would count: the later one."""

_KEEPING: Final = {chapter.keeps: 1 << at for at, chapter in enumerate(CHAPTERS) if chapter.keeps}
"""A bit for each attribute of a customer that a chapter keeps."""

READ: Final = tuple(sum(_KEEPING[name] for name in chapter.reads) for chapter in CHAPTERS)
"""For each chapter the bits of what its views look at."""

AGES: Final = tuple(chapter.ages for chapter in CHAPTERS)
_DELIVERED: Final = (TRAITS, CONTACTS, CONSENTS, DELIVERABILITY, CASES, RESTRICTIONS, ERASED_BEFORE)
DELIVERED: Final = sum(_KEEPING[name] for name in {name for chapter in _DELIVERED for name in chapter.reads})
"""What delivery looks at: a change of anything else is no news to it."""

EVERYTHING: Final = sum(_KEEPING.values())


def bit_of(name: str) -> int:
    """The bit of what a chapter keeps, by the name of its attribute."""
    return _KEEPING[name]


_Act = tuple[int, str, Any, Effect]


def _act(chapter: Chapter, effect: Effect) -> _Act:
    return _KEEPING[chapter.keeps], chapter.keeps, chapter.state, effect


_ALWAYS: Final = tuple(_act(each, each.every) for each in CHAPTERS if each.every is not None and not each.concerns)
_CONCERNED: Final = tuple(
    (each.concerns, _act(each, each.every)) for each in CHAPTERS if each.every is not None and each.concerns
)
_EFFECTS: Final[dict[str, tuple[_Act, ...]]] = {
    kind: tuple(_act(chapter, chapter.effects[kind]) for chapter in CHAPTERS if kind in chapter.effects)
    for kind in sorted({kind for chapter in CHAPTERS for kind in chapter.effects})
}


OWN_NEWS: Final = frozenset(
    "profile.linked profile.unlinked profile.time_passed profile.refolded profile.erased".split()
)
"""What we say ourselves of a profile: no sign of the person, and nothing that would not follow again."""


NO_SIGN: Final = frozenset({"points.expired", "profile.enriched", "care.assigned"})
"""What happens to a person without them."""


def has_effect(kind: str) -> bool:
    """Whether the data of such an event changes any profile; of others only the envelope counts."""
    return kind in _EFFECTS


_NOTHING: Final[tuple[_Act, ...]] = ()


def acts_of(event: Occurrence) -> Sequence[_Act]:
    """What an event may do: to which state of a customer, and how."""
    if event.type in OWN_NEWS:
        return _NOTHING
    acts = [*_ALWAYS] if event.type not in NO_SIGN else []
    for concerns, act in _CONCERNED:
        if not concerns.isdisjoint(event.identifiers):
            acts.append(act)
    acts += _EFFECTS.get(event.type, ())
    return acts


def apply(customer: Customer, event: Occurrence, definitions: Definitions) -> int:
    """Change `customer` by one event; returns the bits of what changed, 0 when nothing did."""
    return act(customer, event, definitions, acts_of(event))


def act(customer: Customer, event: Occurrence, definitions: Definitions, acts: Sequence[_Act]) -> int:
    touched = 0
    for bit, name, make, effect in acts:
        held = getattr(customer, name)
        if held is None:
            made = make()
            if effect(made, event, definitions):
                setattr(customer, name, made)
                touched |= bit
        elif effect(held, event, definitions):
            touched |= bit
    if touched:
        customer.version += 1
    return touched


@lru_cache(maxsize=4096)
def computed(name: str) -> bool:
    """Whether a name of the view is kept for what follows from events: nobody sets it by calling a trait so."""
    return name == "version" or any(chapter.reserved(name) for chapter in CHAPTERS)


_FIELDS: Final = tuple(chapter.fields for chapter in CHAPTERS)
_NAMED_OUTSIDE: Final = frozenset({CHAPTERS.index(TRAITS), CHAPTERS.index(ENRICHED)})


def part(index: int, records: Records, at: Moment) -> dict[str, Any]:
    """The fields of one chapter."""
    found = _FIELDS[index](records, at)
    if index in _NAMED_OUTSIDE:
        return {name: value for name, value in found.items() if not computed(name)}
    return found


def parts(records: Records, at: Moment) -> list[dict[str, Any]]:
    return [part(index, records, at) for index in range(len(CHAPTERS))]


_kept_of: Final = attrgetter(*_KEEPING)
SILENT: Final[tuple[dict[str, Any] | None, ...]] = tuple(
    part(index, [Customer("")], Moment(1, Definitions())) if chapter.keeps else None
    for index, chapter in enumerate(CHAPTERS)
)
"""What a chapter that keeps something says of a person of whom it keeps nothing: the same by whatever definitions.

Of most people most chapters keep nothing, so that this is not asked of them. Nobody may change it.
"""


class Kept(NamedTuple):
    """Of what anything is kept of a record: the bits of it, and the fields by chapter that follow from the rest."""

    bits: int
    parts: tuple[dict[str, Any] | None, ...]


def kept(customer: Customer) -> Kept:
    return _kept(tuple([each is None for each in _kept_of(customer)]))


@lru_cache(maxsize=4096)
def _kept(nothing: tuple[bool, ...]) -> Kept:
    bits = sum([bit for bit, none in zip(_KEEPING.values(), nothing, strict=True) if not none])
    return Kept(bits, tuple([None if read & bits else said for read, said in zip(READ, SILENT, strict=True)]))


@lru_cache(maxsize=4096)
def readers(touched: int) -> tuple[int, ...]:
    """The chapters whose views look at any of what was touched."""
    return tuple(index for index, read in enumerate(READ) if read & touched)


def whole(found: Iterable[Mapping[str, Any] | None], version: int) -> dict[str, Any]:
    """The person as rules and the history see them: flat, and nothing to reach or name them by."""
    seen: dict[str, Any] = {}
    for each in found:
        if each:
            seen.update(each)
    seen["version"] = version
    return seen


def view(records: Records, at: Moment) -> dict[str, Any]:
    """The person on a day; `records` are all of theirs, the one whose version counts first."""
    return whole(parts(records, at), records[0].version)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change]:
    """The fields of two views that are not the same."""
    found = {name: Change(before.get(name), now) for name, now in after.items() if before.get(name) != now}
    if not before.keys() <= after.keys():
        for name, was in before.items():
            if name not in after and was is not None:
                found[name] = Change(was, None)
    return found


def sections(records: Records, at: Moment) -> dict[str, Any]:
    """What people see of the person: a section per chapter that has something to show."""
    return {chapter.name: chapter.shown(records, at) for chapter in CHAPTERS if chapter.shown is not None}


_DUE: Final = tuple(
    (chapter.name, chapter.due, read) for chapter, read in zip(CHAPTERS, READ, strict=True) if chapter.wakes
)


def due(records: Records, at: Moment) -> int | None:
    """The first day after `at` on which the view changes by the passing of time alone."""
    return min(dues(records, at, EVERYTHING, {}).values(), default=None)


def dues(records: Records, at: Moment, touched: int, known: Mapping[str, int]) -> dict[str, int]:
    """That day by chapter; of chapters that look at nothing that was touched it is the one that is known.

    A day that has come is over: the next one is looked for.
    """
    # Where nothing is kept, nothing becomes due: most chapters of most people.
    bits = kept(records[0]).bits if len(records) == 1 else EVERYTHING
    found: dict[str, int] = {}
    for name, due, read in _DUE:
        if not read & bits:
            continue
        day = known.get(name)
        if read & touched or (day is not None and day <= at.day):
            day = due(records, at)
        if day is not None:
            found[name] = day
    return found


def suppressed(records: Records, at: Moment) -> list[str]:
    """Reasons for which the person may not be contacted."""
    return sorted({reason for chapter in CHAPTERS for reason in chapter.suppresses(records, at)})


def for_delivery(customer_id: str, customer: Customer, moment: Moment, at: datetime) -> ProfileUpdated:
    """What delivery needs of this record; `version` is the record's, whoever else belongs to the person."""
    traits = customer.traits.held if customer.traits is not None else {}
    contacts = customer.contacts.held if customer.contacts is not None else {}
    zone = traits.get("zone")
    return ProfileUpdated(
        customer_id,
        customer.person_id,
        customer.version,
        contacts={channel: str(trait.value) for channel, trait in sorted(contacts.items())},
        consents=dict(delivered(customer, moment)),
        zone=str(zone.value) if zone is not None else None,
        suppressed=suppressed([customer], moment),
        attributes=attributes_of(customer, moment),
        linked=customer.linked,
        updated_at=at,
    )

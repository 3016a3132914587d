"""Who belongs to a customer: household, family, employer, and who brought whom? Who that is, only people see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import (
    Statement,
    day_of,
    keep_largest,
    keep_newest,
    mark_of,
    newest_of,
    text_of,
    written,
)
from services.profile.person.occurrence import Occurrence

SPOUSES: Final = frozenset({"spouse", "partner"})
CHILD: Final = "child"
AT_HOME: Final = SPOUSES | {CHILD, "household_member"}
"""Roles that live in one household unless it is said that they do not."""

RELATIONS_MAX: Final = 50
BIRTHS_MAX: Final = 20
_ROLE_MAX: Final = 50


class Added(Statement, array_like=True, order=True, frozen=True, gc=False):
    """`role` is what the other one is to the customer. Days are ordinals, 0 where nobody named one."""

    role: str
    customer_id: str = ""
    identifier: str = ""
    name: str = ""
    since: int = 0
    born: int = 0
    at_home: bool = False
    source: str = ""


class Ended(Statement, array_like=True, order=True, frozen=True, gc=False):
    until: int = 0


class Relations(Struct, array_like=True, gc=False):
    """Statements by the relation's id, the ends also by the role alone; `births` are days, referrals are counted."""

    added: dict[str, Added] = {}
    ended: dict[str, Ended] = {}
    births: list[int] = []
    referral_count: int = 0


class Relation(Struct, frozen=True):
    id: str
    added: Added
    ended: Ended | None


def _added(held: Relations, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    role, said = _role(event.data), event.data
    if not role:
        return False
    customer_id, identifier, name = _party(said)
    at_home = said.get("household")
    found = Added(
        event.at_ms,
        role,
        customer_id,
        identifier,
        name,
        day_of(said.get("since")),
        day_of(said.get("born_on")),
        at_home if isinstance(at_home, bool) else role in AT_HOME,
        event.source,
    )
    return keep_newest(held.added, _id(said, role), found, RELATIONS_MAX)


def _ended(held: Relations, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    role = _role(event.data)
    if not role and not text_of(event.data.get("relation")):
        return False
    return keep_newest(
        held.ended, _id(event.data, role), Ended(event.at_ms, day_of(event.data.get("until"))), 2 * RELATIONS_MAX
    )


def _born(held: Relations, event: Occurrence, definitions: Definitions) -> bool:
    said = event.data
    day = day_of(said.get("child_birth_date")) or day_of(said.get("on")) or definitions.day_of(event.at_ms)
    return keep_largest(held.births, day, BIRTHS_MAX)


def _referred(held: Relations, event: Occurrence, definitions: Definitions) -> bool:
    del event, definitions
    held.referral_count += 1
    return True


def _role(said: Mapping[str, Any]) -> str:
    return text_of(said.get("role"), _ROLE_MAX).lower().replace(" ", "_")


def _party(said: Mapping[str, Any]) -> tuple[str, str, str]:
    """The other one's customer id, identifier and name, as far as they are told."""
    party = said.get("other_party")
    if not isinstance(party, Mapping):
        return "", "", text_of(party)
    return text_of(party.get("customer_id")), text_of(party.get("identifier")), text_of(party.get("name"))


def _id(said: Mapping[str, Any], role: str) -> str:
    """An id of its own, or one that follows from role and party; of a role alone without a party."""
    if own := text_of(said.get("relation")):
        return own
    customer_id, identifier, name = _party(said)
    other = customer_id or identifier or name or (written(day_of(said.get("born_on"))) or "")
    return mark_of(f"{role}\x00{other}") if other else _alone(role)


def _alone(role: str) -> str:
    return f"role:{role}"


def relations_of(records: Records) -> list[Relation]:
    """All that is known, those that last first; a role that ended without a name ended for everybody in it."""
    held = _held(records)
    ended = newest_of(each.ended for each in held)
    found = []
    for name, added in newest_of(each.added for each in held).items():
        ends = [ended[each] for each in (name, _alone(added.role)) if each in ended]
        last = max(ends, default=None)
        found.append(Relation(name, added, last if last is not None and last.at_ms >= added.at_ms else None))
    return sorted(found, key=lambda each: (each.ended is not None, each.added.role, each.id))


def _held(records: Records) -> list[Relations]:
    return [each.relations for each in records if each.relations is not None]


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    if len(records) == 1 and records[0].relations is None:
        return {}
    held = _held(records)
    if not held:
        return {}
    present = [each.added for each in relations_of(records) if each.ended is None]
    children = _births(held, present)
    at_home = sum(each.at_home and each.role != CHILD for each in present)
    at_home += len(children) - sum(each.role == CHILD and not each.at_home for each in present)
    seen: dict[str, Any] = {
        "household_size": 1 + max(at_home, 0),
        "has_spouse": any(each.role in SPOUSES for each in present),
        "child_count": len(children),
        "referral_count": sum(each.referral_count for each in held),
    }
    seen["is_referrer"] = seen["referral_count"] > 0
    if any(children):
        seen["youngest_child_birth_year"] = date.fromordinal(max(children)).year
    return seen


def _births(held: Sequence[Relations], present: Sequence[Added]) -> list[int]:
    """A day for each child, 0 where it is not known: a birth that was told and a child of that day are one."""
    named = [each.born for each in present if each.role == CHILD]
    return named + sorted({day for each in held for day in each.births}.difference(named))


def _shown(records: Records, at: Moment) -> dict[str, Any] | None:
    del at
    return {"relations": [_written(each) for each in relations_of(records)]} if _held(records) else None


def _written(relation: Relation) -> dict[str, Any]:
    added, ended = relation.added, relation.ended
    return {
        "relation": relation.id,
        "role": added.role,
        "customer_id": added.customer_id or None,
        "identifier": added.identifier or None,
        "name": added.name or None,
        "since": written(added.since),
        "born_on": written(added.born),
        "household": added.at_home,
        "told_at": from_ms(added.at_ms),
        "source": added.source,
        "ended": ended is not None,
        "until": written(ended.until) if ended is not None else None,
    }


_FIELDS: Final = frozenset(
    "household_size has_spouse child_count referral_count is_referrer youngest_child_birth_year".split()
)

RELATIONS = Chapter(
    "relations",
    reads=("relations",),
    keeps="relations",
    state=Relations,
    effects={
        "relation.added": _added,
        "relation.ended": _ended,
        "life.childbirth": _born,
        "referred": _referred,
    },
    fields=_fields,
    shown=_shown,
    reserved=_FIELDS.__contains__,
)

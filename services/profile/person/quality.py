"""How much is known of a customer, how fresh is it, and which branch is to put it right?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.contacts import all_contacts, confirmed_ms
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, text_of
from services.profile.person.occurrence import Occurrence
from services.profile.person.traits import all_traits, left_out

HOME_TRAITS: Final = ("home_branch", "branch")
_BRANCH_MAX: Final = 200


class Bought(Statement, array_like=True, order=True, frozen=True, gc=False):
    branch: str


class Quality(Struct, array_like=True, gc=False):
    """Where the newest purchase at a branch was made."""

    bought: Bought | None = None


def _bought(held: Quality, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    if not event.branch or (held.bought is not None and event.at_ms < held.bought.at_ms):
        return False
    found = Bought(event.at_ms, event.branch[:_BRANCH_MAX])
    if held.bought is not None and not held.bought < found:
        return False
    held.bought = found
    return True


def home_branch(records: Records, definitions: Definitions) -> str:
    """The branch that a trait names, else the one of the newest purchase; empty for none."""
    traits = all_traits(records, definitions)
    for name in HOME_TRAITS:
        if name in traits and (branch := text_of(traits[name].value, _BRANCH_MAX)):
            return branch
    found = [each.quality.bought for each in records if each.quality is not None and each.quality.bought is not None]
    return max(found).branch if found else ""


def missing(records: Records, definitions: Definitions) -> list[str]:
    """What should be known and is not."""
    traits, contacts = all_traits(records, definitions), all_contacts(records)
    known: Mapping[str, Any] = {**traits, **contacts} if contacts else traits
    found = []
    for what, names in definitions.quality.expected.items():
        for name in names:
            if name in known and known[name].value is not None and known[name].value != "":
                break
        else:
            found.append(what)
    return found


def confirmed_day(records: Records, definitions: Definitions) -> int:
    """The day (ordinal) on which it was last said where the person can be reached; 0 for never."""
    at_ms = confirmed_ms(records)
    return definitions.day_of(at_ms) if at_ms else 0


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    for each in records:
        if each.contacts is not None or each.traits is not None:
            break
    else:
        return {}
    if not (expected := len(at.definitions.quality.expected)):
        return {}
    return {"quality_completeness": round(1 - len(missing(records, at.definitions)) / expected, 2)}


def _shown(records: Records, at: Moment) -> dict[str, Any] | None:
    confirmed = confirmed_ms(records)
    return {
        **_fields(records, at),
        **_freshness(records, at),
        "missing": missing(records, at.definitions),
        **left_out(records),
        "confirmed_at": from_ms(confirmed) if confirmed else None,
        "home_branch": home_branch(records, at.definitions) or None,
    }


def _freshness(records: Records, at: Moment) -> dict[str, Any]:
    confirmed = confirmed_day(records, at.definitions)
    return {"contact_stale": at.day > confirmed + at.definitions.quality.fresh_days} if confirmed else {}


def _due(records: Records, at: Moment) -> int | None:
    confirmed = confirmed_day(records, at.definitions)
    turns = confirmed + at.definitions.quality.fresh_days + 1
    return turns if confirmed and at.day < turns <= date.max.toordinal() else None


QUALITY = Chapter(
    "quality",
    reads=("traits", "contacts"),
    keeps="quality",
    state=Quality,
    effects={"purchase": _bought},
    fields=_fields,
    shown=_shown,
    reserved=lambda name: name == "quality_completeness",
)

FRESHNESS = Chapter(
    "freshness",
    reads=("contacts",),
    fields=_freshness,
    due=_due,
    reserved=lambda name: name == "contact_stale",
)
"""A chapter of its own, for it is looked at on each new day."""

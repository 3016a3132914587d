"""What do others say of a customer, for how long may it be used, and by which licence?

What the customer's own sources say of the same thing counts before it.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, day_of, keep_by_mark, mark_of, text_of, written
from services.profile.person.occurrence import Occurrence
from services.profile.person.private import is_private
from services.profile.person.telling import historian, said_of

TRAITS_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 500

Value = str | int | float | bool


class Lent(Statement, array_like=True, frozen=True, gc=False):
    """A trait from outside; it counts up to the end of `until_day` (ordinal), and not at all with day 0."""

    event_id: str
    value: Value
    source: str = ""
    licence: str = ""
    until_day: int = 0

    def weight(self) -> tuple[int, str, str]:
        return self.at_ms, self.event_id, repr(self.value)


class Enriched(Struct, array_like=True, gc=False):
    """The newest of each trait, by `<name>/<mark>`; of too many those stay that have the lowest marks."""

    held: dict[str, Lent] = {}


def _enriched(held: Enriched, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    traits, changed = event.data.get("traits"), False
    until = day_of(event.data.get("expires_on"))
    if not isinstance(traits, dict) or not until:
        # What may be used without end is not known to be allowed.
        return False
    source, licence = text_of(event.data.get("source")), text_of(event.data.get("licence"))
    for name, value in traits.items():
        if not isinstance(name, str) or not name or len(name) > 100 or not _is_value(value):
            continue
        key = f"{name}/{mark_of(name)}"
        found, known = Lent(event.at_ms, event.id, value, source, licence, until), held.held.get(key)
        if known is None:
            changed |= keep_by_mark(held.held, key, found, TRAITS_MAX)
        elif known.weight() < found.weight():
            held.held[key], changed = found, True
    return changed


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_LENGTH_MAX
    return isinstance(value, bool | int) and abs(value) < 2**63 or isinstance(value, float) and value - value == 0


def lent(records: Records, day: int) -> dict[str, Lent]:
    """What counts on a day, by name; of a person no more names than there is room for in one record."""
    found: dict[str, Lent] = {}
    for record in records:
        for key, each in (record.enriched.held if record.enriched is not None else {}).items():
            known = found.get(key)
            if known is not None and known.weight() < each.weight():
                found[key] = each
            elif known is None:
                keep_by_mark(found, key, each, TRAITS_MAX)
    return {key.rpartition("/")[0]: each for key, each in found.items() if each.until_day >= day}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if all(each.enriched is None for each in records):
        return {}
    kept = historian(said_of(records))
    own = {name for each in records if each.traits is not None for name in each.traits.held}
    return {
        name: kept(each.value)
        for name, each in lent(records, at.day).items()
        if name not in own and not is_private(name)
    }


def _shown(records: Records, at: Moment) -> dict[str, Any] | None:
    found = lent(records, at.day)
    if not found:
        return None
    return {
        name: {
            "value": each.value,
            "at": from_ms(each.at_ms),
            "source": each.source,
            "licence": each.licence,
            "expires_on": written(each.until_day),
        }
        for name, each in sorted(found.items())
    }


def _due(records: Records, at: Moment) -> int | None:
    return min((each.until_day + 1 for each in lent(records, at.day).values()), default=None)


ENRICHED = Chapter(
    "enriched",
    reads=("enriched", "traits", "contacts"),
    keeps="enriched",
    state=Enriched,
    effects={"profile.enriched": _enriched},
    fields=_fields,
    shown=_shown,
    due=_due,
)

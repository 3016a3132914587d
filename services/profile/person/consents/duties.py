"""What is owed to a person who has spoken of consent, and by when? As the law of their place has it, by a table."""

from __future__ import annotations

from calendar import isleap
from datetime import date
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from services.profile.person.chapter import Moment, Records
from services.profile.person.consent_terms import Duties
from services.profile.person.consents.held import Consents, Said, Slot
from services.profile.person.consents.speech import EVERY, parts_of
from services.profile.person.consents.standing import LAST_DAY, is_granted, standing_of
from services.profile.person.definitions import Definitions
from services.profile.person.traits import all_traits

NOTICE: Final = "notice"
RECONFIRM: Final = "reconfirm"
KINDS: Final = (NOTICE, RECONFIRM)


class Owed(Struct, frozen=True, gc=False):
    """A duty: it is time for it from `from_day` on, and in time until `due_day`, both ordinals and included.

    `keys` name the consents that it is about, those of the earliest day first.
    """

    duty: str
    from_day: int
    due_day: int
    keys: tuple[str, ...]


def place_of(records: Records, definitions: Definitions) -> Duties:
    """The duties towards somebody, by the country that they name, else their zone, else the company's own."""
    terms, place = definitions.consents, ""
    country = _trait(records, "country", definitions)
    if country:
        place = terms.jurisdictions.get(country, country)
    elif zone := _trait(records, "zone", definitions):
        place = terms.zones.get(zone, "")
    return terms.duties.get(place) or terms.duties.get(terms.jurisdiction) or Duties()


def _trait(records: Records, name: str, definitions: Definitions) -> str:
    held: Any = None
    if len(records) == 1:
        traits = records[0].traits
        held = traits.held.get(name) if traits is not None else None
    else:
        held = all_traits(records, definitions).get(name)
    return held.value if held is not None and isinstance(held.value, str) else ""


def owed(held: Consents, duties: Duties, at: Moment) -> list[Owed]:
    """At most one of each kind, the earliest; it stays, overdue, until it is done or the consent is no more."""
    untold = {key: ms for key, slot in _owing(held, at) if (ms := _untold_ms(held, key, slot, at)) is not None}
    turns = {key: day for key, slot in _owing(held, at) if (day := _turn(held, key, slot, duties, at)) is not None}
    keys = {NOTICE: _in_order(untold), RECONFIRM: _in_order(turns)}
    return [Owed(*days, keys[days[0]]) for days in days_owed(held, duties, at)]


def _in_order(since: dict[str, int]) -> tuple[str, ...]:
    return tuple(sorted(since, key=lambda key: (since[key], key)))


def days_owed(held: Consents, duties: Duties, at: Moment) -> list[tuple[str, int, int]]:
    """Duty, first and last day of each kind that is owed, as `owed` has it; asked for often."""
    first_ms: int | None = None
    for key, slot in held.slots.items():
        if slot.spoken or slot.asked:
            ms = _untold_ms(held, key, slot, at)
            if ms is not None and (first_ms is None or ms < first_ms) and _owes(key, at):
                first_ms = ms
    turn = _first_turn(held, duties, at) if duties.reconfirm_years else None
    found = []
    if first_ms is not None and duties.notice_days:
        day = at.definitions.day_of(first_ms)
        found.append((NOTICE, day, min(day + duties.notice_days, LAST_DAY)))
    if turn is not None:
        found.append((RECONFIRM, turn - duties.reconfirm_start_days, turn - 1))
    return found


def _first_turn(held: Consents, duties: Duties, at: Moment) -> int | None:
    """The first of all turns. Of consents that were never confirmed anew the oldest has it, so that one is enough."""
    first: int | None = None
    plain: list[tuple[int, str]] = []
    for key, slot in held.slots.items():
        if slot.asked or held.reconfirmed:
            day = _turn(held, key, slot, duties, at) if _owes(key, at) else None
            if day is not None and (first is None or day < first):
                first = day
        elif slot.yes is not None:
            plain.append((slot.yes.at_ms, key))
    for _, key in sorted(plain):
        slot = held.slots[key]
        if _owes(key, at) and is_granted(held, key, slot, at):
            day = _next_turn(held, key, slot.yes, duties, at)
            return day if first is None or (day is not None and day < first) else first
    return first


def done_ms(held: Consents, duty: str) -> int | None:
    """When a duty was last done, for whatever consent (Unix milliseconds)."""
    return max((held.noticed if duty == NOTICE else held.reconfirmed).values(), default=None)


def _owing(held: Consents, at: Moment) -> list[tuple[str, Slot]]:
    return [item for item in held.slots.items() if _owes(item[0], at)]


def _untold_ms(held: Consents, key: str, slot: Slot, at: Moment) -> int | None:
    """The instant of the first statement whose result was not told; a request is answered from its confirmation on."""
    spoken = slot.spoken
    if slot.asked:
        standing = standing_of(held, key, at)
        if standing is not None and standing.confirmed is not None and standing.confirmed.owes:
            spoken = sorted([*spoken, standing.confirmed.at_ms], reverse=True)
    if not spoken:
        return None
    told = _settled(held.noticed, key) if held.noticed else None
    return spoken[-1] if told is None else min((each for each in spoken if each > told), default=None)


def _turn(held: Consents, key: str, slot: Slot, duties: Duties, at: Moment) -> int | None:
    """The next of the recurring days (ordinal) before which a consent is confirmed anew; None where none is."""
    if not duties.reconfirm_years or not is_granted(held, key, slot, at):
        return None
    yes = slot.yes
    if slot.asked and (standing := standing_of(held, key, at)) is not None:
        yes = standing.said
    return _next_turn(held, key, yes, duties, at)


def _next_turn(held: Consents, key: str, yes: Said | None, duties: Duties, at: Moment) -> int | None:
    if yes is None:
        return None
    settled = None
    if (again_ms := renewed_ms(held, key, yes)) is not None:
        settled = at.definitions.day_of(again_ms)
    return _recurrence(at.definitions.day_of(yes.at_ms), settled, duties.reconfirm_years)


def renewed_ms(held: Consents, key: str, yes: Said) -> int | None:
    """When a consent was last confirmed anew (Unix milliseconds); None where it never was."""
    again_ms = _settled(held.reconfirmed, key) if held.reconfirmed else None
    return again_ms if again_ms is not None and again_ms > yes.at_ms else None


def _owes(key: str, at: Moment) -> bool:
    if ":" not in key:
        return True
    _, _, purpose = key.partition(":")
    return not purpose or purpose == EVERY or at.definitions.consents.purpose(purpose).owes


def _settled(noted: dict[str, int], key: str) -> int | None:
    """The newest of what was noted for this key or for all purposes of its channel.

    What was said of all purposes is answered by an answer that speaks of marketing.
    """
    channel, purpose = parts_of(key)
    found = [noted[each] for each in (key, f"{channel}:{EVERY}") if each in noted]
    if purpose == EVERY and channel in noted:
        found.append(noted[channel])
    return max(found, default=None)


@lru_cache(maxsize=4096)
def _recurrence(first_day: int, settled_day: int | None, years: int) -> int | None:
    """A confirmation settles the recurring day that it is nearest to, and all before that. Days are ordinals."""
    first, round_number = date.fromordinal(first_day), 1
    if settled_day is not None:
        reach = min(settled_day + years * 365 // 2, LAST_DAY)
        round_number = max(1, (date.fromordinal(reach).year - first.year) // years - 1)
        while (day := _shifted(first, round_number * years)) is not None and day <= reach:
            round_number += 1
    return _shifted(first, round_number * years)


def _shifted(day: date, years: int) -> int | None:
    """The same day of the calendar in another year, as an ordinal; the 28th where there is no 29th of February."""
    year = day.year + years
    if not 1 <= year <= date.max.year:
        return None
    if day.month == 2 and day.day == 29 and not isleap(year):
        return date(year, 2, 28).toordinal()
    return day.replace(year=year).toordinal()

"""What has been said about a customer? Which of several statements about one thing counts, is defined trait by trait.

A statement that repeats what is known is a newer one: that is how a trait is confirmed. Its instant is kept exactly,
for what came late must find its place before or after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import written
from services.profile.person.occurrence import Occurrence
from services.profile.person.private import is_private
from services.profile.person.telling import historian, telling_values
from services.profile.person.trait_room import NO_ROOM, fault_of, has_place, is_full, room_of, without_room
from services.profile.person.trait_terms import TraitRule

HAND: Final = "dangol/api/"
RULES: Final = "dangol/rules/"


class Trait(Struct, array_like=True, gc=False):
    """`received_ms` is kept where it decides; `room` are the bytes of the largest value that was ever said of it."""

    value: Any
    at_ms: int
    source: str = ""
    received_ms: int = 0
    room: int = 0


class Traits(Struct, array_like=True, gc=False):
    """`filled` is the room of all together, `end` the first name by lot for which there was none.

    `refused` counts what was said in more bytes than a value may have.
    """

    held: dict[str, Trait] = {}
    filled: int = 0
    end: str = ""
    refused: int = 0


def keep_newer(held: dict[str, Trait], name: str, found: Trait) -> bool:
    """Keep the newer of two statements, of two made at once the same whoever came first; says whether it was new."""
    known = held.get(name)
    if known is not None:
        if known.at_ms > found.at_ms or (known.at_ms == found.at_ms and _identity(known) >= _identity(found)):
            return False
    held[name] = found
    return True


def newest(each: Iterable[Mapping[str, Trait]]) -> dict[str, Trait]:
    merged: dict[str, Trait] = {}
    for traits in each:
        for name, trait in traits.items():
            keep_newer(merged, name, trait)
    return merged


def _identity(trait: Trait) -> tuple[str, str]:
    return repr(trait.value), trait.source


def keep(held: dict[str, Trait], name: str, found: Trait, rule: TraitRule) -> bool:
    """Keep the statement that counts by a rule; says whether that is another than before."""
    if rule.keep == "newest":
        return keep_newer(held, name, found)
    known = held.get(name)
    if known is not None and _weight(known, rule) >= _weight(found, rule):
        return False
    held[name] = found
    return True


def _weight(trait: Trait, rule: TraitRule) -> tuple[int, int, int, str, str]:
    """The heavier of two statements counts. Those by hand are among themselves judged by the newest."""
    by_hand = trait.source.startswith(HAND)
    value, source = _identity(trait)
    if rule.keep == "most_trusted":
        return _trust(trait.source, rule.trusted), trait.at_ms, 0, value, source
    if by_hand:
        return 1, trait.at_ms, 0, value, source
    if rule.keep == "never_overwrite":
        return 0, -trait.received_ms, -trait.at_ms, value, source
    return 0, -trait.at_ms, 0, value, source


def _trust(source: str, trusted: tuple[str, ...]) -> int:
    """Sources that nobody names are trusted least, hands excepted."""
    for at, pattern in enumerate(trusted):
        if fnmatchcase(source, pattern):
            return len(trusted) + 1 - at
    return 1 if source.startswith(HAND) else 0


def statements(event: Occurrence) -> Mapping[str, Any]:
    """What an event says of traits: those of an identify, the fields that a rule or a correction sets."""
    said = event.data.get("traits", event.data) if event.type == "identify" else event.data
    return said if isinstance(said, Mapping) else {}


def _set(held: Traits, event: Occurrence, definitions: Definitions) -> bool:
    changed = False
    terms, traits = definitions.traits, held.held
    for name, value in statements(event).items():
        room = room_of(name, value)
        if not room:
            held.refused, changed = held.refused + 1, True
            continue
        known = traits.get(name)
        if known is None and not has_place(name, held.end):
            continue
        before = known.room if known is not None else 0
        rule = terms.rule(name)
        received_ms = event.received_ms if rule.keep == "never_overwrite" else 0
        found = Trait(value, event.at_ms, event.source, received_ms, max(room, before))
        changed |= keep(traits, name, found, rule)
        if room > before:
            traits[name].room, held.filled, changed = room, held.filled + room - before, True
    if is_full(len(traits), held.filled):
        _give_up(held)
    return changed


def _give_up(held: Traits) -> None:
    for name in without_room(held.held):
        held.filled -= held.held.pop(name).room
        held.end = name


def unkept(known: Traits | None, said: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """By name, why something cannot be said now of a record of which `known` is known; told by saying it to a copy."""
    before = known or Traits()
    after = deepcopy(before)
    _set(after, Occurrence("profile.changed", 0, HAND, data=said), Definitions())
    pushed_out = sorted(before.held.keys() - after.held.keys() - said.keys())
    for name, value in said.items():
        if fault := fault_of(name, value):
            yield name, fault
        elif name not in after.held:
            yield name, NO_ROOM
        elif pushed_out and (name not in before.held or after.held[name].room > before.held[name].room):
            yield name, f"pushes out {', '.join(pushed_out[:3])}, and {NO_ROOM}"


def all_traits(records: Records, definitions: Definitions) -> dict[str, Trait]:
    """What counts of what several records were told; together no more than there is room for in one."""
    held = [each.traits.held for each in records if each.traits is not None]
    if len(held) == 1:
        return held[0]
    whole: dict[str, Trait] = {}
    for traits in held:
        for name, trait in traits.items():
            keep(whole, name, trait, definitions.traits.rule(name))
    if is_full(len(whole), sum(trait.room for trait in whole.values())):
        for name in without_room(whole):
            del whole[name]
    return whole


def left_out(records: Records) -> dict[str, Any]:
    """What of the traits that were said is not kept, where anything is not: for whoever wonders."""
    held = [each.traits for each in records if each.traits is not None]
    found = {"too_long": sum(each.refused for each in held), "without_room": any(each.end for each in held)}
    return {"traits_left_out": found} if any(found.values()) else {}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    found = all_traits(records, at.definitions)
    kept = historian(telling_values(found.items()))
    return {name: kept(trait.value) for name, trait in found.items() if not is_private(name)}


def sourced(trait: Trait) -> dict[str, Any]:
    return {"value": trait.value, "at": from_ms(trait.at_ms), "source": trait.source}


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    return {name: _aged(name, trait, at) for name, trait in all_traits(records, at.definitions).items()}


def _aged(name: str, trait: Trait, at: Moment) -> dict[str, Any]:
    """What is kept for being the oldest or the first does not go stale: nobody is expected to say it again."""
    rule = at.definitions.traits.rule(name)
    confirmed = at.definitions.day_of(trait.at_ms)
    lasts = bool(rule.stale_days) and rule.keep in ("newest", "most_trusted")
    return {
        **sourced(trait),
        "confirmed_at": written(confirmed),
        "stale": lasts and at.day - confirmed > rule.stale_days,
    }


TRAITS = Chapter(
    "traits",
    reads=("traits",),
    keeps="traits",
    state=Traits,
    effects={"identify": _set, "profile.changed": _set},
    fields=_fields,
    shown=_shown,
)

"""At which stage of life is a customer? What was said of it, by whom, and which of that is believed.

Of each stage that a kind of evidence names its first and its last statement are kept, so that no order of arrival
matters and a source that repeats itself every night takes no room.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from msgspec import Struct

from libs.common.clock import from_ms, to_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import day_of
from services.profile.person.occurrence import Occurrence
from services.profile.person.panes import make_room
from services.profile.person.trait_terms import Evidence, LifeStages
from services.profile.person.traits import HAND, RULES, statements

DECLARING: Final = ("life.marriage", "life.childbirth", "life.move", "life.job_change", "life.retirement")
"""Events whose data is looked at for the day on which it happened; others may declare a stage as of their own time."""

STAGES_MAX: Final = 24
STAGE_LENGTH_MAX: Final = 60
_SOURCE_LENGTH_MAX: Final = 200
_AHEAD_DAYS_MAX: Final = 730
_BEHIND_DAYS_MAX: Final = 45_000
_DAY_MS: Final = 86_400_000

_UNKNOWN: Final = ""
"""The stage of somebody of whom nobody knows one any more."""


class Said(Struct, array_like=True, order=True, frozen=True, gc=False):
    """When it was so (Unix milliseconds), who says so, and by which type of event."""

    at_ms: int
    source: str
    type: str


class Claim(Struct, array_like=True, gc=False):
    first: Said
    last: Said


class LifeStage(Struct, array_like=True, gc=False):
    """Claims by the kind of evidence and the stage."""

    claims: dict[str, dict[str, Claim]] = {}


class Step(NamedTuple):
    """A stage that is believed, from when on, and why; `confirmed_ms` is when it was last said."""

    stage: str
    said: Said
    kind: str
    confirmed_ms: int


class _Point(NamedTuple):
    at_ms: int
    rank: int
    stage: str
    kind: str
    said: Said
    confirmed_ms: int


def _stated(held: LifeStage, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    said = statements(event)
    if "life_stage" not in said:
        return False
    stage = said["life_stage"]
    if stage is None:
        stage = _UNKNOWN
    if not isinstance(stage, str):
        return False
    return _note(held, _kind(event), stage, _said(event, event.at_ms))


def _kind(event: Occurrence) -> str:
    if event.type != "identify":
        if event.source.startswith(HAND):
            return "hand"
        if event.source.startswith(RULES):
            return "rule"
    return "said"


def _declared(held: LifeStage, event: Occurrence, definitions: Definitions) -> bool:
    found = definitions.life_stages.events.get(event.type)
    if found is None or event.traffic:
        return False
    return _note(held, "event", found.stage, _said(event, _happened_ms(event, definitions)))


def _declared_otherwise(held: LifeStage, event: Occurrence, definitions: Definitions) -> bool:
    """Events of types that were made declaring by definition."""
    if event.type not in definitions.life_stages.events or event.type in DECLARING:
        return False
    return _declared(held, event, definitions)


def _happened_ms(event: Occurrence, definitions: Definitions) -> int:
    """When a marriage took place, not when it was told of; a day too far away is taken for a slip."""
    today = definitions.day_of(event.at_ms)
    day = day_of(event.data.get("on")) or day_of(event.data.get("child_birth_date"))
    if not day or day == today or not today - _BEHIND_DAYS_MAX < day <= today + _AHEAD_DAYS_MAX:
        return event.at_ms
    return to_ms(definitions.starts(day))


def _said(event: Occurrence, at_ms: int) -> Said:
    return Said(at_ms, event.source[:_SOURCE_LENGTH_MAX], event.type)


def _note(held: LifeStage, kind: str, stage: str, said: Said) -> bool:
    if len(stage) > STAGE_LENGTH_MAX:
        return False
    claims = held.claims.get(kind)
    if claims is None:
        claims = held.claims[kind] = {}
    return _join(claims, stage, Claim(said, said))


def _join(claims: dict[str, Claim], stage: str, found: Claim) -> bool:
    """Of too many stages those stay that come first by a fixed lot, whatever order they came in."""
    known = claims.get(stage)
    if known is None:
        if len(claims) >= STAGES_MAX and not make_room(claims, stage):
            return False
        claims[stage] = Claim(found.first, found.last)
        return True
    changed = False
    if found.first < known.first:
        known.first, changed = found.first, True
    if found.last > known.last:
        known.last, changed = found.last, True
    return changed


def _all_claims(records: Records) -> dict[str, dict[str, Claim]]:
    held = [each.life_stage.claims for each in records if each.life_stage is not None]
    if len(held) == 1:
        return held[0]
    whole: dict[str, dict[str, Claim]] = {}
    for each in held:
        for kind, claims in each.items():
            for stage, claim in claims.items():
                _join(whole.setdefault(kind, {}), stage, claim)
    return whole


def _points(kind: str, claims: dict[str, Claim], rank: int) -> Iterator[_Point]:
    """The statements that say something new.

    A source that repeats what it has always said contradicts nobody who knows better since. It has changed its mind
    only when it said something else in between, and then from the end of that on.
    """
    for stage, claim in claims.items():
        first, last = claim.first, claim.last
        again_ms = last.at_ms
        if kind == "said":
            others = (each.last.at_ms for name, each in claims.items() if name != stage)
            otherwise_ms = max((each for each in others if each <= last.at_ms), default=0)
            again_ms = min(last.at_ms, otherwise_ms + _DAY_MS) if otherwise_ms > first.at_ms else 0
        if again_ms > first.at_ms:
            yield _Point(first.at_ms, rank, stage, kind, first, first.at_ms)
            yield _Point(again_ms, rank, stage, kind, last, last.at_ms)
        else:
            yield _Point(first.at_ms, rank, stage, kind, first, last.at_ms)


def _evidence(terms: LifeStages, kind: str) -> Evidence:
    found: Evidence = getattr(terms, kind)
    return found


def steps(claims: dict[str, dict[str, Claim]], terms: LifeStages) -> list[Step]:
    """What is believed, in the order of time, coming stages included."""
    points = sorted(
        point for kind, each in claims.items() for point in _points(kind, each, _evidence(terms, kind).rank)
    )
    found: list[Step] = []
    rank = held_until_ms = -1
    for point in points:
        until_ms = point.at_ms + _evidence(terms, point.kind).holds_days * _DAY_MS
        if found and point.kind == "event" and found[-1].stage in _unless(terms, point.said.type):
            continue
        if found and found[-1].stage == point.stage:
            found[-1] = found[-1]._replace(confirmed_ms=max(found[-1].confirmed_ms, point.confirmed_ms))
            if point.rank >= rank:
                rank, held_until_ms = point.rank, max(until_ms, held_until_ms)
        elif not found or point.rank >= rank or point.at_ms >= held_until_ms:
            said = Said(point.at_ms, point.said.source, point.said.type)
            found.append(Step(point.stage, said, point.kind, point.confirmed_ms))
            rank, held_until_ms = point.rank, until_ms
    return found


def _unless(terms: LifeStages, kind: str) -> tuple[str, ...]:
    declared = terms.events.get(kind)
    return declared.unless if declared is not None else ()


def _split(records: Records, at: Moment) -> tuple[list[Step], list[Step]]:
    """What was believed until the day, and what will be after it."""
    claims = _all_claims(records)
    found = steps(claims, at.definitions.life_stages) if claims else []
    day_of_ms = at.definitions.day_of
    now = sum(1 for each in found if day_of_ms(each.said.at_ms) <= at.day)
    return found[:now], found[now:]


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if len(records) == 1 and records[0].life_stage is None:
        return {}
    past, _ = _split(records, at)
    if not past or past[-1].stage == _UNKNOWN:
        return {}
    now = past[-1]
    return {"life_stage": now.stage, "life_stage_since": _day(now.said.at_ms, at)}


def _day(at_ms: int, at: Moment) -> str:
    return from_ms(at_ms).astimezone(at.definitions.zone).date().isoformat()


def _due(records: Records, at: Moment) -> int | None:
    if len(records) == 1 and records[0].life_stage is None:
        return None
    _, coming = _split(records, at)
    return at.definitions.day_of(coming[0].said.at_ms) if coming else None


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    past, coming = _split(records, at)
    told = [_told(each, later, at) for each, later in zip_longest(past, [*past, *coming][1 : len(past) + 1])]
    return {
        "now": told[-1] if told and past[-1].stage != _UNKNOWN else None,
        "history": told,
        "coming": [_told(each, None, at) for each in coming],
    }


def _told(step: Step, later: Step | None, at: Moment) -> dict[str, Any]:
    terms = at.definitions.life_stages
    confidence = _evidence(terms, step.kind).confidence
    declared = terms.events.get(step.said.type)
    if step.kind == "event" and declared is not None and declared.confidence is not None:
        confidence = declared.confidence
    return {
        "stage": step.stage or None,
        "since": _day(step.said.at_ms, at),
        "until": _day(later.said.at_ms, at) if later is not None else None,
        "evidence": {"kind": step.kind, "source": step.said.source, "type": step.said.type},
        "confidence": confidence,
        "confirmed_at": from_ms(step.confirmed_ms),
    }


LIFE_STAGE = Chapter(
    "life_stage",
    reads=("life_stage",),
    keeps="life_stage",
    state=LifeStage,
    effects={"identify": _stated, "profile.changed": _stated, **dict.fromkeys(DECLARING, _declared)},
    every=_declared_otherwise,
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=lambda name: name in ("life_stage", "life_stage_since"),
)

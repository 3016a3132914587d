"""Of which rules of a new snapshot does a unit know too little? Pure.

Rules share what is added up, so one that asks for what others have asked for all along, and no further back, needs
nothing. Nor does a new version that waits for the same as the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from libs.common.documents.shapes import ActiveDocument
from services.rules.document import language
from services.rules.document.everyone import is_for_everyone
from services.rules.document.language import (
    AbsenceWhen,
    Condition,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    Measure,
    MeasureWhen,
    Rule,
    SequenceWhen,
)
from services.rules.engine import spans
from services.rules.engine.aggregates import Gauge
from services.rules.engine.compiled import segment_figures
from services.rules.engine.snapshot import ACCEPT_LATE_MS, Snapshot
from services.rules.engine.state import digest


class Wanted(msgspec.Struct, frozen=True):
    """A rule that is to learn of the past. `is_new`: nothing that is remembered under its name counts for it.

    `since_ms` is the unit's clock when it came into force there.
    """

    id: str
    version: int
    is_new: bool = True
    since_ms: int = 0


class Remembered(NamedTuple):
    """What is kept for a rule: measures by how many panes of each, fields, and what its waits hang on (0: none)."""

    panes: Mapping[int, int]
    fields: frozenset[str]
    about: int


Known = dict[tuple[str, int], Remembered]
"""By id and version. A thousand rules are put in force one after the other, and each changes the snapshot."""


def wanted(
    before: Iterable[ActiveDocument],
    now: Iterable[ActiveDocument],
    unready: Collection[str] = (),
    memo: Known | None = None,
) -> list[Wanted]:
    """`unready` are the ids of rules that have not learned of the past yet: nobody can share what they know.

    `memo` keeps what is found out about versions for the next time.
    """
    memo = {} if memo is None else memo
    held = {each.id: each for each in before}
    fresh = [each for each in now if each.id not in held or held[each.id].version != each.version]
    if not fresh:
        return []
    known = {id: _remembered(each, memo) for id, each in held.items()}
    ready = [each for id, each in known.items() if id not in unready]
    panes: dict[int, int] = {}
    for each in ready:
        for key, count in each.panes.items():
            panes[key] = max(count, panes.get(key, 0))
    fields = frozenset[str]().union(*(each.fields for each in ready))
    found = []
    for document in fresh:
        made, old = _remembered(document, memo), known.get(document.id)
        waits_anew = bool(made.about) and (old is None or old.about != made.about or document.id in unready)
        if waits_anew or made.fields - fields or any(panes.get(key, 0) < count for key, count in made.panes.items()):
            is_new = old is None or document.id in unready
            found.append(Wanted(document.id, document.version, is_new))
    return found


def _remembered(document: ActiveDocument, memo: Known) -> Remembered:
    name = (document.id, document.version)
    if name not in memo:
        memo[name] = remembered(language.decode(document.body))
    return memo[name]


def segments_of(live: Snapshot) -> dict[str, int]:
    """What each segment means, and since when, as a digest."""
    return {id: each.about for id, each in live.segments.items() if not each.hidden}


def wanted_segments(met: Mapping[str, int], now: Snapshot) -> list[Wanted]:
    """Segments that are new, or mean something else than those that were met."""
    fresh = [id for id, about in segments_of(now).items() if met.get(id) != about]
    return [Wanted(segment_figures(id), now.segments[id].version) for id in fresh]


def remembered(rule: Rule) -> Remembered:
    late = spans.parse(rule.time.accept_late).ms_max if rule.time.accept_late else ACCEPT_LATE_MS
    panes: dict[int, int] = {}
    for measure, periods in _measures(rule):
        gauge = Gauge(measure, rule, late if rule.time.too_late == "ignore" else None)
        gauge.widen(measure, periods)
        panes[gauge.key] = max(gauge.panes_kept, panes.get(gauge.key, 0))
    return Remembered(panes, frozenset(_fields(rule.who)), _about(rule))


def _about(rule: Rule) -> int:
    """What waits, runs and appointments hang on. Another length lets what has begun go on, so it changes nothing."""
    when = rule.when
    if is_for_everyone(when):
        return digest("audience", _text(rule.who))
    if isinstance(when, SequenceWhen):
        return digest("sequence", _text(when.steps), when.within, *when.same)
    if isinstance(when, AbsenceWhen):
        return digest("absence", _text([when.after, when.no]), *when.same)
    if isinstance(when, DateWhen):
        return digest("date", when.field)
    if isinstance(when, DormancyWhen):
        return digest("dormancy", _text(when.no), when.never_counts)
    if isinstance(when, DeviationWhen):
        return digest("deviation", _text(when.measure))
    return 0


def _text(part: object) -> str:
    return msgspec.json.encode(part, order="deterministic").decode()


def _measures(rule: Rule) -> Iterable[tuple[Measure, int]]:
    """Each with how many windows in a row it is asked for."""
    when = rule.when
    if isinstance(when, MeasureWhen):
        yield when.measure, 1
    elif isinstance(when, DeviationWhen):
        yield when.measure, 1 + when.against.periods
    for each in _leaves(rule.who):
        if each.measure is not None:
            yield each.measure, 1


def _fields(conditions: Iterable[Condition]) -> Iterable[str]:
    """The profile fields of which it is asked when they changed last."""
    for each in _leaves(conditions):
        if each.op == "changed_within" and each.field is not None:
            yield f"{each.field} {each.value}"


def _leaves(conditions: Iterable[Condition]) -> Iterable[Condition]:
    for each in conditions:
        inner = [*(each.any_ or ()), *(each.all_ or ()), *((each.not_,) if each.not_ else ())]
        yield each
        yield from _leaves(inner)

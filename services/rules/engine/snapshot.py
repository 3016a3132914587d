"""What do the active rules and segments come to, all together? Compiled once into what matching reads, and never
changed. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from services.rules.document.everyone import audience_id, audience_of, is_for_everyone
from services.rules.document.language import (
    AbsenceWhen,
    ChangeWhen,
    Condition,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    EventWhen,
    Measure,
    MeasureWhen,
    Rule,
    SegmentWhen,
    SequenceWhen,
    When,
)
from services.rules.document.segments import Segment
from services.rules.engine import index
from services.rules.engine.aggregates import Gauge
from services.rules.engine.asking import Asking
from services.rules.engine.compiled import (
    ACCEPT_LATE_MS,
    BEGIN,
    COMPARE,
    COUNT,
    ENVELOPE,
    EVENT,
    FIRST_SEEN,
    INTERRUPT,
    JUDGE,
    REACH,
    STEP,
    STIR,
    CompiledRule,
    CompiledSegment,
    Looking,
    Moment,
    Source,
    Use,
    moment_getter,
    zone_of,
)
from services.rules.engine.conditions import Odd, Oddities

__all__ = [
    "ACCEPT_LATE_MS",
    "BEGIN",
    "COMPARE",
    "COUNT",
    "ENVELOPE",
    "EVENT",
    "FIRST_SEEN",
    "INTERRUPT",
    "JUDGE",
    "LINKING",
    "REACH",
    "STEP",
    "STIR",
    "CompiledRule",
    "CompiledSegment",
    "Moment",
    "Snapshot",
    "Source",
    "TypeIndex",
    "Use",
    "compile_snapshot",
    "moment_getter",
]

LINKING = ("profile.linked", "profile.unlinked")
"""Types of events that say that other records belong to the person from now on."""


class TypeIndex(NamedTuple):
    find: index.Finder
    envelope: tuple[str, ...]


class Snapshot(NamedTuple):
    """Immutable but for `oddities`. `by_change` names all profile fields whose changes concern anybody, and holds the
    rules that wait for one; `by_field` holds the segments whose members a change may move, and `watched` for how long
    it is of interest when a field changed. `by_segment` holds the rules that wait for a move in or out. `measured` says
    of each gauge, by its key, who asks for it and for how many panes; rules by id, segments as their figures are.
    """

    rules: Mapping[str, CompiledRule]
    by_type: Mapping[str, TypeIndex]
    by_change: Mapping[str, tuple[CompiledRule, ...]]
    company_zone: ZoneInfo
    gauges: int
    oddities: Oddities
    segments: Mapping[str, CompiledSegment] = {}
    by_field: Mapping[str, tuple[CompiledSegment, ...]] = {}
    by_segment: Mapping[str, tuple[CompiledRule, ...]] = {}
    watched: Mapping[str, int] = {}
    measured: Mapping[int, Mapping[str, int]] = {}

    def zone(self, name: str, profile: Mapping[str, Any]) -> ZoneInfo:
        """The zone that a rule means; the company's where the customer's is unknown."""
        return zone_of(name, profile, self.company_zone)


def compile_snapshot(sources: Iterable[Source], company_zone: str, segments: Iterable[Source] = ()) -> Snapshot:
    """`sources` are rules. Raises msgspec.ValidationError or ValueError for a document that is no working rule or
    segment, or names a segment that is not among them.
    """
    builder = _Builder(ZoneInfo(company_zone), segments)
    for source in sources:
        builder.add(msgspec.json.decode(source.body, type=Rule), source)
    return builder.snapshot()


class _Builder:
    def __init__(self, company_zone: ZoneInfo, segments: Iterable[Source] = ()) -> None:
        self._company_zone = company_zone
        self._rules: dict[str, CompiledRule] = {}
        self._gauges: dict[int, Gauge] = {}
        self._measuring: dict[int, dict[str, int]] = defaultdict(dict)
        self._patterns: dict[str, dict[bytes, tuple[tuple[Condition, ...], dict[Use, None]]]] = defaultdict(dict)
        self._changes: dict[str, list[CompiledRule]] = defaultdict(list)
        self._moves: dict[str, list[CompiledRule]] = defaultdict(list)
        self._oddities = Oddities()
        self._segments: dict[str, CompiledSegment] = {}
        decoded = [(msgspec.json.decode(each.body, type=Segment), each) for each in segments]
        definitions = {segment.id: (segment, source) for segment, source in decoded}
        self._asking = Asking(company_zone, definitions, self._oddities, self._asked_gauge)
        for segment, source in definitions.values():
            self._add_segment(CompiledSegment(segment.id, source, segment.time.zone), segment.who, segment, source)

    def add(self, rule: Rule, source: Source) -> None:
        made = CompiledRule(rule, source.version, source.active, source.ramp_percent)
        self._rules[made.id] = made
        self._watch(rule.when, rule, made)
        for field in _fields_of_change(rule.when):
            self._changes[field].append(made)
        made.who = self._asking.who(rule.who, rule, made)
        made.looked_at |= {path: moment_getter(path) for path in made.fields if path not in made.looked_at}
        if is_for_everyone(rule.when):
            hidden = CompiledSegment(audience_id(rule.id), source, rule.time.zone, hidden=True)
            self._add_segment(hidden, audience_of(rule), rule, source)

    def _watch(self, when: When, rule: Rule, made: CompiledRule) -> None:
        if isinstance(when, EventWhen):
            self._use(when.event, when.where, Use(EVENT, made, None))
        elif isinstance(when, MeasureWhen):
            made.gauge = self._gauge(when.measure, rule, made, _ignored_ms(made))
            self._use(when.measure.event, when.measure.where, Use(REACH, made, made.gauge))
        elif isinstance(when, AbsenceWhen):
            self._use(when.no.event, when.no.where, Use(INTERRUPT, made, None))
            self._use(when.after.event, when.after.where, Use(BEGIN, made, None))
        elif isinstance(when, SequenceWhen):
            for at, step in enumerate(when.steps):
                self._use(step.event, step.where, Use(STEP, made, None, at))
        elif isinstance(when, DormancyWhen):
            self._use(when.no.event, when.no.where, Use(STIR, made, None))
        elif isinstance(when, DeviationWhen):
            made.gauge = self._gauge(when.measure, rule, made, _ignored_ms(made), 1 + when.against.periods)
            self._use(when.measure.event, when.measure.where, Use(COMPARE, made, made.gauge))
        elif isinstance(when, SegmentWhen):
            self._asking.segment(when.segment, made)
            made.fields |= self._segments[when.segment].fields
            made.named |= self._segments[when.segment].named
            self._moves[when.segment].append(made)

    def _add_segment(
        self, made: CompiledSegment, conditions: Sequence[Condition], owner: Rule | Segment, source: Source
    ) -> None:
        """Also one that nobody has written: an audience, which is followed and of which nobody is told."""
        self._segments[made.id] = made
        made.who = self._asking.who(conditions, owner, made)
        made.definition = owner if isinstance(owner, Segment) else None
        made.about = self._asking.about(conditions, made.zone_name, source, made)
        for event in LINKING:
            self._use(event, (), Use(JUDGE, None, None, segment=made))

    def _use(self, event: str, where: Sequence[Condition], use: Use) -> None:
        name = msgspec.json.encode(where, order="deterministic")
        held = self._patterns[event].setdefault(name, (index.flattened(where), {}))
        held[1][use] = None

    def _gauge(
        self, measure: Measure, owner: Rule | Segment, user: Looking, ignore_late_ms: int | None, periods: int = 1
    ) -> Gauge:
        new = Gauge(measure, owner, ignore_late_ms)
        new.widen(measure, periods)
        asked = self._measuring[new.key]
        asked.update({name: max(new.panes_kept, asked.get(name, 0)) for name in user.told_as})
        gauge = self._gauges.setdefault(new.key, new)
        gauge.widen(measure, periods)
        self._use(measure.event, measure.where, Use(COUNT, None, gauge))
        return gauge

    def _asked_gauge(self, measure: Measure, owner: Rule | Segment, user: Looking) -> Gauge:
        """A measure in `who`. What comes too late for a rule is left out of its own; a segment counts all."""
        own = isinstance(user, CompiledRule) and owner.id == user.id and isinstance(owner, Rule)
        gauge = self._gauge(measure, owner, user, _ignored_ms(user) if own else None)
        if isinstance(user, CompiledSegment):
            self._use(measure.event, measure.where, Use(JUDGE, None, None, segment=user))
        return gauge

    def snapshot(self) -> Snapshot:
        for gauge in self._gauges.values():
            gauge.odd = self._oddities.noting(self._measuring[gauge.key])
        by_type = {}
        for event, held in self._patterns.items():
            patterns = [index.Pattern(where, tuple(uses), self._noting(uses)) for where, uses in held.values()]
            by_type[event] = TypeIndex(index.build(patterns), _envelope(where for where, _ in held.values()))
        by_field = self._by_field()
        changes = dict.fromkeys([*by_field, *self._asking.watched, *self._changes], ())
        return Snapshot(
            self._rules,
            by_type,
            changes | {field: tuple(sorted(rules, key=_id)) for field, rules in self._changes.items()},
            self._company_zone,
            len(self._gauges),
            self._oddities,
            self._segments,
            by_field,
            {segment: tuple(sorted(rules, key=_id)) for segment, rules in self._moves.items()},
            self._asking.watched,
            self._measuring,
        )

    def _by_field(self) -> dict[str, tuple[CompiledSegment, ...]]:
        """Everybody is looked at when they are first seen."""
        found: dict[str, dict[CompiledSegment, None]] = defaultdict(dict)
        for segment in self._segments.values():
            for name in (FIRST_SEEN, *(path.split(".")[1] for path in segment.fields)):
                found[name][segment] = None
        return {name: tuple(segments) for name, segments in found.items()}

    def _noting(self, uses: Iterable[Use]) -> Odd:
        return self._oddities.noting(use.rule.id for use in uses if use.rule is not None)


def _id(rule: CompiledRule) -> str:
    return rule.id


def _ignored_ms(user: Looking) -> int | None:
    return user.accept_late_ms if isinstance(user, CompiledRule) and user.ignores_late else None


def _fields_of_change(when: When) -> tuple[str, ...]:
    """The profile fields whose changes concern the rule."""
    if isinstance(when, ChangeWhen):
        return (when.field.partition(".")[2],)
    if isinstance(when, DateWhen):
        return (when.field.split(".")[1], "zone")
    return (FIRST_SEEN,) if isinstance(when, DormancyWhen) and when.never_counts else ()


def _fields(conditions: Iterable[Condition]) -> Iterable[str]:
    for each in conditions:
        yield from (path for path in (each.field, each.field_value) if path is not None)
        yield from _fields([*(each.any_ or ()), *(each.all_ or ()), *((each.not_,) if each.not_ else ())])


def _envelope(wheres: Iterable[tuple[Condition, ...]]) -> tuple[str, ...]:
    """The attributes of the envelope that the patterns of a type look at."""
    looked_at = {path.split(".")[1] for where in wheres for path in _fields(where)}
    return tuple(name for name in ENVELOPE if name in looked_at)

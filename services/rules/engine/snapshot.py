"""What do the active rules come to, all together? Compiled once into what matching reads and never changed.
Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from libs.common import clock
from services.rules.document.language import (
    ORDINALS,
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
    Scalar,
    SequenceWhen,
    When,
)
from services.rules.engine import index, spans
from services.rules.engine.aggregates import Gauge, bounds_of
from services.rules.engine.conditions import Getter, Odd, Oddities, Predicate, compile_all, path_getter
from services.rules.engine.limits import Limiter
from services.rules.engine.state import DAY_MS, State, digest
from services.rules.explaining import grounds

ACCEPT_LATE_MS = 7 * DAY_MS
ENVELOPE = ("type", "source", "channel", "branch", "region", "time")
COUNT, REACH, INTERRUPT, BEGIN, EVENT, STEP, STIR, COMPARE = range(8)
"""What an event can be to a rule, in the order in which it is taken up."""
FIRST_SEEN = "first_seen_at"
"""The profile field that is there from a customer's first event on."""


class Moment:
    """What a rule may look at when it is about to fire."""

    __slots__ = ("baseline", "changed", "cited", "kept", "profile", "subject", "time_ms", "value", "views", "zone")

    def __init__(self, time_ms: int, profile: Mapping[str, Any], views: Sequence[State], zone: ZoneInfo) -> None:
        self.time_ms = time_ms
        self.profile = profile
        self.views = views
        self.zone = zone
        self.subject: Mapping[str, Any] = {}
        self.kept: Mapping[str, Any] = {}
        self.changed: Mapping[str, Any] = {}
        self.value: float | None = None
        self.baseline: float | None = None
        self.cited: Sequence[tuple[str, int]] = ()
        """The events that are behind it, with their times in ms, where that is not the event alone."""


class CompiledRule:
    """A rule ready to run. `active` false means paused: it goes on watching, so that nothing is missed, and
    is silent.
    """

    def __init__(self, rule: Rule, version: int, active: bool, ramp_percent: int) -> None:
        self.id = rule.id
        self.version = version
        self.active = active
        self.ramp_percent = ramp_percent
        self.when = rule.when
        self.emit = rule.emit
        self.drop_running = rule.on_edit == "drop_running"
        self.zone_name = rule.time.zone
        late = rule.time.accept_late
        self.accept_late_ms = ACCEPT_LATE_MS if late is None else spans.parse(late).ms_max
        self.ignores_late = rule.time.too_late == "ignore"
        self.valid = rule.valid
        self.limiter = Limiter(rule.id, rule.limits, self.accept_late_ms)
        self.sets = {name.partition(".")[2]: value for name, value in rule.emit.set.items()}
        self.include = {name: moment_getter(path) for name, path in rule.emit.include.items()}
        self.kept_paths = [_kept_paths(rule, ordinal) for ordinal in ORDINALS]
        self.looked_at = [(path, moment_getter(path)) for path in grounds.looked_at(rule)]
        self.who: Predicate | None = None
        self.worths: list[Getter] = []
        self.measures = list(_measures(rule.who))
        self.bounds: spans.Bounds | None = None
        self.reaches = 0.0
        self.span = spans.Span(1, "s")
        self.same: tuple[Getter, ...] = ()
        self.gauge: Gauge | None = None
        self.about = self._about()
        self._compile_when(rule)

    def _compile_when(self, rule: Rule) -> None:
        when = rule.when
        if isinstance(when, MeasureWhen):
            self.bounds, self.reaches = bounds_of(when.measure), when.reaches
        elif isinstance(when, DeviationWhen):
            self.bounds = bounds_of(when.measure)
        elif isinstance(when, AbsenceWhen | DormancyWhen):
            self.span = spans.parse(when.for_)
        elif isinstance(when, SequenceWhen):
            self.span = spans.parse(when.within)
        elif not isinstance(when, EventWhen | ChangeWhen | DateWhen):
            raise ValueError(f"rule {rule.id}: rules of this kind do not work yet")
        if isinstance(when, AbsenceWhen | SequenceWhen):
            self.same = tuple(path_getter(path.removeprefix("event.").split(".")) for path in when.same)

    @property
    def checks_events(self) -> bool:
        """Whether a deviation is looked for at each event, and not once a day."""
        return isinstance(self.when, DeviationWhen) and self.when.check == "on_event"

    @property
    def panes_compared(self) -> int:
        """How many panes back a deviation looks."""
        when = self.when
        if not isinstance(when, DeviationWhen) or when.measure.over.last is None:
            return 0
        return (1 + when.against.periods) * spans.panes_max(spans.parse(when.measure.over.last), None)

    @property
    def compared_ms(self) -> int:
        """The same as a length of time."""
        when = self.when
        if not isinstance(when, DeviationWhen) or when.measure.over.last is None:
            return 0
        return (1 + when.against.periods) * spans.parse(when.measure.over.last).ms_max

    @property
    def standing(self) -> bool:
        """Whether it has an appointment with each customer, rather than waits that events begin."""
        return isinstance(self.when, DateWhen | DormancyWhen | DeviationWhen)

    def _about(self) -> int:
        """What its appointments hang on, as a digest: after an edit of anything else they go on."""
        when = self.when
        if isinstance(when, DateWhen):
            return digest("date", when.field)
        if isinstance(when, DormancyWhen):
            return digest("dormancy", msgspec.json.encode(when.no, order="deterministic").decode(), when.never_counts)
        if isinstance(when, DeviationWhen):
            return digest("deviation", msgspec.json.encode(when.measure, order="deterministic").decode())
        return 0

    @property
    def stateful(self) -> bool:
        return self.limiter.needed or bool(self.measures) or self.standing

    def kept_of(self, subject: Mapping[str, Any], at: int = 0) -> dict[str, Any]:
        """What the trigger will want to know of an event, as the first, or another one, that the rule waited for."""
        return {path: getter(subject) for path, getter in self.kept_paths[at].items()}

    def ignores(self, late_ms: int) -> bool:
        """Whether an event is so late that it has no effect whatever."""
        return self.ignores_late and late_ms > self.accept_late_ms


class Use(NamedTuple):
    """What a matching pattern means: to a rule, or to an aggregate."""

    role: int
    rule: CompiledRule | None
    gauge: Gauge | None
    at: int = 0
    """The place of a step in its sequence."""


class TypeIndex(NamedTuple):
    find: index.Finder
    envelope: tuple[str, ...]


class Snapshot(NamedTuple):
    """Immutable but for `oddities`. `by_change` holds the rules that wait for a profile field to change."""

    rules: Mapping[str, CompiledRule]
    by_type: Mapping[str, TypeIndex]
    by_change: Mapping[str, tuple[CompiledRule, ...]]
    company_zone: ZoneInfo
    gauges: int
    oddities: Oddities

    def zone(self, name: str, profile: Mapping[str, Any]) -> ZoneInfo:
        """The zone that a rule means; the company's where the customer's is unknown."""
        wanted = profile.get("zone") if name == "customer" else name
        if wanted == "company" or not isinstance(wanted, str) or not wanted:
            return self.company_zone
        try:
            return ZoneInfo(wanted)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return self.company_zone


class Source(NamedTuple):
    """A stored rule: its document as it was written, and what the store says of it."""

    body: bytes
    version: int
    active: bool = True
    ramp_percent: int = 100


def compile_snapshot(sources: Iterable[Source], company_zone: str) -> Snapshot:
    """Raises msgspec.ValidationError or ValueError for a document that is no working rule."""
    builder = _Builder(ZoneInfo(company_zone))
    for source in sources:
        builder.add(msgspec.json.decode(source.body, type=Rule), source)
    return builder.snapshot()


class _Builder:
    def __init__(self, company_zone: ZoneInfo) -> None:
        self._company_zone = company_zone
        self._rules: dict[str, CompiledRule] = {}
        self._gauges: dict[int, Gauge] = {}
        self._measuring: dict[int, list[str]] = defaultdict(list)
        self._patterns: dict[str, dict[bytes, tuple[tuple[Condition, ...], dict[Use, None]]]] = defaultdict(dict)
        self._changes: dict[str, list[CompiledRule]] = defaultdict(list)
        self._oddities = Oddities()

    def add(self, rule: Rule, source: Source) -> None:
        made = CompiledRule(rule, source.version, source.active, source.ramp_percent)
        self._rules[made.id] = made
        when = rule.when
        if isinstance(when, EventWhen):
            self._use(when.event, when.where, Use(EVENT, made, None))
        elif isinstance(when, MeasureWhen):
            made.gauge = self._gauge(when.measure, rule, made)
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
            made.gauge = self._gauge(when.measure, rule, made, 1 + when.against.periods)
            self._use(when.measure.event, when.measure.where, Use(COMPARE, made, made.gauge))
        for field in _fields_of_change(when):
            self._changes[field].append(made)
        odd = self._oddities.noting([made.id])
        made.who = compile_all(rule.who, moment_getter, lambda each: self._measured(each, rule, made), odd)

    def _use(self, event: str, where: Sequence[Condition], use: Use) -> None:
        name = msgspec.json.encode(where, order="deterministic")
        held = self._patterns[event].setdefault(name, (index.flattened(where), {}))
        held[1][use] = None

    def _gauge(self, measure: Measure, rule: Rule, made: CompiledRule, periods: int = 1) -> Gauge:
        new = Gauge(measure, rule, made.accept_late_ms if made.ignores_late else None)
        gauge = self._gauges.setdefault(new.key, new)
        gauge.widen(measure, periods)
        self._measuring[gauge.key].append(made.id)
        self._use(measure.event, measure.where, Use(COUNT, None, gauge))
        return gauge

    def _measured(self, measure: Measure, rule: Rule, made: CompiledRule) -> Getter:
        """A measure in `who`: what it is worth at the moment of firing."""
        gauge = self._gauge(measure, rule, made)
        bounds = bounds_of(measure)

        def worth(moment: Moment) -> float | None:
            instant = clock.from_ms(moment.time_ms)
            return gauge.value(moment.views, bounds, gauge.pane_at(instant, moment.zone))

        made.worths.append(worth)
        return worth

    def snapshot(self) -> Snapshot:
        for gauge in self._gauges.values():
            gauge.odd = self._oddities.noting(self._measuring[gauge.key])
        by_type = {}
        for event, held in self._patterns.items():
            patterns = [index.Pattern(where, tuple(uses), self._noting(uses)) for where, uses in held.values()]
            by_type[event] = TypeIndex(index.build(patterns), _envelope(where for where, _ in held.values()))
        return Snapshot(
            self._rules,
            by_type,
            {field: tuple(sorted(rules, key=lambda r: r.id)) for field, rules in self._changes.items()},
            self._company_zone,
            len(self._gauges),
            self._oddities,
        )

    def _noting(self, uses: Iterable[Use]) -> Odd:
        return self._oddities.noting(use.rule.id for use in uses if use.rule is not None)


def moment_getter(path: str) -> Getter:
    """Where a path leads at the moment of firing."""
    root, *names = path.split(".")
    walk = path_getter(names)
    if root in ("event", "profile"):
        part = "subject" if root == "event" else "profile"
        return lambda moment: walk(getattr(moment, part))
    if root in ORDINALS:
        return lambda moment: moment.kept.get(path)
    if root in ("was", "now"):
        name, rest = names[0], path_getter(names[1:]) if names[1:] else None
        return lambda moment: _of_change(moment.changed.get(name), root, rest)
    return lambda moment: getattr(moment, names[0])


def _fields_of_change(when: When) -> tuple[str, ...]:
    """The profile fields whose changes concern the rule."""
    if isinstance(when, ChangeWhen):
        return (when.field.partition(".")[2],)
    if isinstance(when, DateWhen):
        return (when.field.split(".")[1], "zone")
    return (FIRST_SEEN,) if isinstance(when, DormancyWhen) and when.never_counts else ()


def _of_change(change: Any, side: str, rest: Getter | None) -> Scalar | Any:
    value = None if change is None else getattr(change, side)
    if rest is None:
        return value
    return rest(value) if isinstance(value, dict) else None


def _fields(conditions: Iterable[Condition]) -> Iterable[str]:
    for each in conditions:
        yield from (path for path in (each.field, each.field_value) if path is not None)
        yield from _fields([*(each.any_ or ()), *(each.all_ or ()), *((each.not_,) if each.not_ else ())])


def _measures(conditions: Iterable[Condition]) -> Iterable[Measure]:
    for each in conditions:
        if each.measure is not None:
            yield each.measure
        yield from _measures([*(each.any_ or ()), *(each.all_ or ()), *((each.not_,) if each.not_ else ())])


def _kept_paths(rule: Rule, ordinal: str) -> dict[str, Getter]:
    """What has to be kept of an event that the rule waits behind."""
    paths = [*grounds.looked_at(rule), *rule.emit.include.values()]
    return {path: path_getter(path.split(".")[1:]) for path in paths if path.startswith(f"{ordinal}.")}


def _envelope(wheres: Iterable[tuple[Condition, ...]]) -> tuple[str, ...]:
    """The attributes of the envelope that the patterns of a type look at."""
    looked_at = {path.split(".")[1] for where in wheres for path in _fields(where)}
    return tuple(name for name in ENVELOPE if name in looked_at)

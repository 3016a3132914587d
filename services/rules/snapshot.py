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
from services.rules import index, spans
from services.rules.aggregates import Gauge, bounds_of
from services.rules.conditions import Getter, Predicate, compile_all, path_getter
from services.rules.language import (
    AbsenceWhen,
    ChangeWhen,
    Condition,
    EventWhen,
    Measure,
    MeasureWhen,
    Rule,
    Scalar,
)
from services.rules.limits import Limiter
from services.rules.state import DAY_MS, State

ACCEPT_LATE_MS = 7 * DAY_MS
ENVELOPE = ("type", "source", "channel", "branch", "time")
COUNT, REACH, INTERRUPT, BEGIN, EVENT = range(5)
"""What an event can be to a rule, in the order in which it is taken up."""


class Moment:
    """What a rule may look at when it is about to fire."""

    __slots__ = ("changed", "first", "profile", "subject", "time_ms", "value", "views", "zone")

    def __init__(self, time_ms: int, profile: Mapping[str, Any], views: Sequence[State], zone: ZoneInfo) -> None:
        self.time_ms = time_ms
        self.profile = profile
        self.views = views
        self.zone = zone
        self.subject: Mapping[str, Any] = {}
        self.first: Mapping[str, Any] = {}
        self.changed: Mapping[str, Any] = {}
        self.value: float | None = None


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
        self.first_paths = _first_paths(rule)
        self.who: Predicate | None = None
        self.measures = list(_measures(rule.who))
        self.bounds: spans.Bounds | None = None
        self.reaches = 0.0
        self.span = spans.Span(1, "s")
        self.same: tuple[Getter, ...] = ()
        self._compile_when(rule)

    def _compile_when(self, rule: Rule) -> None:
        when = rule.when
        if isinstance(when, MeasureWhen):
            self.bounds, self.reaches = bounds_of(when.measure), when.reaches
        elif isinstance(when, AbsenceWhen):
            self.span = spans.parse(when.for_)
            self.same = tuple(path_getter(path.removeprefix("event.").split(".")) for path in when.same)
        elif not isinstance(when, EventWhen | ChangeWhen):
            raise ValueError(f"rule {rule.id}: rules of this kind do not work yet")

    @property
    def stateful(self) -> bool:
        return self.limiter.needed or bool(self.measures)

    def ignores(self, late_ms: int) -> bool:
        """Whether an event is so late that it has no effect whatever."""
        return self.ignores_late and late_ms > self.accept_late_ms


class Use(NamedTuple):
    """What a matching pattern means: to a rule, or to an aggregate."""

    role: int
    rule: CompiledRule | None
    gauge: Gauge | None


class TypeIndex(NamedTuple):
    find: index.Finder
    envelope: tuple[str, ...]


class Snapshot(NamedTuple):
    """Immutable. `by_change` holds the rules that wait for a profile field to change."""

    rules: Mapping[str, CompiledRule]
    by_type: Mapping[str, TypeIndex]
    by_change: Mapping[str, tuple[CompiledRule, ...]]
    company_zone: ZoneInfo
    gauges: int

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
        self._patterns: dict[str, dict[bytes, tuple[tuple[Condition, ...], dict[Use, None]]]] = defaultdict(dict)
        self._changes: dict[str, list[CompiledRule]] = defaultdict(list)

    def add(self, rule: Rule, source: Source) -> None:
        made = CompiledRule(rule, source.version, source.active, source.ramp_percent)
        self._rules[made.id] = made
        when = rule.when
        if isinstance(when, EventWhen):
            self._use(when.event, when.where, Use(EVENT, made, None))
        elif isinstance(when, MeasureWhen):
            gauge = self._gauge(when.measure, rule, made)
            self._use(when.measure.event, when.measure.where, Use(REACH, made, gauge))
        elif isinstance(when, AbsenceWhen):
            self._use(when.no.event, when.no.where, Use(INTERRUPT, made, None))
            self._use(when.after.event, when.after.where, Use(BEGIN, made, None))
        elif isinstance(when, ChangeWhen):
            self._changes[when.field.partition(".")[2]].append(made)
        made.who = compile_all(rule.who, moment_getter, lambda each: self._measured(each, rule, made))

    def _use(self, event: str, where: Sequence[Condition], use: Use) -> None:
        name = msgspec.json.encode(where, order="deterministic")
        held = self._patterns[event].setdefault(name, (index.flattened(where), {}))
        held[1][use] = None

    def _gauge(self, measure: Measure, rule: Rule, made: CompiledRule) -> Gauge:
        new = Gauge(measure, rule, made.accept_late_ms if made.ignores_late else None)
        gauge = self._gauges.setdefault(new.key, new)
        gauge.widen(measure)
        self._use(measure.event, measure.where, Use(COUNT, None, gauge))
        return gauge

    def _measured(self, measure: Measure, rule: Rule, made: CompiledRule) -> Getter:
        """A measure in `who`: what it is worth at the moment of firing."""
        gauge = self._gauge(measure, rule, made)
        bounds = bounds_of(measure)

        def worth(moment: Moment) -> float | None:
            instant = clock.from_ms(moment.time_ms)
            return gauge.value(moment.views, bounds, gauge.pane_at(instant, moment.zone))

        return worth

    def snapshot(self) -> Snapshot:
        by_type = {}
        for event, held in self._patterns.items():
            patterns = [index.Pattern(where, tuple(uses)) for where, uses in held.values()]
            by_type[event] = TypeIndex(index.build(patterns), _envelope(where for where, _ in held.values()))
        return Snapshot(
            self._rules,
            by_type,
            {field: tuple(sorted(rules, key=lambda r: r.id)) for field, rules in self._changes.items()},
            self._company_zone,
            len(self._gauges),
        )


def moment_getter(path: str) -> Getter:
    """Where a path leads at the moment of firing."""
    root, *names = path.split(".")
    walk = path_getter(names)
    if root in ("event", "profile"):
        part = "subject" if root == "event" else "profile"
        return lambda moment: walk(getattr(moment, part))
    if root == "first":
        return lambda moment: moment.first.get(path)
    if root in ("was", "now"):
        name, rest = names[0], path_getter(names[1:]) if names[1:] else None
        return lambda moment: _of_change(moment.changed.get(name), root, rest)
    return lambda moment: moment.value


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


def _first_paths(rule: Rule) -> dict[str, Getter]:
    """What has to be kept of the event that begins a wait."""
    paths = [*_fields(rule.who), *rule.emit.include.values()]
    return {path: path_getter(path.split(".")[1:]) for path in paths if path.startswith("first.")}


def _envelope(wheres: Iterable[tuple[Condition, ...]]) -> tuple[str, ...]:
    """The attributes of the envelope that the patterns of a type look at."""
    looked_at = {path.split(".")[1] for where in wheres for path in _fields(where)}
    return tuple(name for name in ENVELOPE if name in looked_at)

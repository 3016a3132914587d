"""What is a rule, or a segment, ready to run, and what may it look at in its moment? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from libs.common import clock
from services.rules.document.language import (
    ORDINALS,
    AbsenceWhen,
    DateWhen,
    DeviationWhen,
    DormancyWhen,
    MeasureWhen,
    Rule,
    Scalar,
    SegmentWhen,
    SequenceWhen,
)
from services.rules.document.segments import Segment
from services.rules.engine import spans
from services.rules.engine.aggregates import Gauge, bounds_of
from services.rules.engine.conditions import Getter, Predicate, path_getter
from services.rules.engine.limits import Limiter
from services.rules.engine.state import DAY_MS, State, digest
from services.rules.explaining import grounds

ACCEPT_LATE_MS = 7 * DAY_MS
ENVELOPE = ("type", "source", "channel", "branch", "region", "time")
COUNT, REACH, INTERRUPT, BEGIN, EVENT, STEP, STIR, COMPARE, JUDGE = range(9)
"""What an event can be to a rule or a segment, in the order in which it is taken up."""
SEGMENT = "segment:"
FIRST_SEEN = "first_seen_at"
"""The profile field that is there from a customer's first event on."""


class Moment:
    """What a rule may look at when it is about to fire."""

    __slots__ = (
        "baseline",
        "changed",
        "cited",
        "inside",
        "kept",
        "profile",
        "subject",
        "time_ms",
        "value",
        "views",
        "zone",
    )
    inside: dict[str, bool]
    """The segments that a `who` has looked into so far; there while it looks."""

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


class Looking:
    """What conditions at a moment look at beside the profile as it is then.

    `worths` are the measures in the order of the document, a segment's where it is named first; `panes` says of
    their gauges how far back they reach. `watched` are fields of which it is asked when they changed, `fields` all
    profile fields, by name. `named` are the segments that are looked into, with their versions. `told_as` is whose
    figures count what they meet.
    """

    def __init__(self, id: str, zone_name: str, told_as: tuple[str, ...]) -> None:
        self.id = id
        self.zone_name = zone_name
        self.told_as = told_as
        self.who: Predicate | None = None
        self.worths: list[Getter] = []
        self.panes: dict[int, tuple[Gauge, int]] = {}
        self.watched: dict[str, list[spans.Span]] = {}
        self.fields: dict[str, None] = {}
        self.named: dict[str, int] = {}


class CompiledSegment(Looking):
    """A segment ready to be judged. `active` false means paused: it is followed, and nobody is told.

    `about` is a digest of what it means, and since when it has been in force without a break. `hidden` is an audience,
    which is there for the engine alone.
    """

    def __init__(self, id: str, source: Source, zone_name: str, hidden: bool = False) -> None:
        super().__init__(id, zone_name, () if hidden else (segment_figures(id),))
        self.version = source.version
        self.active = source.active
        self.hidden = hidden
        self.about = 0
        self.definition: Segment | None = None

    @property
    def moves_by_itself(self) -> bool:
        """Whether somebody can come in or fall out because time passes."""
        return bool(self.panes or self.watched)

    def holds(self, moment: Moment) -> bool:
        return self.who is None or self.who(moment)


class CompiledRule(Looking):
    """A rule ready to run. `active` false means paused: it goes on watching, so that nothing is missed, and
    is silent.
    """

    def __init__(self, rule: Rule, version: int, active: bool, ramp_percent: int) -> None:
        super().__init__(rule.id, rule.time.zone, (rule.id,))
        self.version = version
        self.active = active
        self.ramp_percent = ramp_percent
        self.when = rule.when
        self.emit = rule.emit
        self.drop_running = rule.on_edit == "drop_running"
        late = rule.time.accept_late
        self.accept_late_ms = ACCEPT_LATE_MS if late is None else spans.parse(late).ms_max
        self.ignores_late = rule.time.too_late == "ignore"
        self.valid = rule.valid
        self.limiter = Limiter(rule.id, rule.limits, self.accept_late_ms)
        self.sets = {name.partition(".")[2]: value for name, value in rule.emit.set.items()}
        self.include = {name: moment_getter(path) for name, path in rule.emit.include.items()}
        self.kept_paths = [_kept_paths(rule, ordinal) for ordinal in ORDINALS]
        self.looked_at = {path: moment_getter(path) for path in grounds.looked_at(rule)}
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
        looks_back = bool(self.worths or self.watched) or isinstance(self.when, SegmentWhen)
        return self.limiter.needed or looks_back or self.standing

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
    segment: CompiledSegment | None = None


class Source(NamedTuple):
    """A stored rule or segment: its document as it was written, and what the store says of it.

    `began` is the number of the change since which this version has been in force, or paused, without a break.
    """

    body: bytes
    version: int
    active: bool = True
    ramp_percent: int = 100
    began: int = 0


def segment_figures(id: str) -> str:
    """What stands for a segment among the figures of rules, whose ids have no colon; also before its timers."""
    return f"{SEGMENT}{id}"


def changed_ms(views: Sequence[State], name: str) -> int | None:
    """When a profile field last changed, as far as any record of the person knows."""
    return max((each.at_ms for view in views if (each := view.changes.get(name)) is not None), default=None)


def _last_change(views: Sequence[State], name: str) -> str | None:
    at_ms = changed_ms(views, name)
    return None if at_ms is None else clock.from_ms(at_ms).isoformat()


def zone_of(name: str, profile: Mapping[str, Any], company_zone: ZoneInfo) -> ZoneInfo:
    """The zone that a document means; the company's where the customer's is unknown."""
    wanted = profile.get("zone") if name == "customer" else name
    if wanted == "company" or not isinstance(wanted, str) or not wanted:
        return company_zone
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return company_zone


def moment_getter(path: str) -> Getter:
    """Where a path leads at the moment of firing."""
    root, *names = path.split(".")
    walk = path_getter(names)
    if root in ("event", "profile"):
        part = "subject" if root == "event" else "profile"
        return lambda moment: walk(getattr(moment, part))
    if root == "changed":
        return lambda moment: _last_change(moment.views, names[0])
    if root in ORDINALS:
        return lambda moment: moment.kept.get(path)
    if root in ("was", "now"):
        name, rest = names[0], path_getter(names[1:]) if names[1:] else None
        return lambda moment: _of_change(moment.changed.get(name), root, rest)
    return lambda moment: getattr(moment, names[0])


def _of_change(change: Any, side: str, rest: Getter | None) -> Scalar | Any:
    value = None if change is None else getattr(change, side)
    if rest is None:
        return value
    return rest(value) if isinstance(value, dict) else None


def _kept_paths(rule: Rule, ordinal: str) -> dict[str, Getter]:
    """What has to be kept of an event that the rule waits behind."""
    paths = [*grounds.looked_at(rule), *rule.emit.include.values()]
    return {path: path_getter(path.split(".")[1:]) for path in paths if path.startswith(f"{ordinal}.")}

"""What does a `who` ask at a moment? Its conditions made ready, those of the segments that it names among them. Pure.

A segment is looked into wherever it is named: its conditions are judged at the moment, and not read from who was in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from libs.common import clock
from services.rules.document.language import Condition, Measure, Over, Rule
from services.rules.document.segments import Chains, Segment, chain_fault, named
from services.rules.engine import spans
from services.rules.engine.aggregates import LATE_MS, Gauge, bounds_of
from services.rules.engine.compiled import (
    CompiledSegment,
    Looking,
    Moment,
    Source,
    changed_ms,
    moment_getter,
    zone_of,
)
from services.rules.engine.conditions import Getter, Oddities, Predicate, compile_all
from services.rules.engine.state import DAY_MS, digest
from services.rules.explaining import grounds

_PERIOD_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
Owner = Rule | Segment
"""The document in which a condition stands; its zone is that by which the condition counts days."""
_ZoneOf = Callable[[Moment], ZoneInfo]


_Ready = dict[str, Predicate]
"""The segments that a user looks into, each made ready once, however often it is named."""


class Gauges(Protocol):
    def __call__(self, measure: Measure, owner: Owner, user: Looking) -> Gauge: ...


class Asking:
    """`watched` says for how long it is of interest when a field changed, in ms; it grows with what is compiled."""

    def __init__(
        self,
        company_zone: ZoneInfo,
        definitions: Mapping[str, tuple[Segment, Source]],
        oddities: Oddities,
        gauges: Gauges,
    ) -> None:
        self.watched: dict[str, int] = {}
        self._company_zone = company_zone
        self._definitions = definitions
        self._known = {id: segment for id, (segment, _) in definitions.items()}
        self._chains: Chains = {}
        self._meanings: dict[str, int] = {}
        self._oddities = oddities
        self._gauges = gauges

    def who(self, conditions: Sequence[Condition], owner: Owner, user: Looking) -> Predicate | None:
        trail = (user.id,) if isinstance(user, CompiledSegment) and not user.hidden else ()
        for id in dict.fromkeys(id for _, id in named(conditions)):
            if fault := chain_fault(id, self._known, trail, self._chains):
                raise ValueError(f"{user.id} looks into segments too deep: {id} {fault}")
        ready: _Ready = {}
        test = self._compiled(conditions, owner, user, ready)
        return test if test is None or not ready else _looking_anew(test)

    def segment(self, id: str, user: Looking) -> tuple[Segment, Source]:
        """Its definition, noted as one that the user looks into."""
        found = self._definitions.get(id)
        if found is None:
            raise ValueError(f"{user.id} names the segment {id}, which is not in force")
        user.named[id] = found[1].version
        return found

    def about(self, conditions: Sequence[Condition], zone_name: str, source: Source, user: Looking) -> int:
        """What it means, and since when that has been in force without a break."""
        within = [(id, self._meaning(id), self._definitions[id][1].began) for id in sorted(user.named)]
        return digest("segment", _text(conditions), zone_name, source.began, *within)

    def _meaning(self, id: str) -> int:
        """Not its version: under another name it means the same."""
        if id not in self._meanings:
            segment, _ = self._definitions[id]
            self._meanings[id] = digest("meaning", _text(segment.who), segment.time.zone)
        return self._meanings[id]

    def _compiled(
        self, conditions: Sequence[Condition], owner: Owner, user: Looking, ready: _Ready
    ) -> Predicate | None:
        zone = self._zone(owner, user)
        user.fields |= dict.fromkeys(grounds.fields_of(conditions))

        def special(condition: Condition) -> Predicate:
            if condition.in_segment is not None:
                return self._within(condition.in_segment, user, ready)
            return self._changed_within(condition, user, zone)

        odd = self._oddities.noting(user.told_as)
        return compile_all(conditions, moment_getter, lambda each: self._worth(each, owner, user, zone), odd, special)

    def _zone(self, owner: Owner, user: Looking) -> _ZoneOf:
        name, company = owner.time.zone, self._company_zone
        if name == user.zone_name:
            return lambda moment: moment.zone
        return lambda moment: zone_of(name, moment.profile, company)

    def _within(self, id: str, user: Looking, ready: _Ready) -> Predicate:
        if id not in ready:
            segment, _ = self.segment(id, user)
            ready[id] = _once(id, self._compiled(segment.who, segment, user, ready) or _always)
        return ready[id]

    def _changed_within(self, condition: Condition, user: Looking, zone: _ZoneOf) -> Predicate:
        name, span = (condition.field or "").split(".")[1], spans.parse(str(condition.value))
        user.watched.setdefault(name, []).append(span)
        user.fields[f"changed.{name}"] = None
        self.watched[name] = max(self.watched.get(name, 0), span.ms_max + LATE_MS + 2 * DAY_MS)

        def holds(moment: Moment) -> bool:
            at_ms = changed_ms(moment.views, name)
            return at_ms is not None and spans.after(at_ms, span, zone(moment)) > moment.time_ms

        return holds

    def _worth(self, measure: Measure, owner: Owner, user: Looking, zone: _ZoneOf) -> Getter:
        """A measure in `who`: what it is worth at the moment."""
        gauge, bounds = self._gauges(measure, owner, user), bounds_of(measure)
        if gauge.zone_name == "customer":
            user.fields["profile.zone"] = None
        known = user.panes[gauge.key][1] if gauge.key in user.panes else 0
        user.panes[gauge.key] = (gauge, max(known, _reach(measure.over)))

        def worth(moment: Moment) -> float | None:
            instant = clock.from_ms(moment.time_ms)
            return gauge.value(moment.views, bounds, gauge.pane_at(instant, zone(moment)))

        user.worths.append(worth)
        return worth


def _reach(over: Over) -> int:
    """For how many panes an event counts, or may come to count."""
    if over.calendar is not None:
        return _PERIOD_DAYS[over.calendar]
    last, skip = (None if each is None else spans.parse(each) for each in (over.last, over.skip))
    return spans.panes_max(last, skip)


def _looking_anew(test: Predicate) -> Predicate:
    """What was found out about segments holds for this look only."""

    def holds(moment: Moment) -> bool:
        moment.inside = {}
        return test(moment)

    return holds


def _once(id: str, test: Predicate) -> Predicate:
    def holds(moment: Moment) -> bool:
        answer = moment.inside.get(id)
        if answer is None:
            answer = moment.inside[id] = test(moment)
        return answer

    return holds


def _text(conditions: Sequence[Condition]) -> str:
    return msgspec.json.encode(conditions, order="deterministic").decode()


def _always(_: Moment) -> bool:
    return True

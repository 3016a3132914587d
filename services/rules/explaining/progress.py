"""Would this rule fire for this customer now, and if not, what is in its way? Pure.

It asks the same functions that decide when the rule runs: limits, ramp, validity, panes, conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from libs.common import clock
from services.rules.document.language import Condition, Measure, Rule
from services.rules.document.segments import Segment
from services.rules.engine import firing
from services.rules.engine.aggregates import Gauge, bounds_of
from services.rules.engine.compiled import changed_ms
from services.rules.engine.conditions import path_getter
from services.rules.engine.snapshot import CompiledRule, Snapshot
from services.rules.engine.state import State
from services.rules.explaining import moments, wording
from services.rules.explaining.judging import Found, Judged, Sight, all_hold, judge_all
from services.rules.explaining.moments import Awaited
from services.rules.explaining.weighing import Weighed, weigh

FIRINGS_SHOWN_MAX = 20
LOOKED_AHEAD_MAX = 20
"""Of that many measures of a rule it is said what becomes of them if nothing happens; of others the value alone."""
UNSEEN = "is not known to rules until the customer's next event"
_AT_THE_MOMENT = "is known at the moment itself only"


@dataclass(frozen=True)
class Known:
    """What is known of the customer beside the states.

    `profile` is whole, as of now or as last seen; `fields` are single ones by path, as of the last trigger. `event` is
    one that somebody asks about. `person_id` is used where no state says who the person is.
    """

    profile: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    event: Mapping[str, Any] | None = None
    person_id: str = ""


@dataclass(frozen=True)
class Answer:
    """Whether something stands in the way, in a sentence."""

    holds: bool | None
    detail: str


@dataclass(frozen=True)
class Limited(Answer):
    """`fired_at` is what limits remember, newest first; `until` when the limit lets go, null for never."""

    limit: str | None = None
    until: datetime | None = None
    fired_at: list[datetime] = field(default_factory=list)


@dataclass(frozen=True)
class Explanation:
    """`would_fire` says what would become of the moment if it came now; null where something is not known.

    `because` are the reasons against it, or what is not known; `known` says that rules remember anything at all.
    """

    rule_id: str
    version: int
    customer_id: str
    person_id: str
    as_of: datetime
    known: bool
    would_fire: bool | None
    because: list[str]
    in_force: Answer
    ramp: Answer
    limits: Limited
    when: Awaited
    who: list[Judged]


def explain(
    snapshot: Snapshot, rule: Rule, states: Sequence[State], known: Known, now: datetime, status: str = "active"
) -> Explanation:
    """`states` are the customer's own and those of linked records; `snapshot` holds the rule; `status` is its own."""
    scene = _Scene(snapshot, rule, states, known, now)
    in_force = _in_force(scene.rule, status, scene.now_ms)
    ramp = _ramp(scene.rule, scene.person_id)
    limits = _limits(scene)
    weighed = scene.weigh_when(rule)
    who = judge_all(rule.who, scene.sight())
    when = moments.awaited(rule, scene.rule, states, scene.sight(), weighed, now, scene.zone)
    parts = [in_force, ramp, limits]
    answers = [*(each.holds for each in parts), all_hold(who), when.holds]
    reasons = [each.detail for each in parts if each.holds is False]
    reasons += [each.detail for each in who if each.holds is False]
    reasons += [when.detail] if when.holds is False else []
    if not reasons:
        reasons = [each.detail for each in who if each.holds is None]
        reasons += [when.detail] if when.holds is None else []
    return Explanation(
        rule.id,
        scene.rule.version,
        states[0].customer_id,
        scene.person_id,
        now,
        any(each.latest_ms for each in states),
        False if False in answers else None if None in answers else True,
        reasons,
        in_force,
        ramp,
        limits,
        when,
        who,
    )


class _Scene:
    """The rule, the customer and the instant, as all questions see them."""

    def __init__(self, snapshot: Snapshot, rule: Rule, states: Sequence[State], known: Known, now: datetime) -> None:
        self.rule = snapshot.rules[rule.id]
        self.document = rule
        self.states = states
        self.known = known
        self.now = now
        self.now_ms = clock.to_ms(now)
        self.person_id = states[0].person_id or known.person_id or states[0].customer_id
        self._profile = self._profile_known()
        self._snapshot = snapshot
        self._weighed = 0
        self.zone: ZoneInfo = snapshot.zone(self.rule.zone_name, self._zone_profile())

    def _profile_known(self) -> Mapping[str, Any] | None:
        if self.known.profile is not None:
            return self.known.profile
        seen = self.states[0].profile
        return firing.profile_of(msgspec.Raw(seen)) if seen else None

    def _zone_profile(self) -> Mapping[str, Any]:
        return self._profile or {"zone": self.known.fields.get("profile.zone")}

    def sight(self, owner: Rule | Segment | None = None) -> Sight:
        """What can be seen by the rule's own conditions, or by those of a segment."""
        document = owner or self.document
        zone = self._snapshot.zone(document.time.zone, self._zone_profile())

        def weigh(measure: Measure, wanted: float) -> Weighed:
            return self.weigh(measure, wanted, owner=document)

        return Sight(self._find, weigh, within=self._within, at_ms=self.now_ms, zone=zone)

    def _within(self, id: str) -> tuple[Sequence[Condition], Sight] | None:
        segment = self._snapshot.segments.get(id)
        if segment is None or segment.definition is None:
            return None
        return segment.definition.who, self.sight(segment.definition)

    def _find(self, path: str) -> Found:
        root, *names = path.split(".")
        if root == "profile":
            return self._of_profile(path, names)
        if root == "changed":
            at_ms = changed_ms(self.states, names[0])
            return Found(True, None if at_ms is None else clock.from_ms(at_ms).isoformat())
        if root == "event" and self.known.event is not None:
            return Found(True, path_getter(names)(self.known.event))
        return Found(False, why=_AT_THE_MOMENT)

    def _of_profile(self, path: str, names: list[str]) -> Found:
        if self._profile is not None:
            return Found(True, path_getter(names)(self._profile))
        if path in self.known.fields:
            return Found(True, self.known.fields[path])
        return Found(False, why=UNSEEN)

    def weigh(
        self,
        measure: Measure,
        wanted: float,
        effect: str = "would make it hold",
        owner: Rule | Segment | None = None,
    ) -> Weighed:
        document = owner or self.document
        own = document is self.document and self.rule.ignores_late
        gauge = Gauge(measure, document, self.rule.accept_late_ms if own else None)
        zone = self._snapshot.zone(gauge.zone_name, self._zone_profile())
        pane = gauge.pane_at(self.now, zone)
        self._weighed += 1
        looks_ahead = self._weighed <= LOOKED_AHEAD_MAX
        return weigh(gauge, measure, bounds_of(measure), self.states, pane, wanted, effect, looks_ahead)

    def weigh_when(self, rule: Rule) -> Weighed | None:
        found = moments.measured(rule)
        return None if found is None else self.weigh(*found, effect="would fire it")


def _in_force(rule: CompiledRule, status: str, now_ms: int) -> Answer:
    if status != "active":
        return Answer(False, f"the rule is {status}")
    if firing.is_valid(rule, now_ms):
        return Answer(True, f"version {rule.version} is in force")
    valid = rule.valid
    if valid is not None and valid.from_ is not None and clock.to_ms(valid.from_) > now_ms:
        return Answer(False, f"the rule is valid from {wording.instant(clock.to_ms(valid.from_))} on")
    until = valid.until if valid is not None else None
    return Answer(False, f"the rule was valid until {'now' if until is None else wording.instant(clock.to_ms(until))}")


def _ramp(rule: CompiledRule, person_id: str) -> Answer:
    if rule.ramp_percent >= 100:
        return Answer(True, "the rule is in force for everybody")
    within = firing.within_ramp(rule, person_id)
    return Answer(within, f"the person is {'' if within else 'not '}among the {rule.ramp_percent} % it is in force for")


def _limits(scene: _Scene) -> Limited:
    fired = sorted({at for each in scene.states if (m := each.memories.get(scene.rule.id)) for at in m.fired_ms})
    shown = [clock.from_ms(each) for each in fired[::-1][:FIRINGS_SHOWN_MAX]]
    held = scene.rule.limiter.held_back(scene.states, scene.now_ms, scene.zone)
    if held is None:
        detail = "no limit holds it back" if scene.rule.limiter.needed else "the rule has no limits"
        return Limited(True, detail, fired_at=shown)
    limit, until_ms = held
    if until_ms is None:
        return Limited(False, "it has fired already, and may once only", limit, None, shown)
    asked = scene.document.limits
    name = f"a cooldown of {wording.span(asked.cooldown or '1s')}"
    if limit == "max" and asked.max is not None:
        name = f"the limit of {asked.max.times} in {wording.span(asked.max.per)}"
    detail = f"{name} holds it back until {wording.instant(until_ms)}"
    return Limited(False, detail, limit, clock.from_ms(until_ms), shown)

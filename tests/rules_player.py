"""What fires in a story? The engine without its edges, and the oracle beside it where it knows the same words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from libs.common import clock
from libs.common.events import Change, EventResolved, RuleTriggered
from services.rules.document import checking, segments
from services.rules.engine import audience, matching, state
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Source, compile_snapshot
from services.rules.engine.state import State
from tests.oracles.rules import UNIT_MS, Oracle
from tests.rules_story import ZONE, Cast, Document, Story, merged

Fired = list[tuple[str, str, str, Document]]
_ORACLE_KINDS = {"event", "measure", "sequence", "absence", "change", "date", "dormancy", "deviation", "segment"}
_STRANGE = ("contains", "field_value", "calendar_year")


def play(story: Story, rules: Sequence[Document]) -> Fired:
    """In the form of `rules_story.expected`."""
    stage, cast = Stage(rules), Cast()
    for number, line in enumerate(story.lines, 1):
        stage.until(clock.to_ms(line.came_in) - 1)
        if line.edit is not None:
            stage.edit(line.edit)
        if line.happens:
            for event in cast.events(line, number):
                stage.event(str(number), event)
    stage.until(story.until_ms)
    return sorted(stage.fired, key=lambda each: each[:3])


def plays_with_oracle(story: Story, rules: Sequence[Document]) -> bool:
    """Whether the oracle knows all that the story says: no edits, no calendar spans, no words beyond its own."""
    text = msgspec.json.encode(rules).decode()
    plain = not any(line.edit is not None or line.more.get("everyone") for line in story.lines)
    known = all(rule["when"]["type"] in _ORACLE_KINDS for rule in rules if "when" in rule)
    return plain and known and not any(f'"{word}"' in text for word in _STRANGE) and _spans_are_lengths(rules)


def oracle_and_engine(story: Story, rules: Sequence[Document]) -> tuple[set[Any], set[Any]]:
    """What each of them fired, as (rule, customer, event)."""
    stage, cast = Stage(rules), Cast()
    named = [each for each in rules if "when" not in each]
    oracle = Oracle([_whole(rule) for rule in rules if "when" in rule], ZONE, named)
    for number, line in enumerate(story.lines, 1):
        now = clock.to_ms(line.came_in) - 1
        stage.until(now)
        oracle.on_clock(now)
        for event in cast.events(line, number) if line.happens else ():
            oracle.on_event(event)
            stage.event(str(number), event)
    stage.until(story.until_ms)
    oracle.on_clock(story.until_ms)
    return set(oracle.triggers), {(each.rule_id, each.customer_id, each.event_id) for each in stage.triggers}


def _spans_are_lengths(value: Any) -> bool:
    if isinstance(value, dict):
        names = ("for", "within", "cooldown", "per", "last", "accept_late")
        spans = [each for name in names if isinstance(each := value.get(name), str)]
        lengths = all(span.lstrip("0123456789") in UNIT_MS for span in spans)
        return lengths and all(_spans_are_lengths(each) for each in value.values())
    return all(_spans_are_lengths(each) for each in value) if isinstance(value, list) else True


def _whole(rule: Document) -> Document:
    made: Document = msgspec.json.decode(checking.read(rule, ZONE).body)
    return made


class Stage:
    """States survive as bytes only; timers fire when the clock is told."""

    def __init__(self, rules: Iterable[Document]) -> None:
        """What has no `when` is a segment."""
        written = list(rules)
        self.rules = {str(rule["id"]): rule for rule in written if "when" in rule}
        self.segments = {str(each["id"]): segments.read(each)[1] for each in written if "when" not in each}
        self.version = 1
        self.bodies: dict[str, bytes] = {}
        self.timers: dict[str, tuple[int, bytes]] = {}
        self.fired: Fired = []
        self.triggers: list[RuleTriggered] = []
        self._compile()

    def edit(self, patch: Document) -> None:
        """Of the rule that the patch names, or of the only one."""
        id_ = patch.get("id", next(iter(self.rules)))
        self.rules[id_] = merged(self.rules[id_], patch)
        self.version += 1
        self._compile()

    def _compile(self) -> None:
        bodies = [checking.read(rule, ZONE, self.segments).body for rule in self.rules.values()]
        named = [Source(body, 1) for body in self.segments.values()]
        self.snapshot = compile_snapshot([Source(body, self.version) for body in bodies], ZONE, named)

    def event(self, moment: str, given: Document) -> None:
        event = _resolved(given)
        if event.everyone:
            self._spread(moment, event)
            return
        own, out = self.load(event.customer_id), Effects()
        hit = matching.match(self.snapshot, event)
        if hit is not None:
            matching.step(self.snapshot, event, hit, own, self._others(event.linked, event.customer_id), out)
        elif own.waiting:
            matching.remember_profile(own, event)
        self._took(moment, own, out)

    def _spread(self, moment: str, event: EventResolved) -> None:
        """An event without a person: whoever is known has their turn at once."""
        for concern in audience.concerned(self.snapshot, event, Effects()):
            for customer in sorted(self.bodies):
                own, out = self.load(customer), Effects()
                audience.reach(self.snapshot, concern, own, self._others(own.linked, customer), out)
                self._took(moment, own, out)

    def until(self, clock_ms: int) -> None:
        while due := min(((due, key) for key, (due, _) in self.timers.items() if due <= clock_ms), default=None):
            expiry = msgspec.msgpack.decode(self.timers.pop(due[1])[1], type=Expiry)
            own, out = self.load(expiry.customer_id), Effects()
            matching.expire(self.snapshot, expiry, own, self._others(own.linked, own.customer_id), out)
            self._took(clock.from_ms(due[0]).isoformat(), own, out)

    def load(self, customer: str) -> State:
        body = self.bodies.get(customer)
        return State(customer) if body is None else state.decode(body)

    def _others(self, linked: Sequence[str], own: str) -> list[State]:
        return [self.load(each) for each in linked if each != own]

    def _took(self, moment: str, own: State, out: Effects) -> None:
        own.sweep()
        self.bodies[own.customer_id] = state.encode(own)
        for key in out.cancelled:
            self.timers.pop(key, None)
        self.timers |= {due.key: (due.due_ms, due.payload) for due in out.timers.values()}
        self.triggers += out.triggers
        self.fired += [(moment, each.customer_id, each.rule_id, each.include) for each in out.triggers]


def _resolved(given: Document) -> EventResolved:
    more = {name: given[name] for name in ("everyone", "branch", "channel", "traffic") if name in given}
    return EventResolved(
        event_id=given["id"],
        customer_id=given["customer"],
        person_id=min([given["customer"], *given["linked"]]),
        type=given["type"],
        source=given.get("source", "story"),
        time=clock.from_ms(given["time"]),
        received_ms=given["received"],
        data=msgspec.Raw(msgspec.json.encode(given["data"])),
        profile=msgspec.Raw(msgspec.json.encode(given["profile"])),
        changed={name: Change(**each) for name, each in given["changed"].items()},
        linked=given["linked"],
        history=given["history"],
        region=given["region"],
        **more,
    )

"""Who should be in which segment, and who should have moved when? By asking everybody anew each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

Rule = dict[str, Any]
Event = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
LINKING = ("profile.linked", "profile.unlinked")
PERIOD_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92}
Move = tuple[str, str, str, int, bool]
"""Segment, customer record, in or out, when, and whether it was a moment in anybody's life."""


class World(Protocol):
    events: list[Event]
    rules: list[Rule]

    def person(self, customer: str) -> list[str]: ...
    def zone(self, rule: Rule, profile: dict[str, Any]) -> ZoneInfo: ...
    def fire(self, rule: Rule, customer: str, event_id: str, at_ms: int, event: Event | None) -> None: ...
    def latest(self, customer: str) -> Event: ...
    def matches(self, pick: Any, event: Event) -> bool: ...
    def is_late(self, rule: Rule, event: Event) -> bool: ...
    def length(self, span: str) -> int: ...
    def counted(self, rule: Rule, measure: Any, customer: str) -> list[tuple[int, int, Any]]: ...
    def pane(self, rule: Rule, measure: Any, at_ms: int, profile: dict[str, Any]) -> int: ...
    def holds(self, rule: Rule, condition: Rule, customer: str, at_ms: int, profile: dict[str, Any]) -> bool: ...


class Segments:
    def __init__(self, world: World, segments: Sequence[Rule]) -> None:
        self.world = world
        self.segments = {segment["id"]: segment for segment in segments}
        self.judged: dict[tuple[str, str], tuple[int, bool, str]] = {}
        self.due: dict[tuple[str, str], int] = {}
        self.moves: list[Move] = []
        self.before: dict[str, bool] = {}

    def is_in(self, id: str, customer: str, at_ms: int, profile: dict[str, Any]) -> bool:
        segment = self.segments[id]
        return all(self.world.holds(segment, each, customer, at_ms, profile) for each in segment["who"])

    def has_changed_within(
        self, rule: Rule, condition: Rule, customer: str, at_ms: int, profile: dict[str, Any]
    ) -> bool:
        changed = self._changed(condition["field"].split(".")[1], customer)
        return changed is not None and changed + self.world.length(condition["value"]) > at_ms

    def _changed(self, name: str, customer: str) -> int | None:
        person = [customer, *self.world.person(customer)]
        own = [each for each in self.world.events if each["customer"] in person and name in each["changed"]]
        changes = [each["time"] for each in own if each["changed"][name]["was"] != each["changed"][name]["now"]]
        return max(changes, default=None)

    # --- by an event -----------------------------------------------------------------------------------------

    def before_event(self, event: Event) -> None:
        was = event["profile"] | {name: change["was"] for name, change in event["changed"].items()}
        self.before = {id: self.is_in(id, event["customer"], event["received"], was) for id in self.segments}

    def on_event(self, event: Event) -> None:
        silent = event["history"] or event["type"] in LINKING
        for id in sorted(self.segments):
            if not self._concerns(id, event):
                continue
            customer, at = event["customer"], event["received"]
            alone = event["type"] in LINKING
            moved = self._judge(id, customer, at, event["profile"], event["id"], self.before[id], silent, alone)
            for rule in self._waiting_for(id, moved):
                if not self.world.is_late(rule, event):
                    self.world.fire(rule, customer, event["id"], event["time"], event)

    def _concerns(self, id: str, event: Event) -> bool:
        if event["type"] in LINKING or "first_seen_at" in event["changed"]:
            return True
        asked = list(self._leaves(id))
        fields = {each["field"].split(".")[1] for _, each in asked if "field" in each}
        measures = [each["measure"] for _, each in asked if "measure" in each]
        if any("measure" in each and _counts_their_days(segment, each["measure"]) for segment, each in asked):
            fields.add("zone")
        return bool(fields & event["changed"].keys()) or any(self.world.matches(each, event) for each in measures)

    def _leaves(self, id: str) -> Iterator[tuple[Rule, Rule]]:
        """Each with the segment in which it stands."""
        waiting = [(self.segments[id], each) for each in self.segments[id]["who"]]
        while waiting:
            segment, each = waiting.pop()
            if "in_segment" in each:
                inner = self.segments[each["in_segment"]]
                waiting += [(inner, one) for one in inner["who"]]
            elif "any" in each:
                waiting += [(segment, one) for one in each["any"]]
            elif "not" in each:
                waiting.append((segment, each["not"]))
            else:
                yield segment, each

    def _judge(
        self,
        id: str,
        customer: str,
        at: int,
        profile: dict[str, Any],
        event_id: str,
        before: bool,
        silent: bool,
        alone: bool = False,
    ) -> str:
        """`alone`: what was told of the other records is nothing to this one."""
        known = self.judged.get((id, customer)) if alone else self.newest(id, customer)
        was = before if known is None else known[1]
        now = self.is_in(id, customer, at, profile)
        newest = self.newest(id, customer)
        self.judged[id, customer] = (max(at, newest[0] + 1) if newest else at, now, event_id)
        if (id, customer) not in self.due and self._may_move(id, customer, at, profile):
            self.due[id, customer] = self._midnight(id, at, profile)
        told = was != now and not silent
        if told or now != (known is not None and known[1]):
            self.moves.append((id, customer, "in" if now else "out", at, told))
        return ("in" if now else "out") if told else ""

    def newest(self, id: str, customer: str) -> tuple[int, bool, str] | None:
        known = [self.judged.get((id, each)) for each in [customer, *self.world.person(customer)]]
        return max((each for each in known if each is not None), key=lambda each: each[0], default=None)

    def _waiting_for(self, id: str, moved: str) -> list[Rule]:
        wanted = {"type": "segment", "segment": id, "moves": moved}
        return [rule for rule in self.world.rules if moved and rule["when"] == wanted]

    # --- by the night ----------------------------------------------------------------------------------------

    def on_clock(self, clock_ms: int) -> None:
        while True:
            now = min(((due, *name) for name, due in self.due.items() if due <= clock_ms), default=None)
            if now is None:
                return
            self._on_due(*now)

    def _on_due(self, at: int, id: str, customer: str) -> None:
        del self.due[id, customer]
        profile = self.world.latest(customer)["profile"]
        newest = self.newest(id, customer)
        if newest is not None and newest[0] > self.judged[id, customer][0]:
            if self._may_move(id, customer, at, profile):
                self.due[id, customer] = self._midnight(id, at, profile)
            return
        event_id = self.judged[id, customer][2]
        moved = self._judge(id, customer, at, profile, event_id, False, False)
        for rule in self._waiting_for(id, moved):
            self.world.fire(rule, customer, event_id, at, None)

    def _may_move(self, id: str, customer: str, at: int, profile: dict[str, Any]) -> bool:
        """Whether anything is known that can still grow old; for a day longer than it takes, as it is looked for."""
        for segment, each in self._leaves(id):
            if each.get("op") == "changed_within":
                changed = self._changed(each["field"].split(".")[1], customer)
                if changed is not None and changed + self.world.length(each["value"]) + DAY_MS > at:
                    return True
            elif "measure" in each:
                measure = each["measure"]
                newest = max((pane for pane, _, _ in self.world.counted(segment, measure, customer)), default=0)
                if newest > self.world.pane(segment, measure, at, profile) - _panes(measure["over"]) - 1:
                    return True
        return False

    def _midnight(self, id: str, at: int, profile: dict[str, Any]) -> int:
        zone = self.world.zone(self.segments[id], profile)
        day = (EPOCH + timedelta(milliseconds=at)).astimezone(zone).date() + timedelta(days=1)
        return (datetime.combine(day, time(), zone).astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def _counts_their_days(segment: Rule, measure: Rule) -> bool:
    unit = measure["over"].get("last", "1d").lstrip("0123456789")
    return segment.get("time", {}).get("zone", "customer") == "customer" and unit not in ("s", "min", "h")


def _panes(over: Rule) -> int:
    if "calendar" in over:
        return PERIOD_DAYS[over["calendar"]]
    spans = [over["last"], over.get("skip", "0d")]
    return sum(int(each.rstrip("wdhmins")) * (7 if each.endswith("w") else 1) for each in spans)

"""What should the rules have fired? Every event is kept and everything is counted anew each time: slow and plain.

It shares nothing with the engine but the language: no index, no panes, no memory that ends. Only which of two events
at one instant counts as the later one is the engine's choice, and is asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from services.rules.engine.state import digest
from tests.oracles.rules_in_time import Sequences, Standing
from tests.oracles.rules_segments import Segments

UNIT_MS = {"s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Firing = tuple[str, str, str]
"""Rule, customer record, event."""


class Oracle:
    def __init__(self, rules: list[dict[str, Any]], company_zone: str, segments: Sequence[dict[str, Any]] = ()) -> None:
        self.rules = sorted(rules, key=lambda rule: str(rule["id"]))
        self.company_zone = company_zone
        self.events: list[dict[str, Any]] = []
        self.waits: list[dict[str, Any]] = []
        self.fired: list[tuple[str, str, int]] = []
        self.triggers: set[Firing] = set()
        self.linked: dict[str, list[str]] = {}
        self.sequences, self.standing = Sequences(self), Standing(self)
        self.segments = Segments(self, segments)

    def on_event(self, event: dict[str, Any]) -> None:
        if any(e["id"] == event["id"] and e["customer"] == event["customer"] for e in self.events):
            return
        self.linked[event["customer"]] = event["linked"]
        self.segments.before_event(event)
        was_below = {rule["id"]: self._below(rule, event) for rule in self._of("measure", event)}
        self.events.append(event)
        for rule in self._of("absence", event):
            self._begin(rule, event)
        crossed = [r for r in self._of("measure", event) if was_below[r["id"]] and not self._below(r, event)]
        plain = self._of("event", event)
        for rule in [*crossed, *plain, *self._of("change", event)]:
            if not event["history"] and not is_late(rule, event):
                self.fire(rule, event["customer"], event["id"], event["time"], event)
        for rule in self.rules:
            if rule["when"]["type"] == "sequence":
                self.sequences.on_event(rule, event)
            elif rule["when"]["type"] in ("dormancy", "date", "deviation"):
                self.standing.on_event(rule, event)
        self.segments.on_event(event)

    def on_clock(self, clock_ms: int) -> None:
        rules = {rule["id"]: rule for rule in self.rules}
        due = [w for w in self.waits if w["open"] and w["due"] <= clock_ms]
        for wait in sorted(due, key=lambda w: (w["due"], w["rule"]["id"], w["event"]["customer"], w["event"]["id"])):
            wait["open"] = False
            if not self._ended(wait):
                event = wait["event"]
                self.fire(wait["rule"], event["customer"], event["id"], wait["due"], None)
        while True:
            now = min(((due, *name) for name, due in self.standing.due.items() if due <= clock_ms), default=None)
            if now is None:
                break
            self.standing.on_due(rules[now[1]], now[2])
        self.segments.on_clock(clock_ms)

    # --- what the other kinds ask -----------------------------------------------------------------------------

    def latest(self, customer: str) -> dict[str, Any]:
        return [each for each in self.events if each["customer"] == customer][-1]

    def matches(self, pick: Any, event: dict[str, Any]) -> bool:
        return picks(pick, event)

    def is_late(self, rule: dict[str, Any], event: dict[str, Any]) -> bool:
        return is_late(rule, event)

    def is_ignored(self, rule: dict[str, Any], event: dict[str, Any]) -> bool:
        return rule.get("time", {}).get("too_late") == "ignore" and is_late(rule, event)

    def same(self, rule: dict[str, Any], event: dict[str, Any]) -> Any:
        return same(rule, event)

    def length(self, span: str) -> int:
        return length(span)

    def total(self, of: str, values: list[tuple[int, Any]]) -> Fraction | None:
        return total(of, values)

    def _of(self, kind: str, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [rule for rule in self.rules if rule["when"]["type"] == kind and begins(rule["when"], event)]

    # --- absence ---------------------------------------------------------------------------------------------

    def _begin(self, rule: dict[str, Any], event: dict[str, Any]) -> None:
        if event["history"] or is_late(rule, event) or same(rule, event) is None:
            return
        wait = {"rule": rule, "event": event, "open": True}
        wait["due"] = event["time"] + length(rule["when"]["for"])
        if rule["when"].get("restart") == "only_when_idle" and any(
            other["open"]
            and other["rule"] is rule
            and other["event"]["customer"] == event["customer"]
            and same(rule, other["event"]) == same(rule, event)
            and other["event"]["time"] <= wait["due"]
            and event["time"] <= other["due"]
            and not self._ended(other, own_record_only=True)
            for other in self.waits
        ):
            return
        if rule["when"].get("restart") == "only_when_idle" and self._ended(wait, own_record_only=True):
            return
        self.waits.append(wait)

    def _ended(self, wait: dict[str, Any], own_record_only: bool = False) -> bool:
        rule, first = wait["rule"], wait["event"]
        for event in self.events:
            if event is first or same(rule, event) != same(rule, first):
                continue
            if event["customer"] != first["customer"]:
                if own_record_only or event["customer"] not in self.person(first["customer"]):
                    continue
            in_time = first["time"] <= event["time"] <= wait["due"]
            ignored = rule.get("time", {}).get("too_late") == "ignore" and is_late(rule, event)
            if in_time and not ignored and picks(rule["when"]["no"], event):
                return True
            later = (event["time"], digest(event["id"])) > (first["time"], digest(first["id"]))
            begins_too = picks(rule["when"]["after"], event) and not event["history"] and not is_late(rule, event)
            restarts = rule["when"].get("restart", "on_each_first") == "on_each_first"
            if in_time and later and begins_too and restarts:
                return True
        return False

    # --- measures --------------------------------------------------------------------------------------------

    def _below(self, rule: dict[str, Any], event: dict[str, Any]) -> bool:
        value = self._worth(rule, rule["when"]["measure"], event["customer"], event["time"], event["profile"])
        return value is None or value < Fraction(str(rule["when"]["reaches"]))

    def _worth(
        self, rule: dict[str, Any], measure: dict[str, Any], customer: str, at_ms: int, profile: dict[str, Any]
    ) -> Fraction | None:
        counted = self.counted(rule, measure, customer)
        newest = max([self.pane(rule, measure, at_ms, profile), *(pane for pane, _, _ in counted)])
        first, last = window(measure["over"], newest)
        return total(measure["of"], [(time, value) for pane, time, value in counted if first <= pane <= last])

    def counted(self, rule: dict[str, Any], measure: dict[str, Any], customer: str) -> list[tuple[int, int, Any]]:
        """Pane, time and amount of every event of the person that counts."""
        found = []
        for event in self.events:
            if event["customer"] in self.person(customer) and picks(measure, event):
                value = amount(measure, event)
                if value is not None and not self.is_ignored(rule, event):
                    found.append((self.pane(rule, measure, event["time"], event["profile"]), event["time"], value))
        return found

    def pane(self, rule: dict[str, Any], measure: dict[str, Any], at_ms: int, profile: dict[str, Any]) -> int:
        unit = measure["over"].get("last", "1d").lstrip("0123456789")
        if unit in ("s", "min", "h"):
            return at_ms // UNIT_MS[unit]
        return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(self.zone(rule, profile)).toordinal()

    def zone(self, rule: dict[str, Any], profile: dict[str, Any]) -> ZoneInfo:
        wanted = rule.get("time", {}).get("zone", "customer")
        name = profile.get("zone") if wanted == "customer" else wanted
        return ZoneInfo(self.company_zone if name in (None, "company") else str(name))

    # --- firing ----------------------------------------------------------------------------------------------

    def person(self, customer: str) -> list[str]:
        return [customer, *self.linked.get(customer, [])]

    def fire(
        self, rule: dict[str, Any], customer: str, event_id: str, at_ms: int, event: dict[str, Any] | None
    ) -> None:
        latest = event or [each for each in self.events if each["customer"] == customer][-1]
        profile = latest["profile"]
        if not all(self.holds(rule, each, customer, at_ms, profile) for each in rule.get("who", [])):
            return
        limits = rule.get("limits", {})
        before = [t for r, c, t in self.fired if r == rule["id"] and c in self.person(customer)]
        if limits.get("repeat") == "once" and before:
            return
        if "cooldown" in limits and any(abs(at_ms - t) < length(limits["cooldown"]) for t in before):
            return
        if "max" in limits:
            near = [t for t in before if abs(at_ms - t) < length(limits["max"]["per"])]
            if len(near) >= limits["max"]["times"]:
                return
        self.fired.append((rule["id"], customer, at_ms))
        self.triggers.add((rule["id"], customer, event_id))

    def holds(
        self, rule: dict[str, Any], condition: dict[str, Any], customer: str, at_ms: int, profile: dict[str, Any]
    ) -> bool:
        if "any" in condition:
            return any(self.holds(rule, each, customer, at_ms, profile) for each in condition["any"])
        if "not" in condition:
            return not self.holds(rule, condition["not"], customer, at_ms, profile)
        if "in_segment" in condition:
            return self.segments.is_in(condition["in_segment"], customer, at_ms, profile)
        if condition.get("op") == "changed_within":
            return self.segments.has_changed_within(rule, condition, customer, at_ms, profile)
        if "measure" in condition:
            worth = self._worth(rule, condition["measure"], customer, at_ms, profile)
            return worth is not None and compare(condition["op"], worth, condition["value"])
        return compare(condition["op"], profile.get(condition["field"].split(".")[1]), condition.get("value"))


def begins(when: dict[str, Any], event: dict[str, Any]) -> bool:
    if when["type"] == "change":
        return moved(when, event)
    return picks(when.get("measure") or when.get("after") or when, event)


def picks(pick: Any, event: dict[str, Any]) -> bool:
    if event["type"] != pick["event"]:
        return False
    return all(
        compare(each["op"], field_of(event, each["field"].split(".")[1]), each.get("value"))
        for each in pick.get("where", [])
    )


def field_of(event: dict[str, Any], name: str) -> Any:
    """Of the data, and where it says nothing of it, of the envelope."""
    return event["data"].get(name, event.get(name) or None)


def compare(op: str, found: Any, value: Any) -> bool:
    if op in ("is_not", "not_in", "missing"):
        return not compare({"is_not": "is", "not_in": "in", "missing": "exists"}[op], found, value)
    if op == "exists":
        return found is not None
    if op in ("is", "in"):
        return any(equal(found, each) for each in (value if op == "in" else [value]))
    if op == "starts_with":
        return isinstance(found, str) and found.startswith(value)
    left = numeric(found)
    return left is not None and ordered(op, left, [Fraction(str(e)) for e in (value if op == "between" else [value])])


def ordered(op: str, left: Fraction, right: list[Fraction]) -> bool:
    holds: dict[str, bool] = {
        "between": right[0] <= left <= right[-1],
        "at_least": left >= right[0],
        "more_than": left > right[0],
        "at_most": left <= right[0],
        "less_than": left < right[0],
    }
    return holds[op]


def equal(found: Any, value: Any) -> bool:
    if isinstance(value, bool | str) or isinstance(found, bool):
        return type(found) is type(value) and bool(found == value)
    return numeric(found) is not None and numeric(found) == numeric(value)


def numeric(value: Any) -> Fraction | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return None


def moved(when: dict[str, Any], event: dict[str, Any]) -> bool:
    change = event["changed"].get(when["field"].split(".")[1])
    if change is None or change["was"] == change["now"]:
        return False
    if change["was"] not in when.get("from", [change["was"]]) or change["now"] not in when.get("to", [change["now"]]):
        return False
    if when.get("direction", "any") == "any":
        return True
    order: list[str] = when["order"]
    if change["was"] not in order or change["now"] not in order:
        return False
    rises: bool = order.index(change["now"]) > order.index(change["was"])
    return rises == bool(when["direction"] == "up")


def amount(measure: dict[str, Any], event: dict[str, Any]) -> Any:
    if measure["of"] == "count":
        return Fraction(1)
    found = event["data"].get(measure["field"].split(".")[1])
    return found if measure["of"] == "distinct" else numeric(found)


def total(of: str, values: list[tuple[int, Any]]) -> Fraction | None:
    plain = [value for _, value in values]
    if of == "distinct":
        return Fraction(len({str(value) for value in plain}))
    if of in ("count", "sum"):
        return sum(plain, Fraction(0))
    if not plain:
        return None
    found: Fraction = {
        "average": sum(plain, Fraction(0)) / len(plain),
        "min": min(plain),
        "max": max(plain),
        "last": max(values)[1],
    }[of]
    return found


def window(over: dict[str, Any], newest: int) -> tuple[int, int]:
    if "calendar" in over:
        day = date.fromordinal(newest)
        monday = newest - day.weekday()
        quarter = date(day.year, day.month - (day.month - 1) % 3, 1).toordinal()
        starts = {"day": newest, "week": monday, "month": newest - day.day + 1, "quarter": quarter}
        return starts[over["calendar"]], newest
    per_unit = {"w": 7}
    count = int(over["last"].rstrip("wdhmins")) * per_unit.get(over["last"].lstrip("0123456789"), 1)
    skip = over.get("skip", "0d")
    left_out = int(skip.rstrip("wdhmins")) * per_unit.get(skip.lstrip("0123456789"), 1)
    return newest - left_out - count + 1, newest - left_out


def same(rule: dict[str, Any], event: dict[str, Any]) -> tuple[Any, ...] | None:
    values = tuple(event["data"].get(name) for name in rule["when"].get("same", []))
    return None if None in values else values


def length(span: str) -> int:
    unit = span.lstrip("0123456789")
    return int(span.removesuffix(unit)) * UNIT_MS[unit]


def is_late(rule: dict[str, Any], event: dict[str, Any]) -> bool:
    late: int = event["received"] - event["time"]
    return late > length(rule.get("time", {}).get("accept_late", "7d"))

"""What should sequences, silences, dates and deviations have fired? By trying everything, as the other kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from services.rules.engine.state import digest

Rule = dict[str, Any]
Event = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HORIZON_YEARS = 4


class World(Protocol):
    """What the oracle of all kinds knows and can do."""

    events: list[Event]

    def person(self, customer: str) -> list[str]: ...
    def zone(self, rule: Rule, profile: dict[str, Any]) -> ZoneInfo: ...
    def fire(self, rule: Rule, customer: str, event_id: str, at_ms: int, event: Event | None) -> None: ...
    def latest(self, customer: str) -> Event: ...
    def matches(self, pick: Any, event: Event) -> bool: ...
    def is_late(self, rule: Rule, event: Event) -> bool: ...
    def is_ignored(self, rule: Rule, event: Event) -> bool: ...
    def same(self, rule: Rule, event: Event) -> Any: ...
    def length(self, span: str) -> int: ...
    def counted(self, rule: Rule, measure: Any, customer: str) -> list[tuple[int, int, Any]]: ...
    def pane(self, rule: Rule, measure: Any, at_ms: int, profile: dict[str, Any]) -> int: ...
    def total(self, of: str, values: list[tuple[int, Any]]) -> Fraction | None: ...


class Sequences:
    def __init__(self, world: World) -> None:
        self.world = world
        self.spent: set[tuple[str, str]] = set()

    def on_event(self, rule: Rule, event: Event) -> None:
        world = self.world
        if world.same(rule, event) is None or world.is_ignored(rule, event):
            return
        if not any(world.matches(step, event) for step in rule["when"]["steps"]):
            return
        own = [
            each
            for each in world.events
            if each["customer"] in world.person(event["customer"])
            and world.same(rule, each) is not None
            and not world.is_ignored(rule, each)
        ]
        open_ = [each for each in own if world.matches(rule["when"]["steps"][0], each)]
        open_ = [each for each in open_ if (rule["id"], each["id"]) not in self.spent]
        within = world.length(rule["when"]["within"])
        if rule["when"].get("restart") == "only_when_idle" and event in open_:
            same = [each for each in open_ if world.same(rule, each) == world.same(rule, event) and each is not event]
            if any(abs(each["time"] - event["time"]) <= within for each in same):
                self.spent.add((rule["id"], event["id"]))
                open_.remove(event)
        done = [each for each in open_ if self._is_complete(rule, each, own, each["time"] + within)]
        self.spent |= {(rule["id"], each["id"]) for each in done}
        others = [each for each in own if each is not event]
        fresh = [
            each for each in done if each is event or not self._is_complete(rule, each, others, each["time"] + within)
        ]
        if fresh and not event["history"] and not world.is_late(rule, event):
            world.fire(rule, event["customer"], event["id"], event["time"], event)

    def _is_complete(self, rule: Rule, first: Event, own: list[Event], end: int) -> bool:
        same = self.world.same(rule, first)
        others = [each for each in own if self.world.same(rule, each) == same and each["time"] <= end]
        return any(self._chains([first], rule["when"]["steps"][1:], others))

    def _chains(self, chain: list[Event], steps: list[Any], events: list[Event]) -> Iterator[list[Event]]:
        if not steps:
            yield chain
            return
        for each in events:
            if each not in chain and each["time"] >= chain[-1]["time"] and self.world.matches(steps[0], each):
                yield from self._chains([*chain, each], steps[1:], events)


class Standing:
    """Appointments by rule and customer record. Between two ticks of the clock nothing can come due."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.due: dict[tuple[str, str], int] = {}
        self.told: dict[tuple[str, str], date] = {}
        self.day: dict[tuple[str, str], date] = {}
        self.signs: dict[tuple[str, str], tuple[int, int, Event]] = {}
        self.basis: dict[tuple[str, str], tuple[str, Event]] = {}
        self.armed: dict[tuple[str, str], Event] = {}
        self.judged: dict[tuple[str, str], tuple[int, bool]] = {}

    def on_event(self, rule: Rule, event: Event) -> None:
        {"dormancy": self._stir, "date": self._expect, "deviation": self._compare}[rule["when"]["type"]](rule, event)

    def on_due(self, rule: Rule, customer: str) -> None:
        at = self.due.pop((rule["id"], customer))
        {"dormancy": self._silence, "date": self._date, "deviation": self._look}[rule["when"]["type"]](
            rule, customer, at
        )

    def _appoint(self, rule: Rule, event: Event, due: int) -> None:
        name = (rule["id"], event["customer"])
        late = self.world.length(rule.get("time", {}).get("accept_late", "7d"))
        self.due.pop(name, None)
        if due and due + (0 if event["history"] else late) >= event["received"]:
            self.due[name] = due

    # --- dormancy --------------------------------------------------------------------------------------------

    def _stir(self, rule: Rule, event: Event) -> None:
        world, name = self.world, (rule["id"], event["customer"])
        first = event["changed"].get("first_seen_at", {"was": 1})["was"] is None
        counts = world.matches(rule["when"]["no"], event) or (rule["when"].get("never_counts") and first)
        if not counts or world.is_ignored(rule, event):
            return
        sign = (event["time"], digest(event["id"]), event)
        if name not in self.signs or sign[:2] > self.signs[name][:2]:
            self.signs[name] = sign
            end = event["time"] + world.length(rule["when"]["for"])
            if name not in self.due or end < self.due[name]:
                self._appoint(rule, event, end)

    def _silence(self, rule: Rule, customer: str, at: int) -> None:
        own = self.signs[rule["id"], customer]
        known = [
            self.signs[rule["id"], each] for each in self.world.person(customer) if (rule["id"], each) in self.signs
        ]
        newest = max(known, key=lambda sign: sign[:2])
        end = newest[0] + self.world.length(rule["when"]["for"])
        if end > at:
            self.due[rule["id"], customer] = end
        elif newest[:2] == own[:2]:
            self.world.fire(rule, customer, own[2]["id"], at, None)

    # --- date ------------------------------------------------------------------------------------------------

    def _expect(self, rule: Rule, event: Event) -> None:
        name = (rule["id"], event["customer"])
        change = event["changed"].get(rule["when"]["field"].split(".")[1])
        if change is None:
            return
        self.basis[name] = (change["now"], event)
        late = self.world.length(rule.get("time", {}).get("accept_late", "7d"))
        since = event["received"] - (late if rule["when"].get("every", "never") == "never" else 0)
        self._appoint(rule, event, self._next(rule, event["customer"], event["profile"], since))

    def _date(self, rule: Rule, customer: str, at: int) -> None:
        name = (rule["id"], customer)
        _, event = self.basis[name]
        day = self.day[name]
        others = [(rule["id"], each) for each in self.world.person(customer) if each != customer]
        told = any(self.told.get(each) == day for each in others)
        theirs = any(each[1] < customer and each in self.due and self.day[each] == day for each in others)
        if not told and not theirs:
            self.world.fire(rule, customer, event["id"], at, None)
        self.told[name] = day
        if rule["when"].get("every", "never") != "never":
            due = self._next(rule, customer, self.world.latest(customer)["profile"], at)
            if due:
                self.due[name] = due

    def _next(self, rule: Rule, customer: str, profile: dict[str, Any], after: int) -> int:
        """Every occurrence of some years is tried."""
        name = (rule["id"], customer)
        try:
            day = date.fromisoformat(self.basis[name][0])
        except (TypeError, ValueError):
            return 0
        when, zone = rule["when"], self.world.zone(rule, profile)
        hour, minute = map(int, when.get("at", "00:00").split(":"))
        found = []
        for each in _occurrences(when, day, (EPOCH + timedelta(milliseconds=after)).date()):
            moved = _moved(each, when.get("shift"))
            local = datetime.combine(moved, time(hour, minute), zone)
            due = (local.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)
            if due > after and moved > self.told.get(name, date.min):
                found.append((due, moved))
        first = min(found, default=(0, date.min))
        self.day[name] = first[1]
        return first[0]

    # --- deviation -------------------------------------------------------------------------------------------

    def _compare(self, rule: Rule, event: Event) -> None:
        world, name, when = self.world, (rule["id"], event["customer"]), rule["when"]
        if not world.matches(when["measure"], event):
            return
        if when.get("check", "daily") == "daily":
            self.armed[name] = event
            if name not in self.due:
                self._appoint(rule, event, self._midnight(rule, event["received"], event["profile"]))
            return
        met = self._is_met(rule, event["customer"], event["time"], event["profile"])
        before = self._was_met(rule, event["customer"])
        if met and not before and not event["history"] and not world.is_late(rule, event):
            world.fire(rule, event["customer"], event["id"], event["time"], event)
        self.judged[name] = (event["received"], met)

    def _look(self, rule: Rule, customer: str, at: int) -> None:
        name, profile = (rule["id"], customer), self.world.latest(customer)["profile"]
        met = self._is_met(rule, customer, at - 1, profile)
        if met and not self._was_met(rule, customer):
            self.world.fire(rule, customer, self.armed[name]["id"], at, None)
        self.judged[name] = (at, met)
        measure = rule["when"]["measure"]
        newest = max((pane for pane, _, _ in self.world.counted(rule, measure, customer)), default=0)
        compared = (1 + rule["when"]["against"]["periods"]) * _panes(measure["over"]["last"])
        if newest > self.world.pane(rule, measure, at - 1, profile) - compared:
            self.due[name] = self._midnight(rule, at, profile)

    def _was_met(self, rule: Rule, customer: str) -> bool:
        known = [self.judged.get((rule["id"], each)) for each in [customer, *self.world.person(customer)]]
        return max((each for each in known if each is not None), key=lambda each: each[0], default=(0, False))[1]

    def _midnight(self, rule: Rule, at: int, profile: dict[str, Any]) -> int:
        zone = self.world.zone(rule, profile)
        day = (EPOCH + timedelta(milliseconds=at)).astimezone(zone).date() + timedelta(days=1)
        return (datetime.combine(day, time(), zone).astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)

    def _is_met(self, rule: Rule, customer: str, at: int, profile: dict[str, Any]) -> bool:
        world, when = self.world, rule["when"]
        measure, against = when["measure"], when["against"]
        counted = world.counted(rule, measure, customer)
        if not counted:
            return False
        since = min(pane for pane, _, _ in counted)
        newest = max([world.pane(rule, measure, at, profile), *(pane for pane, _, _ in counted)])
        number = _panes(measure["over"]["last"])
        if "min_history" in against and newest - since < _panes(against["min_history"]):
            return False

        def worth(back: int) -> Fraction | None:
            last = newest - back * number
            return world.total(
                measure["of"], [(each, value) for pane, each, value in counted if last - number < pane <= last]
            )

        value = worth(0)
        firsts = {back: newest - (back + 1) * number + 1 for back in range(1, against["periods"] + 1)}
        before = [worth(back) for back, first in firsts.items() if first >= since]
        known = sorted(each for each in before if each is not None)
        if value is None or not known:
            return False
        middle = sum(known, Fraction(0)) / len(known)
        if against.get("statistic") == "median":
            middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
        percent = Fraction(str(when["by_percent"]))
        far: Callable[[], bool] = (
            (lambda: value <= middle * (100 - percent) / 100)
            if when.get("direction", "drop") == "drop"
            else (lambda: value >= middle * (100 + percent) / 100)
        )
        return middle > 0 and far()


def _occurrences(when: Rule, day: date, around: date) -> Iterator[date]:
    every = when.get("every", "never")
    if every == "never":
        yield day
    elif every == "year":
        for year in range(day.year, around.year + HORIZON_YEARS):
            try:
                yield day.replace(year=year)
            except ValueError:
                yield date(year, 2, 28) if when.get("feb29", "feb28") == "feb28" else date(year, 3, 1)
    else:
        for number in range((around.year - day.year + HORIZON_YEARS) * 12):
            yield _months_on(day, number)


def _months_on(day: date, number: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError(day)


def _moved(day: date, shift: str | None) -> date:
    if shift is None:
        return day
    number = int(shift.rstrip("dwmo"))
    if shift.endswith("mo"):
        return _months_on(day, number)
    return day + timedelta(days=number * (7 if shift.endswith("w") else 1))


def _panes(span: str) -> int:
    return int(span.rstrip("dwhmin")) * (7 if span.endswith("w") else 1)

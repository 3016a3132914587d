"""What do the firings come to? Per day, per customer, beside other rules, and the newest as examples. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from libs.common import clock
from libs.common.events import RuleTriggered
from services.rules.backtest.memory import MemoryFull
from services.rules.backtest.shapes import DayCount, Example, Ground, Overlap, Repeat
from services.rules.engine.state import DAY_MS, digest
from services.rules.explaining.grounds import Grounds

FIRES_MAX = 1_000_000
LIVE_FIRES_MAX = 4_000_000
NEAR_MS = DAY_MS
TIMES_SHOWN_MAX = 20


class Fires:
    """When a rule fired for whom, sixteen bytes each."""

    def __init__(self) -> None:
        self.people = array("Q")
        self.times_ms = array("q")

    def __len__(self) -> int:
        return len(self.people)

    def note(self, trigger: RuleTriggered) -> None:
        self.people.append(digest(trigger.person_id))
        self.times_ms.append(clock.to_ms(trigger.occurred_at))

    def by_person(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for person, time_ms in zip(self.people, self.times_ms, strict=True):
            found.setdefault(person, []).append(time_ms)
        for times in found.values():
            times.sort()
        return found


class Tally:
    """Counts what the tested rule fires, and beside it what the live rules fire."""

    def __init__(self, zone: ZoneInfo, examples: int) -> None:
        self._zone = zone
        self._fires = Fires()
        self._live: dict[tuple[str, int], Fires] = {}
        self._live_count = 0
        self._days: Counter[date] = Counter()
        self._newest: deque[tuple[RuleTriggered, Grounds]] = deque(maxlen=examples)

    def on_tested(self, trigger: RuleTriggered, grounds: Grounds) -> None:
        if len(self._fires) >= FIRES_MAX:
            raise MemoryFull(f"the rule fires more than {FIRES_MAX:,} times; choose a shorter period")
        self._fires.note(trigger)
        self._days[trigger.occurred_at.astimezone(self._zone).date()] += 1
        self._newest.append((trigger, grounds))

    def on_live(self, trigger: RuleTriggered) -> None:
        self._live_count += 1
        if self._live_count <= LIVE_FIRES_MAX:
            self._live.setdefault((trigger.rule_id, trigger.rule_version), Fires()).note(trigger)

    def forget(self, customer_id: str) -> None:
        """Whoever is erased is no example; that something was fired stays counted."""
        kept = [each for each in self._newest if each[0].customer_id != customer_id]
        if len(kept) < len(self._newest):
            self._newest.clear()
            self._newest.extend(kept)

    @property
    def fires(self) -> int:
        return len(self._fires)

    @property
    def overlap_is_cut(self) -> bool:
        return self._live_count > LIVE_FIRES_MAX

    def people(self) -> Counter[int]:
        return Counter(self._fires.people)

    def per_day(self, since_ms: int, until_ms: int) -> list[DayCount]:
        """Every day of the period, and days outside of it on which something late had occurred."""
        ends_ms = min(since_ms, until_ms - 1), until_ms - 1
        first, last = (clock.from_ms(each).astimezone(self._zone).date() for each in ends_ms)
        days = {first + timedelta(days=number): 0 for number in range((last - first).days + 1)} | self._days
        return [DayCount(day, fires) for day, fires in sorted(days.items())]

    @staticmethod
    def repeats(people: Mapping[int, int]) -> list[Repeat]:
        counts = Counter(min(times, TIMES_SHOWN_MAX) for times in people.values())
        return [Repeat(times, customers) for times, customers in sorted(counts.items())]

    def overlap(self) -> list[Overlap]:
        """With each live rule that was run, those most in common first."""
        own = self._fires.by_person()
        found = [self._with(key, fires, own) for key, fires in self._live.items()]
        return sorted(found, key=lambda each: (-each.customers, each.rule_id, each.version))

    @staticmethod
    def _with(key: tuple[str, int], fires: Fires, own: Mapping[int, list[int]]) -> Overlap:
        people = fires.by_person()
        near = {
            person: sum(1 for each in own[person] if _is_near(times, each))
            for person, times in people.items()
            if person in own
        }
        customers = sum(1 for count in near.values() if count)
        return Overlap(*key, customers, round(customers / len(own), 4) if own else 0.0, sum(near.values()))

    def examples(self) -> list[Example]:
        """Newest first."""
        return [_example(trigger, grounds) for trigger, grounds in reversed(self._newest)]


def _is_near(times: list[int], at: int) -> bool:
    place = bisect_left(times, at - NEAR_MS)
    return place < len(times) and times[place] <= at + NEAR_MS


def _example(trigger: RuleTriggered, grounds: Grounds) -> Example:
    return Example(
        trigger_id=trigger.trigger_id,
        customer_id=trigger.customer_id,
        occurred_at=trigger.occurred_at,
        event_id=trigger.event_id,
        include=trigger.include,
        events=[Ground(event_id, clock.from_ms(time_ms)) for event_id, time_ms in grounds.events],
        values=grounds.values,
    )

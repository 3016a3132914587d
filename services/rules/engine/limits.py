"""May this rule fire again for this person? Repeat, cooldown and the most per span, over all linked
records. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from services.rules.document.language import Limits
from services.rules.engine import spans
from services.rules.engine.state import DAY_MS, FOREVER_MS, Memory, State


class Limiter:
    """The limits of one rule. Firings on both sides of a late one are looked at: time has no side that is
    safe.
    """

    __slots__ = ("_cooldown", "_keep_ms", "_once", "_per", "_rule_id", "_times", "needed")

    def __init__(self, rule_id: str, limits: Limits, accept_late_ms: int) -> None:
        self._rule_id = rule_id
        self._once = limits.repeat == "once"
        self._cooldown = None if limits.cooldown is None else spans.parse(limits.cooldown)
        self._per = None if limits.max is None else spans.parse(limits.max.per)
        self._times = 0 if limits.max is None else limits.max.times
        lengths = [span.ms_max for span in (self._cooldown, self._per) if span is not None]
        # A firing may be told of as late as the rule accepts, after one that lies a day ahead.
        self._keep_ms = FOREVER_MS if self._once else max(lengths, default=0) + accept_late_ms + 2 * DAY_MS
        self.needed = self._once or bool(lengths)

    def allows(self, views: Iterable[State], time_ms: int, zone: ZoneInfo) -> bool:
        if not self.needed:
            return True
        fired = list(self._fired(views))
        if self._once and fired:
            return False
        if self._cooldown is not None and not all(spans.apart(each, time_ms, self._cooldown, zone) for each in fired):
            return False
        if self._per is None:
            return True
        near = sum(1 for each in fired if not spans.apart(each, time_ms, self._per, zone))
        return near < self._times

    def held_back(self, views: Iterable[State], now_ms: int, zone: ZoneInfo) -> tuple[str, int | None] | None:
        """Which limit would keep it from firing now, and until when (ms; None for ever); None when none would."""
        fired = sorted(self._fired(views)) if self.needed else []
        if self._once and fired:
            return "repeat", None
        found: list[tuple[int, str]] = []
        if self._cooldown is not None:
            near = [each for each in fired if not spans.apart(each, now_ms, self._cooldown, zone)]
            found += [(spans.after(each, self._cooldown, zone), "cooldown") for each in near]
        if self._per is not None:
            near = [each for each in fired if not spans.apart(each, now_ms, self._per, zone)]
            if len(near) >= self._times:
                found.append((spans.after(near[len(near) - self._times], self._per, zone), "max"))
        if not found:
            return None
        until_ms, limit = max(found)
        return limit, until_ms

    def note(self, state: State, time_ms: int) -> None:
        if not self.needed:
            return
        held = state.memories.get(self._rule_id)
        if held is None:
            held = state.memories[self._rule_id] = Memory()
        newest = max([time_ms, state.latest_ms, *held.fired_ms])
        held.fired_ms = sorted(each for each in [*held.fired_ms, time_ms] if each > newest - self._keep_ms)
        held.until_ms = min(newest + self._keep_ms, FOREVER_MS)

    def _fired(self, views: Iterable[State]) -> Iterator[int]:
        for view in views:
            held = view.memories.get(self._rule_id)
            if held is not None:
                yield from held.fired_ms

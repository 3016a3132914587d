"""When do the events of an old table happen in a replay? At their own time as history, or moved up to now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deploy.local.failure import StackFailure
from libs.common import clock

LIVE_AGE_MAX = timedelta(days=35)
"""What ingest takes as live at the most, unless it is set otherwise."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The last event of the table falls on `now`; what lay before it keeps its distance, divided by `speed`."""

    last: datetime
    now: datetime
    speed: float

    def moved(self, time: datetime) -> datetime:
        return self.now - (self.last - time) / self.speed


def as_history(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "history": True}


def as_live(event: dict[str, Any], shift: Shift) -> dict[str, Any]:
    """The id names the shift: moved to another moment, it is another event."""
    time = shift.moved(datetime.fromisoformat(event["time"]))
    return {
        **event,
        "id": f"{event['id']}-live-{clock.to_ms(shift.now)}",
        "time": time.isoformat(timespec="milliseconds"),
    }


def require_young_enough(first: datetime, shift: Shift) -> None:
    age = shift.now - shift.moved(first)
    if age > LIVE_AGE_MAX:
        least = age * shift.speed / LIVE_AGE_MAX
        raise StackFailure(
            f"the first event would be {age.days} days old, and live events are at most {LIVE_AGE_MAX.days} days old:"
            f" press the table together with --speed {least + 0.05:.1f} or more, or send it as history"
        )

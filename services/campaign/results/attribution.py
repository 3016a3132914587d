"""Which contact does a purchase, a visit or a call go back to? Stated windows, one answer for each. Pure.

Attribution says what followed what, for the people who work with it; whether it was *because* is said by the
comparison with those left alone, never by this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct


class Touch(Struct, frozen=True, order=True):
    """A contact, from the moment it could have an effect. `window` is the time within which its campaign counts."""

    at: datetime
    decision_id: str
    campaign_id: str
    window: timedelta


class Goal(Struct, frozen=True, order=True):
    """Something that a campaign is for. `decision_id` names the contact where the event itself does (a coupon, a
    link that was followed), which settles it.
    """

    at: datetime
    event_id: str
    kind: str
    amount: float = 0.0
    decision_id: str = ""


def attribute(touches: Sequence[Touch], goals: Iterable[Goal]) -> dict[str, str]:
    """By event the decision it goes back to; events that no contact preceded within its window are left out.

    A contact that the event names comes first, if it lies before the event; else the newest whose window is open. A
    contact at the very instant of the event did not cause it. Of two contacts of one instant the greater id counts.
    """
    ordered = sorted(touches)
    instants = [each.at for each in ordered]
    named = {each.decision_id: each for each in ordered}
    found: dict[str, str] = {}
    for goal in goals:
        own = named.get(goal.decision_id) if goal.decision_id else None
        touch = own if own is not None and own.at < goal.at else _newest_open(ordered, instants, goal)
        if touch is not None:
            found[goal.event_id] = touch.decision_id
    return found


def _newest_open(ordered: Sequence[Touch], instants: Sequence[datetime], goal: Goal) -> Touch | None:
    before = bisect_right(instants, goal.at)
    for touch in reversed(ordered[:before]):
        if touch.at < goal.at <= touch.at + touch.window:
            return touch
    return None

"""What comes due for a customer although nothing happens: a date, a silence, a daily look at a measure? Pure.

Each rule of these kinds has one appointment per customer record, and a timer for it. The timer is not moved whenever
something happens: when it fires, the appointment says whether it was really due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from libs.common import clock
from services.rules.document.language import DateWhen
from services.rules.engine import dates, spans
from services.rules.engine.snapshot import CompiledRule
from services.rules.engine.state import DAY_MS, Appointment, State


class Sign(NamedTuple):
    """What is known of the event that touches an appointment. Times in milliseconds."""

    number: int
    event_id: str
    time_ms: int
    received_ms: int
    hops: int


def meet(rule: CompiledRule, state: State) -> Appointment:
    """The rule's appointment with the customer, made if there is none."""
    held = state.appointments.get(rule.id)
    if held is None or is_dropped(rule, held):
        held = state.appointments[rule.id] = Appointment(about=rule.about)
    held.version = rule.version
    return held


def is_dropped(rule: CompiledRule, held: Appointment) -> bool:
    """Whether an edit has left nothing of what the appointment hung on, or says itself that it is to be dropped."""
    return held.about != rule.about or (rule.drop_running and held.version != rule.version)


def is_over(rule: CompiledRule, due_ms: int, received_ms: int, history: bool) -> bool:
    """Whether something fell due so long before it was told of that nobody is to act on it any more.

    What history tells of is over when it is due at all.
    """
    return due_ms + (0 if history else rule.accept_late_ms) < received_ms


def set_due(rule: CompiledRule, state: State, held: Appointment, due_ms: int) -> None:
    """`due_ms` 0 stands for none."""
    held.due_ms = due_ms
    keep_ms = max(rule.span.ms_max, rule.compared_ms) + rule.accept_late_ms + 2 * DAY_MS
    held.until_ms = max(due_ms, held.last_ms, state.latest_ms) + keep_ms


# --- dormancy ----------------------------------------------------------------------------------------------------


def stir(rule: CompiledRule, state: State, sign: Sign) -> Appointment | None:
    """A sign that the customer is not dormant; None where a newer one is known."""
    held = meet(rule, state)
    if (sign.time_ms, sign.number) <= (held.last_ms, held.number):
        return None
    held.last_ms, held.number, held.event_id = sign.time_ms, sign.number, sign.event_id
    held.hops, held.received_ms = sign.hops, sign.received_ms
    return held


def silence_ends(rule: CompiledRule, held: Appointment, zone: ZoneInfo) -> int:
    """When it will have lasted for as long as the rule asks."""
    return spans.after(held.last_ms, rule.span, zone)


def newest_sign(rule: CompiledRule, others: Sequence[State]) -> Appointment | None:
    """The last sign that other records of the person know of."""
    known = [each for other in others if (each := other.appointments.get(rule.id)) is not None and each.last_ms]
    return max(known, key=lambda each: (each.last_ms, each.number), default=None)


def next_midnight(instant_ms: int, zone: ZoneInfo) -> int:
    """The beginning of the next day."""
    day = clock.from_ms(instant_ms).astimezone(zone).date() + timedelta(days=1)
    return clock.to_ms(dates.first_instant(day, time.min, zone))


# --- date --------------------------------------------------------------------------------------------------------


def next_date(rule: CompiledRule, held: Appointment, zone: ZoneInfo, after_ms: int) -> int:
    """The first due instant after `after_ms` of the date that is known, 0 for none; notes the day of it.

    A day that was told once is not told again, whatever zone it is looked at from.
    """
    when = rule.when
    day = dates.day_of(held.basis, zone)
    if day is None or not isinstance(when, DateWhen):
        return 0
    held.day, due_ms = dates.next_due(when, day, zone, after_ms, held.told_day)
    return due_ms


# --- who speaks for a person -------------------------------------------------------------------------------------


def another_speaks(rule: CompiledRule, state: State, others: Sequence[State], day: int) -> bool:
    """Whether another record of the person has told this day, or has the same before it and is the one to tell it."""
    known = [(other.customer_id, held) for other in others if (held := other.appointments.get(rule.id)) is not None]
    known = [(customer_id, held) for customer_id, held in known if held.about == rule.about]
    return any(
        held.told_day == day or (held.due_ms and held.day == day and each < state.customer_id) for each, held in known
    )


def was_met(rule: CompiledRule, views: Sequence[State]) -> bool:
    """Whether a deviation was found when it was last looked for, at whichever record of the person."""
    known = [held for view in views if (held := view.appointments.get(rule.id)) is not None]
    known = [held for held in known if held.about == rule.about and held.judged_ms]
    return max(known, key=lambda held: held.judged_ms).met if known else False

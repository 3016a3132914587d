"""How do a campaign's totals become its report? Target against actual, then the comparison, then the money. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import Struct

from services.campaign.results.comparing import Arm, Report, compare
from services.campaign.results.intervals import Sample
from services.campaign.results.terms import Goal

TREATED, HELD_OUT = "contact", "holdout"
GOALS = ("goal", "visit", "purchase", "call", "redemption")


class Target(Struct, frozen=True):
    """What was promised and what came of it, in percent of the people contacted."""

    event: str
    target_percent: float
    actual_percent: float
    contacted: int
    responses: int
    until: str
    is_over: bool
    is_reached: bool
    break_even_percent: float | None


class Cost(Struct, frozen=True):
    """`planned` is what all contacts that were decided cost; `actual` leaves out those that never went out."""

    planned: Decimal
    actual: Decimal
    per_contact: Decimal


def arms_of(rows: Sequence[Mapping[str, Any]], holdout_percent: float) -> dict[str, Arm]:
    """Both sides; one that has nobody is empty."""
    found = {row["side"]: row for row in rows}
    planned = {TREATED: 100 - holdout_percent, HELD_OUT: holdout_percent}
    return {side: _arm(found.get(side), planned[side]) for side in (TREATED, HELD_OUT)}


def comparable(versions: Mapping[int, float], drawing: int) -> list[int]:
    """The versions that hold out the same share as the one that counts.

    Put together, versions of different shares would compare the people of one time with those of another.
    """
    return sorted(number for number, percent in versions.items() if percent == versions[drawing])


def cost_of(planned: Mapping[str, Any], states: Sequence[Mapping[str, Any]]) -> Cost:
    """Contacts of one campaign cost the same, so what did not go out is taken off by its share."""
    counts = {row["state"]: row["count"] for row in states}
    total = sum(counts.values())
    spent = Decimal(planned["cost"])
    gone = counts.get("committed", 0) + counts.get("reserved", 0)
    each = spent / planned["count"] if planned["count"] else Decimal(0)
    return Cost(spent, spent * gone / total if total else Decimal(0), each)


def target_of(goal: Goal, rows: Sequence[Mapping[str, Any]], cost: Cost, today: date) -> Target:
    """`today` by the company's calendar."""
    treated = next((row for row in rows if row["side"] == TREATED), {"contacted": 0, "responded": 0})
    contacted, responded = treated["contacted"], treated["responded"]
    actual = 100 * responded / contacted if contacted else 0.0
    return Target(
        event=goal.event,
        target_percent=goal.target_percent,
        actual_percent=actual,
        contacted=contacted,
        responses=responded,
        until=goal.until.isoformat(),
        is_over=today > goal.until,
        is_reached=contacted > 0 and actual >= goal.target_percent,
        break_even_percent=goal.break_even_percent(cost.per_contact),
    )


def report_of(goal: Goal, arms: Mapping[str, Arm], cost: Cost) -> Report | None:
    """None where nobody was left alone: there is nothing to compare with."""
    treated, held_out = arms[TREATED], arms[HELD_OUT]
    if not treated.count or not held_out.count or not treated.planned_share or not held_out.planned_share:
        return None
    return compare(treated, held_out, cost.actual, goal.planned_people)


def _arm(row: Mapping[str, Any] | None, planned: float) -> Arm:
    if row is None:
        nothing = Sample(0, 0, 0)
        return Arm(0, planned, {name: nothing for name in GOALS}, nothing, nothing)
    people = row["people"]
    return Arm(
        people,
        planned,
        {name: Sample(people, row[name], row[name]) for name in GOALS},
        Sample(people, row["spend"], row["spend_squares"]),
        Sample(people, row["margin"], row["margin_squares"]),
    )

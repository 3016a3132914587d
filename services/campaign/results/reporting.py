"""How do a campaign's totals become its report? Target against actual, then the comparison, then the money. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
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


def arms_of(rows: Sequence[Mapping[str, Any]], planned: Mapping[str, float]) -> dict[str, Arm]:
    """Both sides, by outcome; one that has nobody is empty. `planned` is how many were to be on each."""
    found = {row["arm"]: row for row in rows}
    return {side: _arm(found.get(side), planned.get(side, 0.0)) for side in (TREATED, HELD_OUT)}


def planned_of(exposed: Sequence[Mapping[str, Any]], holdout_percent: Mapping[int, float]) -> dict[str, float]:
    """How many were to be on each side, by what each version of the campaign had for its holdout."""
    planned = {TREATED: 0.0, HELD_OUT: 0.0}
    for row in exposed:
        held_out = row["count"] * holdout_percent.get(row["version"], 0.0) / 100
        planned[HELD_OUT] += held_out
        planned[TREATED] += row["count"] - held_out
    return planned


def cost_of(planned: Mapping[str, Any], states: Sequence[Mapping[str, Any]]) -> Cost:
    """Contacts of one campaign cost the same, so what did not go out is taken off by its share."""
    counts = {row["state"]: row["count"] for row in states}
    total = sum(counts.values())
    spent = Decimal(planned["cost"])
    gone = counts.get("committed", 0) + counts.get("reserved", 0)
    each = spent / planned["count"] if planned["count"] else Decimal(0)
    return Cost(spent, spent * gone / total if total else Decimal(0), each)


def target_of(goal: Goal, treated: Arm, cost: Cost, now: datetime) -> Target:
    responses = int(treated.goals["goal"].total)
    actual = 100 * responses / treated.count if treated.count else 0.0
    return Target(
        event=goal.event,
        target_percent=goal.target_percent,
        actual_percent=actual,
        responses=responses,
        until=goal.until.isoformat(),
        is_over=now.date() > goal.until,
        is_reached=treated.count > 0 and actual >= goal.target_percent,
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

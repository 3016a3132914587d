"""Did a campaign work? Target against actual, those contacted against those left alone, and what it earned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from libs.common import clock, documents
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import Connection, SnapshotWatcher
from libs.common.errors import Conflict
from services.campaign.document import KIND, CampaignDocument, Library, goal_of
from services.campaign.results import reporting, store
from services.campaign.results.comparing import Lift, Report
from services.campaign.results.intervals import Interval
from services.campaign.results.reporting import HELD_OUT, TREATED

_READS = Depends(requires("viewer", "marketer", "approver", "operator"))


class IntervalView(BaseModel):
    """An estimate, and where the truth lies with 95 % confidence; null on a side where nothing can be said."""

    estimate: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: Interval | None) -> IntervalView | None:
        if interval is None:
            return None
        low, high = (each if isfinite(each) else None for each in (interval.low, interval.high))
        return cls(estimate=interval.estimate if isfinite(interval.estimate) else 0.0, low=low, high=high)


class LiftView(BaseModel):
    """`fixed` holds for one look on a day that was planned; `always` however often one looks."""

    treated: float
    held_out: float
    fixed: IntervalView | None
    always: IntervalView | None
    ratio: IntervalView | None

    @classmethod
    def of(cls, lift: Lift) -> LiftView:
        return cls(
            treated=lift.treated,
            held_out=lift.held_out,
            fixed=IntervalView.of(lift.fixed),
            always=IntervalView.of(lift.always),
            ratio=IntervalView.of(lift.ratio),
        )


class TargetView(BaseModel):
    """What was promised and what came of it, in percent of the people contacted."""

    event: str
    target_percent: float
    actual_percent: float
    responses: int
    until: str
    is_over: bool
    is_reached: bool
    break_even_percent: float | None


class GroupsView(BaseModel):
    """People on each side. A `p_value` below 0.001 means that the sides are not of the sizes that were meant, so that
    nothing that compares them can be believed.
    """

    treated: int
    held_out: int
    p_value: float | None = None
    are_as_planned: bool | None = None


class MoneyView(BaseModel):
    """What came beyond what would have come anyway, in `currency`. `result` is contribution less cost; `return_on_cost`
    is the result per unit of cost. `foreign_count` purchases in other currencies are left out.
    """

    currency: str
    cost_planned: float
    cost_actual: float
    revenue: IntervalView | None = None
    contribution: IntervalView | None = None
    result: IntervalView | None = None
    return_on_cost: IntervalView | None = None
    surely_loses: bool = False
    foreign_count: int = 0


class AttributionView(BaseModel):
    """Deeds of the goal's kind that followed a contact of this campaign within its window, and no newer contact of
    another. What followed is not what was caused: that is said by the comparison alone.
    """

    window_days: float
    responses: int
    people: int
    amount: float


class CampaignReport(BaseModel):
    """By intention to treat: whoever was drawn counts, reached or not. `comparison` is null where nobody was left alone
    to compare with; attribution would not make up for that.
    """

    campaign_id: str
    version: int
    as_of: datetime
    target: TargetView
    people: GroupsView
    comparison: dict[str, LiftView] | None
    attributed: AttributionView
    money: MoneyView


def make_router(database: Database, library: SnapshotWatcher[Library]) -> APIRouter:
    router = APIRouter(tags=["results"])

    @router.get("/campaigns/{id}/report", dependencies=[_READS])
    async def get_report(id: str) -> CampaignReport:
        """Over all versions of the campaign; the goal is that of the version in force, or of the newest."""
        async with database.connection() as connection:
            return await _report(connection, id, windows_of(library))

    return router


def windows_of(library: SnapshotWatcher[Library]) -> dict[str, timedelta]:
    """The windows of the campaigns in force that have a goal."""
    if library.current is None:
        return {}
    return {each.id: each.goal.window for each in library.current.content.by_id.values() if each.goal is not None}


async def _report(connection: Connection, id: str, windows: Mapping[str, timedelta]) -> CampaignReport:
    versions = await _versions(connection, id)
    version, newest = max(versions.items())
    goal = goal_of(newest)
    if goal is None:
        raise Conflict(f'Campaign "{id}" has no goal to be held against; write one under "goal" in a new version.')
    now = clock.now()
    currency = goal.currency or await store.main_currency(connection, id, now, goal.window) or ""
    exposed = await store.exposures(connection, id, now)
    holdouts = {number: document.holdout_percent for number, document in versions.items()}
    rows = await store.totals(connection, id, now, goal.event, goal.window, currency, goal.margin_percent / 100)
    arms = reporting.arms_of(rows, reporting.planned_of(exposed, holdouts))
    cost = reporting.cost_of(*await store.costs(connection, id, now))
    found = reporting.report_of(goal, arms, cost)
    followed = await store.attributed(connection, id, now, goal.event, {**windows, id: goal.window}, currency)
    target = reporting.target_of(goal, arms[TREATED], cost, now)
    return CampaignReport(
        campaign_id=id,
        version=version,
        as_of=now,
        target=TargetView(**msgspec.structs.asdict(target)),
        people=GroupsView(
            treated=arms[TREATED].count,
            held_out=arms[HELD_OUT].count,
            p_value=found.ratio.p_value if found else None,
            are_as_planned=not found.ratio.fails if found else None,
        ),
        comparison=_lifts(found) if found else None,
        attributed=AttributionView(window_days=goal.window / timedelta(days=1), **followed),
        money=_money(found, cost, currency, sum(row["foreign_count"] for row in rows)),
    )


async def _versions(connection: Connection, id: str) -> dict[int, CampaignDocument]:
    """All that were ever written, by number; NotFound for a campaign that nobody wrote."""
    latest = await documents.get(connection, KIND, id)
    found: dict[int, CampaignDocument] = {}
    for number in range(1, latest.version + 1):
        kept = await documents.get(connection, KIND, id, number)
        found[number] = CampaignDocument.model_validate_json(kept.body)
    return found


def _lifts(report: Report) -> dict[str, LiftView]:
    lifts: dict[str, Any] = {**report.goals, "spend": report.spend, "margin": report.margin}
    return {name: LiftView.of(lift) for name, lift in lifts.items()}


def _money(found: Report | None, cost: reporting.Cost, currency: str, foreign_count: int) -> MoneyView:
    view = MoneyView(
        currency=currency,
        cost_planned=float(cost.planned),
        cost_actual=float(cost.actual),
        foreign_count=foreign_count,
    )
    if found is None:
        return view
    money = found.money
    return view.model_copy(
        update={
            "revenue": IntervalView.of(money.revenue),
            "contribution": IntervalView.of(money.contribution),
            "result": IntervalView.of(money.result),
            "return_on_cost": IntervalView.of(money.return_),
            "surely_loses": money.surely_loses,
        }
    )

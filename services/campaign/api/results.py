"""Did a campaign work? Target against actual, those contacted against those left alone, and what it earned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from libs.common import clock, documents
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import Connection, DocumentVersion
from libs.common.errors import Conflict, NotFound
from services.campaign.document import KIND, CampaignDocument, GoalPart, goal_of, span_of
from services.campaign.results import reporting, store
from services.campaign.results.comparing import Lift, Report
from services.campaign.results.intervals import Interval
from services.campaign.results.reporting import HELD_OUT, TREATED

_READS = Depends(requires("viewer", "marketer", "approver", "operator"))


class IntervalView(BaseModel):
    """An estimate, and where the truth lies with 95 % confidence; null where nothing can be said."""

    estimate: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: Interval | None) -> IntervalView | None:
        if interval is None:
            return None
        found = (each if isfinite(each) else None for each in (interval.estimate, interval.low, interval.high))
        return cls(**dict(zip(("estimate", "low", "high"), found, strict=True)))


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
    contacted: int
    responses: int
    until: str
    is_over: bool
    is_reached: bool
    break_even_percent: float | None


class GroupsView(BaseModel):
    """People on each side; `left_out` were drawn by versions that held out another share.

    A `p_value` below 0.001 means that the sides are not of the sizes that were meant, so that nothing that compares
    them can be believed.
    """

    treated: int
    held_out: int
    left_out: int = 0
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


def make_router(database: Database, company_zone: str) -> APIRouter:
    router = APIRouter(tags=["results"])
    zone = ZoneInfo(company_zone)
    # A report may look at millions of rows: what decides goes before it.
    turn = asyncio.Semaphore(1)

    @router.get("/campaigns/{id}/report", dependencies=[_READS])
    async def get_report(id: str) -> CampaignReport:
        """Held against the goal of the version in force, or of the newest where none is."""
        async with turn, database.transaction(store.WEIGHING) as tx:
            return await _report(tx.connection, id, clock.now(), zone)

    return router


async def _report(connection: Connection, id: str, now: datetime, zone: ZoneInfo) -> CampaignReport:
    document = await _counting(connection, id)
    goal = goal_of(CampaignDocument.model_validate_json(document.body))
    if goal is None:
        raise Conflict(f'Campaign "{id}" has no goal to be held against; write one under "goal" in a new version.')
    shares = await store.holdouts(connection, id)
    asked = store.Asked(id, now, reporting.comparable(shares, document.version))
    drawn = {row["version"]: row["count"] for row in await store.drawn(connection, id, now)}
    currency = goal.currency or await store.main_currency(connection, asked, goal.window) or ""
    rows = await store.totals(connection, asked, goal, currency)
    windows = windows_of(await store.goals_written(connection)) | {id: goal.window}
    followed = await store.attributed(connection, asked, goal, windows, currency)
    arms = reporting.arms_of(rows, shares[document.version])
    cost = reporting.cost_of(*await store.costs(connection, asked, goal.window))
    found = reporting.report_of(goal, arms, cost)
    target = reporting.target_of(goal, rows, cost, now.astimezone(zone).date())
    return CampaignReport(
        campaign_id=id,
        version=document.version,
        as_of=now,
        target=TargetView(**msgspec.structs.asdict(target)),
        people=GroupsView(
            treated=arms[TREATED].count,
            held_out=arms[HELD_OUT].count,
            left_out=sum(count for version, count in drawn.items() if version not in asked.versions),
            p_value=found.ratio.p_value if found else None,
            are_as_planned=not found.ratio.fails if found else None,
        ),
        comparison=_lifts(found) if found else None,
        attributed=AttributionView(window_days=goal.window / timedelta(days=1), **followed),
        money=_money(found, cost, currency, sum(row["foreign_count"] for row in rows)),
    )


async def _counting(connection: Connection, id: str) -> DocumentVersion:
    """The version in force, or the newest; NotFound for a campaign that nobody wrote."""
    try:
        return await documents.get(connection, KIND, id, "live")
    except NotFound:
        return await documents.get(connection, KIND, id)


def windows_of(written: Iterable[tuple[str, bytes]]) -> dict[str, timedelta]:
    """The longest window that a campaign was ever written with: what it said stays open when it has ended."""
    found: dict[str, timedelta] = {}
    for id, body in written:
        window = span_of(GoalPart.model_validate_json(body).within)
        found[id] = max(window, found.get(id, window))
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

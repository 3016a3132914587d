"""What did the contacted do beyond those who were left alone, and did it pay? One report from the totals. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from services.campaign.results import intervals, ratio, sequential
from services.campaign.results.intervals import CONFIDENCE, Interval, Sample
from services.campaign.results.ratio import RatioCheck


class Arm(Struct, frozen=True):
    """Those whom one treatment was meant for, whether it reached them or not, and what each of them did afterwards.

    `planned_share` is the weight with which they were drawn. `goals` are shares (visit, purchase, call, redemption),
    by name; `spend` and `margin` are sums of money per customer within the window.
    """

    count: int
    planned_share: float
    goals: Mapping[str, Sample]
    spend: Sample
    margin: Sample


class Lift(Struct, frozen=True):
    """`fixed` holds for one look on the day that was planned, `always` at every look."""

    treated: float
    held_out: float
    fixed: Interval
    always: Interval
    ratio: Interval | None = None


class Money(Struct, frozen=True):
    """What the campaign earned beyond what would have come anyway, `return_` per unit of cost; None without cost."""

    revenue: Interval
    contribution: Interval
    cost: Decimal
    result: Interval
    return_: Interval | None

    @property
    def surely_loses(self) -> bool:
        return self.result.high < 0


class Report(Struct, frozen=True):
    ratio: RatioCheck
    goals: dict[str, Lift]
    spend: Lift
    margin: Lift
    money: Money


def compare(treated: Arm, held_out: Arm, cost: Decimal, planned_total: int, confidence: float = CONFIDENCE) -> Report:
    """By intention to treat: whoever was drawn counts, since who is reached differs from who is not.

    `cost` is what the contacts of the treated have cost, the discounts they took not among it where `margin` is after
    discounts. `planned_total` see `sequential.difference`.
    """
    margin = _means(treated.margin, held_out.margin, confidence, planned_total)
    spend = _means(treated.spend, held_out.spend, confidence, planned_total)
    return Report(
        ratio.check([treated.count, held_out.count], [treated.planned_share, held_out.planned_share]),
        {
            name: _shares(held, held_out.goals.get(name, Sample(held_out.count, 0, 0)), confidence, planned_total)
            for name, held in treated.goals.items()
        },
        spend,
        margin,
        _money(spend.always, margin.always, treated.count, cost),
    )


def _shares(one: Sample, other: Sample, confidence: float, planned_total: int) -> Lift:
    counts = (int(one.total), one.count, int(other.total), other.count)
    return Lift(
        one.mean,
        other.mean,
        intervals.difference_of_shares(*counts, confidence),
        sequential.difference(one, other, confidence, planned_total),
        intervals.ratio_of_shares(*counts, confidence),
    )


def _means(one: Sample, other: Sample, confidence: float, planned_total: int) -> Lift:
    return Lift(
        one.mean,
        other.mean,
        intervals.difference_of_means(one, other, confidence),
        sequential.difference(one, other, confidence, planned_total),
    )


def _money(spend: Interval, margin: Interval, customers: int, cost: Decimal) -> Money:
    revenue, contribution = _times(spend, customers), _times(margin, customers)
    spent = float(cost)
    result = Interval(contribution.estimate - spent, contribution.low - spent, contribution.high - spent)
    return Money(revenue, contribution, cost, result, _times(result, 1 / spent) if spent > 0 else None)


def _times(interval: Interval, factor: float) -> Interval:
    return Interval(interval.estimate * factor, interval.low * factor, interval.high * factor)

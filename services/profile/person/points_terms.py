"""What may owners define about points? How long they last, how long a late entry waits, what a purchase earns."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

Days = Annotated[int, Meta(ge=0, le=36_500)]


class EarnRule(Struct, frozen=True):
    """A purchase earns `points` for each full `amount` of `currency` (ISO 4217), given by a business unit.

    `branches`, `channels` and `sources` (beginnings) say which purchases; none of them, all. The points last for
    `lifetime_days`, or as long as all others where that is 0. A refund takes back what as much money had earned.
    """

    business_unit: str
    amount: Decimal
    points: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    currency: str = "KRW"
    branches: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    lifetime_days: Days = 0

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or self.amount <= 0:
            raise ValueError("`amount` must be above 0")


class PointsTerms(Struct, frozen=True):
    """`lifetime_days` holds for points that come without a day of expiry; 0 is for ever.

    A spend that a channel reports, and for which there is not enough, is tried again for `retry_days`: most often the
    points that it spends are still under way. What is given back to points that are over lasts `returned_days` more.
    `earn` are tried in order, the first that fits counts; there are none as shipped.
    """

    lifetime_days: Days = 0
    retry_days: Days = 7
    returned_days: Days = 30
    earn: tuple[EarnRule, ...] = ()

"""What may owners define about the worth of a customer? When one is lost, what makes a cell of RFM, and a grade."""

from __future__ import annotations

from msgspec import Struct, field


class Lifecycle(Struct, frozen=True):
    """Days without a purchase after which somebody is at risk and then lapsed, and for how long one counts as new.

    `lead_events` are the types of event by which somebody who has bought nothing shows interest.
    """

    new_days: int = 30
    at_risk_days: int = 90
    lapsed_days: int = 180
    won_back_days: int = 30
    lead_events: frozenset[str] = frozenset(
        "identify visit product_view search cart_add inquiry call_inbound attended referred survey.answered"
        " message.clicked message.replied offer.accepted coupon.redeemed consent_given".split()
    )


def _monetary() -> dict[str, tuple[float, float, float, float]]:
    return {
        "KRW": (100_000.0, 300_000.0, 1_000_000.0, 3_000_000.0),
        "JPY": (10_000.0, 30_000.0, 100_000.0, 300_000.0),
        "USD": (100.0, 300.0, 1_000.0, 3_000.0),
        "EUR": (100.0, 300.0, 1_000.0, 3_000.0),
        "GBP": (100.0, 300.0, 1_000.0, 3_000.0),
    }


class Rfm(Struct, frozen=True):
    """Where the cells from 1 to 5 begin.

    A last purchase less than `recency_days` ago gives 5, 4, 3 and 2. At least so many purchases within `window_days`,
    or so much money in a currency, give 2, 3, 4 and 5; of several currencies the best counts.
    """

    window_days: int = 365
    recency_days: tuple[int, int, int, int] = (30, 90, 180, 365)
    frequency: tuple[int, int, int, int] = (2, 4, 8, 16)
    monetary: dict[str, tuple[float, float, float, float]] = field(default_factory=_monetary)


class Grade(Struct, frozen=True):
    """What is asked for a grade: so much spent, in any one of the currencies, within `window_days`.

    It is kept for `keeps_days` after the last day on which that was so.
    """

    name: str
    spend_min: dict[str, float]
    window_days: int = 365
    keeps_days: int = 180


def _ladder() -> tuple[Grade, ...]:
    return (
        Grade("silver", {"KRW": 500_000.0, "JPY": 50_000.0, "USD": 500.0, "EUR": 500.0, "GBP": 500.0}),
        Grade("gold", {"KRW": 2_000_000.0, "JPY": 200_000.0, "USD": 2_000.0, "EUR": 2_000.0, "GBP": 2_000.0}),
        Grade("vip", {"KRW": 6_000_000.0, "JPY": 600_000.0, "USD": 6_000.0, "EUR": 6_000.0, "GBP": 6_000.0}),
    )


class Grades(Struct, frozen=True):
    """The ladder, from the lowest grade up."""

    ladder: tuple[Grade, ...] = field(default_factory=_ladder)

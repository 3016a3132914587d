"""What is a campaign for, and when does it pay? The terms that its report is held against. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from msgspec import Struct


class Goal(Struct, frozen=True):
    """Of the people contacted, `target_percent` shall do `event` within `window` of the decision, by `until`.

    `response_value` is what one response is expected to leave, in `currency`, before the cost of contact.
    `margin_percent` is left of an amount of which the catalogue knows no margin. `planned_people` is about how many
    people the comparison will have.
    """

    event: str
    window: timedelta
    target_percent: float
    until: date
    response_value: Decimal
    currency: str = ""
    margin_percent: float = 30.0
    planned_people: int = 10_000

    def break_even_percent(self, cost: Decimal) -> float | None:
        """The share of people contacted who must respond beyond those who would anyway; None where none can pay."""
        return float(100 * cost / self.response_value) if self.response_value > 0 else None

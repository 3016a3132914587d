"""What share of the customers would a version reach, as far as it is known?"""

from __future__ import annotations

from typing import Any

from libs.common.documents import reading
from services.rules.api.rules import KIND
from services.rules.backtest.store import reach_percent
from services.rules.document import language
from services.rules.document.everyone import is_for_everyone


async def reach_of(connection: Any, rule_id: str, version: int) -> float | None:
    """A percentage; None where nobody knows. By the newest backtest, unless the rule itself says that it is for all."""
    found = await reach_percent(connection, rule_id, version)
    rule = language.decode((await reading.get(connection, KIND, rule_id, version)).body)
    if not is_for_everyone(rule.when):
        return found
    if not rule.who:
        return 100.0
    # A period in which no such event came tells nothing of how many one would reach.
    return found or None

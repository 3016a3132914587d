"""What does each service say it has forgotten of somebody?"""

from __future__ import annotations

from datetime import datetime

from libs.common.events.fact import Fact


class RulesErased(Fact, frozen=True):
    """Rules has forgotten a customer; `counts` says of what how much, by table."""

    customer_id: str
    erased_at: datetime
    counts: dict[str, int] = {}


class CampaignErased(Fact, frozen=True):
    """Campaign has forgotten a customer; decisions stay, which name nobody."""

    customer_id: str
    erased_at: datetime
    counts: dict[str, int] = {}


class NotifyErased(Fact, frozen=True):
    """Notify has forgotten a customer; that there were messages stays, not what they said nor to which address."""

    customer_id: str
    erased_at: datetime
    counts: dict[str, int] = {}

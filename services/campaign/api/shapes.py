"""What do campaigns, decisions and switches look like over HTTP?"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from libs.common.db import Row
from libs.common.web import Document


class VerdictView(BaseModel):
    gate: str
    verdict: str
    detail: str = ""
    values: dict[str, Any] = {}


class DecisionView(BaseModel):
    """One trigger for one campaign, decided. `gate` decided; `trace` is the whole way up to it.

    `reason` is the rule's own word for why it fired, empty where it has none or the decision is older than the column.
    `policy_version` is that of the table of laws, null where another gate decided before it was asked.
    """

    decision_id: UUID
    trigger_id: str
    campaign_id: str
    campaign_version: int
    customer_id: str
    person_id: str
    outcome: str
    gate: str
    channel: str
    cost: str
    event_id: str
    rule_id: str
    reason: str = ""
    decided_at: datetime
    defer_until: datetime | None
    trace: list[VerdictView]
    policy_version: int | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        fields = dict(row)
        # PostgreSQL's own class of ids is not the one that is validated against.
        fields["decision_id"] = UUID(int=row["decision_id"].int)
        fields["trace"] = msgspec.json.decode(row["trace"])
        return cls(**fields)


class Results(BaseModel):
    """Counts of decisions by outcome, of those denied by gate, and of contacts by what became of them."""

    campaign_id: str
    decided: int
    outcomes: dict[str, int]
    denied_by_gate: dict[str, int]
    contacts: dict[str, int]


class SwitchOrder(Document):
    """`off` true stops everything in the scope."""

    off: bool
    note: str = Field("", max_length=2000)


class SwitchView(BaseModel):
    scope: str
    version: int
    off: bool
    actor: str
    set_at: datetime
    note: str

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(**dict(row))

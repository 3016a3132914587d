"""What do campaigns, decisions and switches look like over HTTP?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from libs.common.db import Row
from libs.common.documents import DocumentVersion, ListedDocument
from libs.common.errors import Fault
from libs.common.web import Document


class VersionView(BaseModel):
    """One version of a campaign; `document` is what its author wrote."""

    id: str
    version: int
    status: str
    ramp_percent: int
    author: str
    note: str
    created_at: datetime
    document: dict[str, Any]

    @classmethod
    def of(cls, version: DocumentVersion) -> Self:
        return cls(
            id=version.id,
            version=version.version,
            status=version.status,
            ramp_percent=version.ramp_percent,
            author=version.author,
            note=version.note,
            created_at=version.created_at,
            document=version.content,
        )


class ListedView(VersionView):
    """The latest version, beside the one that is active or paused."""

    live_version: int | None = None
    live_status: str | None = None

    @classmethod
    def listed(cls, listed: ListedDocument) -> Self:
        found = cls.of(listed.latest)
        return found.model_copy(update={"live_version": listed.live_version, "live_status": listed.live_status})


class Activation(Document):
    """`version` absent means the latest; `ramp_percent` is the share of people for whom it counts."""

    version: int | None = Field(None, ge=1, le=2**31 - 1)
    ramp_percent: int = Field(100, ge=0, le=100)
    note: str = Field("", max_length=2000)


class Reason(Document):
    note: str = Field("", max_length=2000)


class ChangeView(BaseModel):
    number: int
    version: int
    status: str
    ramp_percent: int
    was_version: int | None
    was_status: str | None
    author: str
    note: str
    at: datetime


class FaultView(BaseModel):
    pointer: str
    detail: str


class Validity(BaseModel):
    valid: bool
    errors: list[FaultView] = []

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> Self:
        views = [FaultView(pointer=f"#{each.pointer}", detail=each.detail) for each in faults]
        return cls(valid=not views, errors=views)


class Difference(BaseModel):
    """`was` is missing where something is new, `now` where something is gone."""

    items: list[dict[str, Any]]


class VerdictView(BaseModel):
    gate: str
    verdict: str
    detail: str = ""
    values: dict[str, Any] = {}


class DecisionView(BaseModel):
    """One trigger for one campaign, decided. `gate` decided; `trace` is the whole way up to it."""

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
    decided_at: datetime
    defer_until: datetime | None
    trace: list[VerdictView]

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

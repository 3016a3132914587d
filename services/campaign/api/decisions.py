"""Why was a customer contacted, or not? Decisions with their traces, and what they came to per campaign."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field

from libs.common import documents
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.web import PAGE_SIZE_MAX, Document, Page, decode_cursor, page_of
from services.campaign import store
from services.campaign.api.shapes import DecisionView, Results
from services.campaign.document import KIND

_READS = Depends(requires("viewer", "marketer", "approver", "operator", "agent", "privacy"))


class After(msgspec.Struct, array_like=True):
    """Where the next page begins, behind this decision."""

    decided_at: Annotated[datetime, msgspec.Meta(tz=True)]
    decision_id: UUID


class Filters(Document):
    """Which decisions are wanted; what is absent does not restrict."""

    customer_id: str | None = Field(None, max_length=200)
    person_id: str | None = Field(None, max_length=200)
    campaign_id: str | None = Field(None, max_length=100)
    gate: str | None = Field(None, max_length=40)
    outcome: Literal["contact", "deferred", "denied", "holdout"] | None = None
    event_id: str | None = Field(None, max_length=300)
    reason: str | None = Field(None, max_length=200, description="What the rule wrote under emit.reason, whole.")
    since: AwareDatetime | None = Field(None, alias="from", description="From this instant on.")
    until: AwareDatetime | None = Field(None, alias="to", description="Up to this instant, not included.")
    limit: int = Field(100, ge=1, le=PAGE_SIZE_MAX)
    cursor: str | None = Field(None, max_length=1024)


def make_router(database: Database) -> APIRouter:
    router = APIRouter(tags=["decisions"])

    @router.get("/decisions", dependencies=[_READS])
    async def list_decisions(filters: Annotated[Filters, Query()]) -> Page[DecisionView]:
        """Newest first."""
        after = decode_cursor(filters.cursor, After)
        wanted = filters.model_dump(exclude={"since", "until", "limit", "cursor"})
        async with database.connection() as connection:
            rows = await store.find_decisions(
                connection,
                wanted,
                filters.since,
                filters.until,
                (after.decided_at, after.decision_id) if after else None,
                filters.limit + 1,
            )
        views = [DecisionView.of(row) for row in rows]
        items, following = page_of(views, filters.limit, lambda item: (item.decided_at, item.decision_id))
        return Page(items=items, next=following)

    @router.get("/decisions/{id}", dependencies=[_READS])
    async def get_decision(id: UUID) -> DecisionView:
        async with database.connection() as connection:
            row = await store.get_decision(connection, id)
        if row is None:
            raise NotFound(f"There is no decision {id}.")
        return DecisionView.of(row)

    @router.get("/campaigns/{id}/results", dependencies=[_READS])
    async def get_results(id: str) -> Results:
        """What has been decided for the campaign so far, over all its versions."""
        async with database.connection() as connection:
            await documents.get(connection, KIND, id)
            decided, contacts = await store.count_results(connection, id)
        outcomes: Counter[str] = Counter()
        denied: Counter[str] = Counter()
        for row in decided:
            outcomes[row["outcome"]] += row["count"]
            if row["outcome"] == "denied":
                denied[row["gate"]] += row["count"]
        return Results(
            campaign_id=id,
            decided=outcomes.total(),
            outcomes=dict(outcomes),
            denied_by_gate=dict(denied),
            contacts={row["state"]: row["count"] for row in contacts},
        )

    return router

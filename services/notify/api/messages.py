"""What was sent to whom, and what became of it?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from libs.common.auth import requires
from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.web import PAGE_SIZE_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from services.notify.store import reading

Filter = Annotated[str | None, Query(max_length=200)]
StateName = Literal[
    "PLANNED", "SUBMITTING", "ACCEPTED", "REJECTED", "UNKNOWN", "DELIVERED", "BOUNCED", "EXPIRED", "DROPPED"
]


class MessageView(BaseModel):
    """A message without what it says and to which address; those are in the inbox of demo mode alone."""

    message_id: str
    decision_id: str
    campaign_id: str
    customer_id: str
    person_id: str
    trigger_id: str
    event_id: str
    channel: str
    class_: str
    template: str
    template_version: int
    variant: str
    state: StateName
    reason: str
    settled: str
    attempts: int
    possible_duplicate: bool
    provider: str
    provider_ref: str
    requested_at: datetime
    planned_at: datetime
    not_before: datetime
    valid_until: datetime
    updated_at: datetime


class StepView(BaseModel):
    at: datetime
    state: str
    detail: str


class ResponseView(BaseModel):
    id: str
    type: str
    at: datetime
    data: dict[str, Any]


class MessageStory(MessageView):
    steps: list[StepView]
    responses: list[ResponseView]


class InboxItem(MessageView):
    recipient: str
    subject: str
    body: str


def router(database: Database, *, demo: bool) -> APIRouter:
    made = APIRouter(
        prefix="/v1",
        tags=["messages"],
        dependencies=[Depends(requires("viewer", "marketer", "approver", "operator", "agent", "privacy"))],
    )
    _add_lists(made, database, demo)

    @made.get("/messages/{message_id}")
    async def one(message_id: str) -> MessageStory:
        async with database.connection() as connection:
            row = await reading.one(connection, message_id)
            if row is None:
                raise NotFound(f"There is no message {message_id[:100]!r}.")
            steps = await reading.steps(connection, message_id)
            responses = await reading.responses(connection, message_id)
        planned = {"at": row["planned_at"], "state": "PLANNED", "detail": ""}
        return MessageStory(
            **_named(row),
            steps=[StepView(**step) for step in [planned, *steps]],
            responses=[ResponseView(**{**each, "data": msgspec.json.decode(each["data"])}) for each in responses],
        )

    return made


class Asked(NamedTuple):
    wanted: reading.Wanted
    limit: int


def _asked(
    customer_id: Filter = None,
    campaign_id: Filter = None,
    event_id: Filter = None,
    channel: Filter = None,
    state: StateName | None = None,
    limit: Limit = PAGE_SIZE_DEFAULT,
    cursor: Cursor = None,
) -> Asked:
    before = decode_cursor(cursor, tuple[datetime, str])
    return Asked(reading.Wanted(customer_id, campaign_id, event_id, channel, state, before), limit)


Listing = Annotated[Asked, Depends(_asked)]


def _add_lists(made: APIRouter, database: Database, demo: bool) -> None:
    async def page(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
        async with database.connection() as connection:
            rows = await reading.page(connection, asked.wanted, asked.limit + 1)
        return page_of(rows, asked.limit, lambda row: (row["planned_at"], row["message_id"]))

    @made.get("/messages")
    async def messages(asked: Listing) -> Page[MessageView]:
        items, following = await page(asked)
        return Page(items=[MessageView(**_named(row)) for row in items], next=following)

    @made.get("/inbox", dependencies=[Depends(_only_in_demo(demo))])
    async def inbox(asked: Listing) -> Page[InboxItem]:
        items, following = await page(asked)
        return Page(items=[InboxItem(**_named(row)) for row in items], next=following)


def _only_in_demo(demo: bool) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        if not demo:
            raise NotFound("The inbox exists in demo mode alone (DANGOL_DEMO=1); see /v1/messages.")

    return check


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {("class_" if name == "class" else name): value for name, value in row.items()}

"""What has a customer agreed to, who says so, and what is owed to them? Read, stated by agents, and settled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.errors import Fault, Invalid
from libs.common.events import CHANNELS_OF_CONTACT
from libs.common.web import Cursor, Document, IfMatch, Limit, Page, decode_cursor, page_of
from services.profile import consent_views as views
from services.profile.api.desk import Desk, Editor, Reader
from services.profile.privacy.scope import whole_company
from services.profile.statements import PURPOSE_LENGTH_MAX, PURPOSE_PATTERN
from services.profile.store import consents as store

Keeper = Annotated[Principal, Depends(requires("operator", "agent", "privacy"))]
Debtor = Annotated[Principal, Depends(requires("operator", "privacy"))]

PurposeName = Annotated[str, Field(pattern=f"^{PURPOSE_PATTERN}$", max_length=PURPOSE_LENGTH_MAX)]
WordingName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}@[1-9][0-9]{0,8}$", description="A wording as `id@version`.")
]
Reference = Annotated[str, Field(min_length=1, max_length=200)]

DUTY_COMMANDS = {"notice": "send_consent_notice", "reconfirm": "reconfirm_consent"}
AHEAD = timedelta(days=30)


class Consents(Document):
    """A statement of the customer. A withdrawal without `purpose` is of whatever was agreed to by these channels.

    `pending` asks for a confirmation before the consent counts; `proof` is where the statement can be found.
    """

    channels: list[str]
    granted: bool
    purpose: PurposeName | None = None
    pending: bool = False
    wording: WordingName | None = None
    proof: Reference | None = None
    reason: Reference | None = None


class Settled(Document):
    """What was done: by default for all channels and purposes that it was owed for."""

    channels: list[str] | None = None
    purpose: PurposeName | None = None
    proof: Reference | None = None
    reason: Reference | None = None


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.put("/customers/{customer_id}/consents")
    async def set_consents(
        customer_id: UUID, document: Consents, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """What the customer says now, as the agent writes it down; the answer is the customer after it."""
        _require_channels(document.channels)
        if document.pending and not document.granted:
            raise Invalid("only a consent can be pending", [Fault("/pending", "a withdrawal counts at once")])
        kind = "give_consent" if document.granted else "withdraw_consent"
        body = document.model_dump(exclude={"granted"}, exclude_defaults=True)
        found, response.headers["ETag"] = await desk.ordered(customer_id, kind, body, who, if_match)
        return found

    @router.get("/customers/{customer_id}/consents")
    async def read_consents(customer_id: UUID, who: Reader) -> dict[str, Any]:
        """What holds today by channel and purpose, the rung on the ladder of permission, and what is owed."""
        del who
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
            return await views.present(connection, str(customer_id), records, desk.definitions())

    @router.get("/customers/{customer_id}/consents/ledger")
    async def read_ledger(
        customer_id: UUID, who: Keeper, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Every statement as it was made, newest first, with its proof."""
        del who
        after = decode_cursor(cursor, tuple[datetime, str, str, str, str])
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
            rows = await store.ledger_page(connection, records, after, limit + 1)
        kept, following = page_of(
            rows, limit, lambda row: (row["at"], row["event_id"], row["channel"], row["purpose"], row["source"])
        )
        return Page(items=[views.entry(row) for row in kept], next=following)

    @router.post("/customers/{customer_id}/consent-duties/{duty}")
    async def settle_duty(
        customer_id: UUID, duty: Literal["notice", "reconfirm"], document: Settled, who: Editor, response: Response
    ) -> dict[str, Any]:
        """The customer was told the result of what they said, or reminded of what they agreed to."""
        if document.channels is not None:
            _require_channels(document.channels)
        body = document.model_dump(exclude_none=True)
        _, response.headers["ETag"] = await desk.ordered(customer_id, DUTY_COMMANDS[duty], body, who)
        return await read_consents(customer_id, who)

    _add_duties(router, desk)
    return router


def _add_duties(router: APIRouter, desk: Desk) -> None:
    @router.get("/consent-duties", dependencies=[Depends(whole_company)])
    async def list_duties(
        who: Debtor,
        due_before: Annotated[
            date | None, Query(description="Only what is due before that day; by default within 30 days.")
        ] = None,
        duty: Literal["notice", "reconfirm"] | None = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        """What is owed to customers for what they said of consent, the earliest first."""
        del who
        before = due_before or clock.now().date() + AHEAD
        after = decode_cursor(cursor, tuple[date, UUID, str])
        async with desk.database.connection() as connection:
            rows = await store.debts_page(connection, before, duty, after, limit + 1)
            kept, following = page_of(rows, limit, lambda row: (row["due_on"], row["customer_id"], row["duty"]))
            items = await views.duties_before(connection, kept, before, desk.definitions())
        return Page(items=items, next=following)


def _require_channels(channels: Sequence[str]) -> None:
    faults = [
        Fault(f"/channels/{at}", f"{channel!r} is no channel; there are {', '.join(CHANNELS_OF_CONTACT)}")
        for at, channel in enumerate(channels)
        if channel not in CHANNELS_OF_CONTACT
    ]
    if faults or not channels:
        raise Invalid("name at least one known channel", faults or [Fault("/channels", "is empty")])

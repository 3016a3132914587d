"""How do people correct what is known of a customer? By commands to its owner, one at a time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from libs.common.errors import Fault, Invalid
from libs.common.events import CHANNELS_OF_CONTACT
from libs.common.web import Document, IfMatch
from services.profile.api.desk import Desk, Editor


class Traits(Document):
    traits: dict[str, str | int | float | bool | None]


class Consents(Document):
    channels: list[str]
    granted: bool


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.patch("/customers/{customer_id}/traits")
    async def set_traits(
        customer_id: UUID, document: Traits, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Correct what is known; If-Match with the profile's ETag makes sure that nothing is overwritten unread."""
        found, response.headers["ETag"] = await desk.ordered(customer_id, "set_traits", document.traits, who, if_match)
        return found

    @router.put("/customers/{customer_id}/consents")
    async def set_consents(
        customer_id: UUID, document: Consents, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        _require_channels(document.channels)
        kind = "give_consent" if document.granted else "withdraw_consent"
        body = {"channels": document.channels}
        found, response.headers["ETag"] = await desk.ordered(customer_id, kind, body, who, if_match)
        return found

    return router


def _require_channels(channels: list[str]) -> None:
    faults = [
        Fault(f"/channels/{at}", f"{channel!r} is no channel; there are {', '.join(CHANNELS_OF_CONTACT)}")
        for at, channel in enumerate(channels)
        if channel not in CHANNELS_OF_CONTACT
    ]
    if faults or not channels:
        raise Invalid("name at least one known channel", faults or [Fault("/channels", "is empty")])

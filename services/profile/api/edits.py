"""How do people correct what is known of a customer? By commands to its owner, one at a time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from libs.common.web import Document, IfMatch
from services.profile.api.desk import Desk, Editor


class Traits(Document):
    traits: dict[str, str | int | float | bool | None]


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.patch("/customers/{customer_id}/traits")
    async def set_traits(
        customer_id: UUID, document: Traits, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Correct what is known; If-Match with the profile's ETag makes sure that nothing is overwritten unread."""
        found, response.headers["ETag"] = await desk.ordered(customer_id, "set_traits", document.traits, who, if_match)
        return found

    return router

"""How do people correct what is known of a customer? By commands to its owner, one at a time, and they say why."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from libs.common.db import Tx
from libs.common.errors import Fault, Invalid
from libs.common.web import Document, IfMatch
from services.profile.api.desk import Desk, Editor
from services.profile.person.definition_checks import escaped
from services.profile.person.traits import unkept
from services.profile.restoring import load


class Traits(Document):
    """`reason` stands in the timeline beside the change and whoever made it; nobody else is told."""

    traits: dict[str, str | int | float | bool | None]
    reason: Annotated[str, Field(max_length=500, description="Why it is corrected.")] = ""


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.patch("/customers/{customer_id}/traits")
    async def set_traits(
        customer_id: UUID, document: Traits, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Correct what is known; If-Match with the profile's ETag makes sure that nothing is overwritten unread."""
        await _require_room(desk, str(customer_id), document.traits)
        found, response.headers["ETag"] = await desk.ordered(
            customer_id, "set_traits", document.traits, who, if_match, document.reason.strip()
        )
        return found

    return router


async def _require_room(desk: Desk, customer_id: str, said: dict[str, Any]) -> None:
    """NotFound for nobody; Invalid where the record, as it is now, would not keep all of it beside what it has."""
    async with desk.database.connection() as connection:
        await desk.records(connection, customer_id)
        own = (await load(Tx(connection), [customer_id], desk.definitions())).known.get(customer_id)
    known = own.traits if own is not None else None
    if faults := [Fault(f"/traits/{escaped(name)}", detail) for name, detail in unkept(known, said)]:
        raise Invalid("Not all of these traits can be kept, so none of them is set.", faults)

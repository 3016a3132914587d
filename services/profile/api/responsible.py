"""Who looks after a customer? Given and taken by people who organise the work; the history is in the customer view."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field

from libs.common.auth import Principal, requires
from libs.common.errors import Fault, Invalid
from libs.common.web import Document
from services.profile.api.desk import Desk
from services.profile.person.care import MAIN
from services.profile.store import reference as store

Assigner = Annotated[Principal, Depends(requires("operator", "agent"))]
Text = Annotated[str, Field(max_length=200)]


class Assignment(Document):
    """`staff` is a code, null for nobody. A customer has one responsible person for each role."""

    staff: Text | None
    branch: Text = ""
    role: Annotated[str, Field(min_length=1, max_length=50)] = MAIN
    reason: Text = ""


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.put("/customers/{customer_id}/responsible")
    async def assign(customer_id: UUID, document: Assignment, who: Assigner) -> dict[str, Any]:
        """Say who is responsible from now on; the branch is that of the member of staff where none is named."""
        body: dict[str, Any] = {
            "staff": "",
            "role": document.role,
            "reason": document.reason,
            "branch": document.branch,
        }
        if document.staff:
            async with desk.database.connection() as connection:
                row = await store.one(connection, store.STAFF, document.staff)
            if row is None:
                raise Invalid("nobody of that code works here", [Fault("/staff", f"there is no {document.staff!r}")])
            body |= {"staff": row["code"], "branch": document.branch or row["place"]}
        found, _ = await desk.ordered(customer_id, "assign_care", body, who)
        return {"customer_id": found["customer_id"], **(found["care"] or {})}

    return router

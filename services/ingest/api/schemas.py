"""What do owners ask about event types over HTTP?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from libs.common import clock, web
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.errors import Conflict, Fault, Invalid
from services.ingest import kinds
from services.ingest.registry import Registry
from services.ingest.standard import STANDARD
from services.ingest.store import schemas as store


class NewType(web.Document):
    type: str = Field(pattern=kinds.NAME_PATTERN, max_length=kinds.NAME_LENGTH_MAX, examples=["warranty_registered"])
    description: str = Field(default="", max_length=2_000)


class EventType(web.Document):
    type: str
    description: str
    standard: bool


def make_router(database: Database, registry: Registry) -> APIRouter:
    router = APIRouter()

    @router.post("/schemas", status_code=201)
    async def register_type(
        document: NewType, response: Response, principal: Annotated[Principal, Depends(requires("marketer"))]
    ) -> EventType:
        """Makes an event type known. Doing it again replaces its description and answers 200."""
        if kinds.reserved(document.type):
            fault = Fault("/type", f"{', '.join(kinds.RESERVED_PREFIXES)} are kept for the platform")
            raise Invalid("The name belongs to the platform.", [fault])
        if document.type in STANDARD:
            raise Conflict(f"{document.type} is a standard type; it is known already.")
        async with database.connection() as connection:
            created = await store.put_type(
                connection, document.type, document.description, principal.subject, clock.now()
            )
        await registry.refresh()
        response.status_code = 201 if created else 200
        return EventType(type=document.type, description=document.description, standard=False)

    @router.get("/schemas", dependencies=[Depends(requires())])
    async def list_types() -> web.Page[EventType]:
        """All types, those that ship first; the list is short and has one page."""
        async with database.connection() as connection:
            rows = await store.own_types(connection)
        shipped = [
            EventType(type=name, description=text, standard=True) for name, (_, text) in sorted(STANDARD.items())
        ]
        own = [EventType(type=row["name"], description=row["description"], standard=False) for row in rows]
        return web.Page(items=shipped + own)

    return router

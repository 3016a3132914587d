"""Who is a customer, and what happened to them? Look-up by an identifier, the whole customer, the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from libs.common.errors import Fault, Invalid
from libs.common.events import IDENTIFIER_TYPES
from libs.common.web import Cursor, Limit, Page, decode_cursor, etag, page_of
from services.profile import reading
from services.profile.api.desk import Desk, Reader
from services.profile.identity import Table
from services.profile.normal import normalised
from services.profile.privacy.auditing import shown
from services.profile.privacy.scope import sees
from services.profile.store import customers as store
from services.profile.store import identity as identity_store


class Chosen(BaseModel):
    """Events of these types and channels (each may be named several times), from `since` on, before `until`."""

    type: list[str] = Field([], max_length=50)
    channel: list[str] = Field([], max_length=50)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/customers")
    async def find_customers(request: Request, who: Reader) -> Page[dict[str, Any]]:
        """The customer that an identifier belongs to: `?phone=…`, `?email=…`, `?loyalty_card=…`, `?partner:x=…`."""
        found = []
        for key in _identifier_keys(request.query_params, desk.region, Table(desk.definitions().identity)):
            async with desk.database.connection() as connection:
                records = await identity_store.records_of(connection, key=key)
                if records and await sees(connection, who, records, desk.definitions()):
                    found.append(await reading.customer(connection, records[0], records, desk.definitions()))
        people = {each["customer_id"]: each for each in found}
        shown(request.state, list(people))
        return Page(items=list(people.values()))

    @router.get("/customers/{customer_id}")
    async def read_customer(customer_id: UUID, who: Reader, response: Response) -> dict[str, Any]:
        del who
        async with desk.database.connection() as connection:
            found = await desk.shown(connection, customer_id)
        response.headers["ETag"] = etag(found["version"])
        return found

    @router.get("/customers/{customer_id}/timeline")
    async def read_timeline(
        customer_id: UUID, who: Reader, chosen: Annotated[Chosen, Query()], limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Everything that happened to the person, newest first, with what it changed."""
        del who
        before = decode_cursor(cursor, tuple[datetime, str])
        only = store.Chosen(chosen.type, chosen.channel, chosen.since, chosen.until)
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
            rows = await store.timeline_page(connection, records, only, before, limit + 1)
        items, following = page_of([reading.line(row) for row in rows], limit, lambda e: (e["time"], e["id"]))
        return Page(items=items, next=following)

    return router


def _identifier_keys(query: Mapping[str, str], region: str, table: Table) -> list[str]:
    unknown = [name for name in query if name not in IDENTIFIER_TYPES and not name.startswith("partner:")]
    if unknown or not query:
        what = f"{unknown[0]!r} is no type of identifier" if unknown else "there is no identifier"
        types = ", ".join(IDENTIFIER_TYPES)
        raise Invalid(f"{what}; ask with one of {types} or partner:<name>", [Fault("", what)])
    return [f"{kind}:{value}" for kind, value in normalised(dict(query), region, table).items()]

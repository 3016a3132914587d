"""Which records are one person, and why? The links with their evidence, and people who know better."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends
from pydantic import Field

from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, page_of
from services.profile.api.desk import Desk
from services.profile.identity import kind_of
from services.profile.identity.joining import DIFFERENT, TOO_MANY
from services.profile.identity.ordering import NO_LINK, UNKNOWN, WHOLE
from services.profile.privacy.scope import sees
from services.profile.store import identity as store

Looker = Annotated[Principal, Depends(requires("operator", "agent", "privacy"))]
Linker = Annotated[Principal, Depends(requires("operator", "privacy"))]
Reason = Annotated[str, Field(max_length=500)]


class Merge(Document):
    """`with` is any record of the other person."""

    with_: UUID = Field(alias="with")
    reason: Reason = ""


class Unmerge(Document):
    """Either the records to take out of the person, or the one link to take back."""

    records: list[UUID] = Field([], max_length=100)
    link_id: UUID | None = None
    reason: Reason = ""


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/customers/{customer_id}/links")
    async def list_links(
        customer_id: UUID, who: Looker, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Why the records of this person are one person's, newest first; also what was taken back, by whom and why."""
        del who
        before = decode_cursor(cursor, tuple[datetime, UUID])
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
            rows = await store.links_page(connection, records, before, limit + 1)
        items, following = page_of([_link(row) for row in rows], limit, lambda e: (e["linked_at"], e["link_id"]))
        return Page(items=items, next=following)

    @router.post("/customers/{customer_id}/merge")
    async def merge(customer_id: UUID, document: Merge, who: Linker) -> dict[str, Any]:
        """Make two persons one. Nothing is moved: it can be taken back. Different accounts stay different persons."""
        if document.with_ == customer_id:
            raise Invalid("a customer is one with itself already", [Fault("/with", "names the same record")])
        async with desk.database.connection() as connection:
            records = await desk.records(connection, document.with_)
            # The path is looked after for all endpoints; the other one is named in the body.
            if not await sees(connection, who, records, desk.definitions()):
                raise NotFound(f"There is no customer {document.with_}.")
        await ordered(desk, customer_id, who, "link", [str(document.with_)], "", document.reason)
        async with desk.database.connection() as connection:
            return await desk.shown(connection, customer_id)

    @router.post("/customers/{customer_id}/unmerge")
    async def unmerge(customer_id: UUID, document: Unmerge, who: Linker) -> dict[str, Any]:
        """Take records out of a person, or take one link back; what is parted so is joined by no event again."""
        async with desk.database.connection() as connection:
            _require_parts(document, await desk.records(connection, customer_id))
        records = [str(record) for record in document.records]
        link_id = str(document.link_id) if document.link_id is not None else ""
        await ordered(desk, customer_id, who, "unlink", records, link_id, document.reason)
        async with desk.database.connection() as connection:
            return await desk.shown(connection, customer_id)

    return router


def _require_parts(document: Unmerge, held: list[str]) -> None:
    if bool(document.records) == (document.link_id is not None):
        raise Invalid("name either records or a link_id", [Fault("/records", "or link_id, and not both")])
    faults = [
        Fault(f"/records/{at}", "is no record of this person; `records` of the customer lists them")
        for at, record in enumerate(document.records)
        if str(record) not in held
    ]
    if faults:
        raise Invalid("only records of the person itself can be taken out of it", faults)


async def ordered(
    desk: Desk, customer_id: UUID, who: Principal, kind: str, records: list[str], link_id: str, reason: str
) -> None:
    """Give an order and wait for what becomes of it; a problem says why it was not obeyed."""
    outcome = await desk.commands.link(
        kind, str(customer_id), who.subject, records=records, link_id=link_id, reason=reason
    )
    what, _, of = outcome.partition(":")
    if what == UNKNOWN:
        raise NotFound(f"There is no customer {' or '.join([str(customer_id), *records])}.")
    if what == NO_LINK:
        raise NotFound(f"This person has no link {link_id}, or it was taken back before.")
    if what == WHOLE:
        raise Invalid("these are all records of the person", [Fault("/records", "leaves nothing to part them from")])
    if what == DIFFERENT:
        raise Conflict(f"Each of the two has {of} of their own, and nobody has two: they stay two persons.")
    if what == TOO_MANY:
        raise Conflict(f"Together they would have more identifiers of the type {of} than one person may have.")
    if outcome:
        raise Conflict(f"They cannot be linked: {outcome}.")


def _link(row: Row) -> dict[str, Any]:
    about = msgspec.json.decode(row["about"], type=dict[str, Any])
    return {
        "link_id": row["link_id"],
        "records": [row["one"], row["other"]],
        "kind": row["kind"],
        "identifiers": [{"type": kind_of(key), "value": key[len(kind_of(key)) + 1 :]} for key in row["evidence"]],
        "event_id": row["event_id"] if row["kind"] == "event" else None,
        "actor": row["actor"] or None,
        "rule": about.get("rule"),
        "score": about.get("score"),
        "details": about.get("evidence", {}),
        "reason": about.get("reason"),
        "linked_at": row["linked_at"],
        "ended_at": row["ended_at"],
        "ended_by": row["ended_by"] or None,
        "ended_reason": row["ended_why"] or None,
    }

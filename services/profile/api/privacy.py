"""How does somebody get their rights? They are erased, with a proof; and what they ask for by events is decided."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row, Tx
from libs.common.errors import Conflict, NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, page_of
from services.profile.api.desk import Desk
from services.profile.privacy import proof
from services.profile.privacy.scope import whole_company, within_branch
from services.profile.store import erasing as erasures
from services.profile.store import identity as identity_store
from services.profile.store import privacy as store

Privacy = Annotated[Principal, Depends(requires("privacy"))]


class Erase(Document):
    """`request_id` is the caller's own number for the case: asked for twice, a person is erased once."""

    reason: str = Field(min_length=1, max_length=500)
    request_id: str = Field(min_length=1, max_length=200)


class Decision(Document):
    note: str = Field("", max_length=500)


def make_router(desk: Desk, wake: Callable[[], None]) -> APIRouter:
    router = APIRouter(prefix="/v1", dependencies=[Depends(within_branch)])
    _add_erasures(router, desk, wake)
    _add_requests(router, desk, wake)
    return router


def _add_erasures(router: APIRouter, desk: Desk, wake: Callable[[], None]) -> None:
    @router.post("/customers/{customer_id}/erase", status_code=202)
    async def erase_customer(customer_id: UUID, document: Erase, who: Privacy, response: Response) -> dict[str, Any]:
        """Erase the whole person, all linked records; the answer says where to ask how far it has come.

        It cannot be taken back. The person is not contacted any more from now on, and nothing of them is found. Who
        asks for somebody who was erased before, under whatever request id, gets the proof of that: nothing is held.
        """
        async with desk.database.transaction() as tx:
            row = await erasures.by_request(tx.connection, document.request_id)
            if row is None:
                row = await _erased_before(tx, str(customer_id))
            if row is None:
                row = await _asked(tx, document.request_id, str(customer_id), document.reason, who.subject)
            if row["request_id"] == document.request_id and str(row["customer_id"]) != str(customer_id):
                raise Conflict(f"The request id {document.request_id!r} was used for another customer.")
        wake()
        response.headers["Location"] = f"/v1/erasures/{row['erasure_id']}"
        async with desk.database.connection() as connection:
            return await _told(connection, row)

    @router.get("/erasures", dependencies=[Depends(whole_company)])
    async def list_erasures(who: Privacy, limit: Limit = 100, cursor: Cursor = None) -> Page[dict[str, Any]]:
        del who
        before = decode_cursor(cursor, tuple[datetime, str])
        async with desk.database.connection() as connection:
            rows = await erasures.page(connection, before, limit + 1)
            kept, following = page_of(rows, limit, lambda row: (row["asked_at"], str(row["erasure_id"])))
            return Page(items=[await _told(connection, row) for row in kept], next=following)

    @router.get("/erasures/{erasure_id}", dependencies=[Depends(whole_company)])
    async def read_erasure(erasure_id: UUID, who: Privacy) -> dict[str, Any]:
        """The proof: what was erased where and when, what is waited for, and what remains until when."""
        del who
        async with desk.database.connection() as connection:
            row = await erasures.one(connection, str(erasure_id))
            if row is None:
                raise NotFound(f"There is no erasure {erasure_id}.")
            return await _told(connection, row)


def _add_requests(router: APIRouter, desk: Desk, wake: Callable[[], None]) -> None:
    @router.get("/privacy-requests", dependencies=[Depends(whole_company)])
    async def list_requests(
        who: Privacy,
        state: Literal["open", "confirmed", "refused"] | None = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        """What people have asked for by events, newest first; `due_at` is until when somebody has to decide."""
        del who
        before = decode_cursor(cursor, tuple[datetime, str])
        async with desk.database.connection() as connection:
            rows = await store.requests_page(connection, state, before, limit + 1)
        items, following = page_of([_request(row) for row in rows], limit, lambda e: (e["asked_at"], e["request_id"]))
        return Page(items=items, next=following)

    @router.post("/privacy-requests/{request_id}/confirm", dependencies=[Depends(whole_company)])
    async def confirm_request(request_id: UUID, document: Decision, who: Privacy) -> dict[str, Any]:
        """It is them, and they may: who asked to be erased is erased; that access was given is noted.

        Of who was erased before `erasure_id` is that erasure.
        """
        async with desk.database.transaction() as tx:
            row = await _open(tx, request_id)
            erasure_id = None
            if row["kind"] == "erasure":
                customer_id, reason = str(row["customer_id"]), f"asked by {row['source']}"
                asked = await _erased_before(tx, customer_id)
                if asked is None:
                    asked = await _asked(tx, f"event:{request_id}", customer_id, reason, who.subject)
                erasure_id = str(asked["erasure_id"])
            decided = await store.decide(
                tx, str(request_id), "confirmed", who.subject, clock.now(), document.note, erasure_id
            )
        wake()
        return _request(decided)

    @router.post("/privacy-requests/{request_id}/refuse", dependencies=[Depends(whole_company)])
    async def refuse_request(request_id: UUID, document: Decision, who: Privacy) -> dict[str, Any]:
        """Nothing happens; the note says why."""
        async with desk.database.transaction() as tx:
            await _open(tx, request_id)
            return _request(
                await store.decide(tx, str(request_id), "refused", who.subject, clock.now(), document.note, None)
            )


async def _asked(tx: Tx, request_id: str, customer_id: str, reason: str, actor: str) -> Row:
    row = await erasures.ask(tx, str(clock.new_id()), request_id, customer_id, reason, actor, clock.now())
    return row if row is not None else await erasures.by_request(tx.connection, request_id)


async def _erased_before(tx: Tx, customer_id: str) -> Row | None:
    """The erasure by which a customer went; None while they are there, NotFound when they never were."""
    if await identity_store.records_of(tx.connection, record_id=customer_id):
        return None
    found = await erasures.earlier(tx, customer_id)
    if found is None:
        raise NotFound(f"There is no customer {customer_id}.")
    return found


async def _told(connection: Any, row: Row) -> dict[str, Any]:
    parts = await erasures.parts(connection, row["erasure_id"])
    notes = await erasures.notes(connection, row["records"])
    return proof.document(row, parts, notes)


async def _open(tx: Tx, request_id: UUID) -> Row:
    row = await store.locked_request(tx, str(request_id))
    if row is None:
        raise NotFound(f"There is no request {request_id}.")
    if row["state"] != "open":
        raise Conflict(f"The request was {row['state']} by {row['decided_by']} before.")
    return row


def _request(row: Row) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in dict(row).items()}

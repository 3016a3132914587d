"""Who has looked at whom, and what is held of somebody? For those who answer for the data."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.profile.api.desk import Desk
from services.profile.api.privacy import Privacy
from services.profile.privacy import exporting
from services.profile.privacy.auditing import shown
from services.profile.privacy.scope import whole_company
from services.profile.store import audit as store
from services.profile.store import identity as identity_store

_Word = Annotated[str | None, Query(max_length=200)]


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/audit", dependencies=[Depends(whole_company)])
    async def list_audit(
        request: Request,
        who: Privacy,
        customer_id: UUID | None = None,
        actor: _Word = None,
        kind: _Word = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        """Who looked at, exported, changed or looked for whom, newest first. That this was read is recorded as well.

        Of a customer with several records those of all of them; of one who was erased those of the record asked for.
        A reason is what the caller said in the header `X-Access-Reason`.
        """
        del who
        before = decode_cursor(cursor, tuple[int])
        async with desk.database.connection() as connection:
            customers = None
            if customer_id is not None:
                records = await identity_store.records_of(connection, record_id=str(customer_id))
                customers = sorted({*records, str(customer_id)})
                shown(request.state, [str(customer_id)])
            rows = await store.page(connection, customers, actor, kind, before[0] if before else None, limit + 1)
        kept, following = page_of(rows, limit, lambda row: (row["number"],))
        return Page(items=[_entry(row) for row in kept], next=following)

    @router.get("/customers/{customer_id}/export", response_class=StreamingResponse)
    async def export_customer(customer_id: UUID, who: Privacy) -> StreamingResponse:
        """Everything that is held of the person in profile, as one JSON document, however long."""
        del who
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
        body = exporting.pieces(desk.database, str(customer_id), records, desk.definitions())
        name = f'attachment; filename="customer-{customer_id}.json"'
        return StreamingResponse(body, media_type="application/json", headers={"Content-Disposition": name})

    return router


def _entry(row: Any) -> dict[str, Any]:
    return {
        "number": row["number"],
        "at": row["at"],
        "actor": row["actor"],
        "kind": row["kind"],
        "what": row["what"],
        "customer_id": None if row["customer_id"] is None else str(row["customer_id"]),
        "reason": row["reason"] or None,
        "branch": row["branch"] or None,
    }

"""How many points has a customer, how did it come to that, and how are some given, taken or put right?"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from libs.common.web import Cursor, Document, IdempotencyKey, Limit, Page, decode_cursor, page_of
from libs.common.web.idempotency import REPLAYED_HEADER
from services.profile.api.desk import Desk, Operator, Reader
from services.profile.api.lists import require_company
from services.profile.points import entry_id, reports
from services.profile.points.asking import OUR_API, POINTS_MAX
from services.profile.store import points_reading as store

Clerk = Annotated[Principal, Depends(requires("operator", "agent"))]
Accountant = Annotated[Principal, Depends(requires("viewer", "marketer", "approver", "operator"))]
Text = Annotated[str, Field(max_length=200)]


class Movement(Document):
    """`points` may be negative to adjust downwards, and be left out to reverse all that is left of an entry.

    What is reversed is named by the id of its entry, or by the id and the source of the event that made it.
    """

    kind: Literal["earn", "grant", "spend", "adjust", "reverse"]
    points: Annotated[int, Field(ge=-POINTS_MAX, le=POINTS_MAX)] | None = None
    business_unit: Text = ""
    partner: Text = ""
    order: Text = ""
    campaign: Text = ""
    reason: Text = ""
    expires_on: date | None = None
    entry: UUID | None = None
    event: Text = ""
    event_source: Text = ""


class Settlement(Document):
    reason: Annotated[str, Field(min_length=1, max_length=200)]


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()
    _add_movements(router, desk)
    _add_reports(router, desk)
    return router


def _add_movements(router: APIRouter, desk: Desk) -> None:
    @router.get("/customers/{customer_id}/points")
    async def read_points(customer_id: UUID, who: Reader) -> dict[str, Any]:
        """What the person has, by business unit, last day and record, and what is open."""
        del who
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
            return await reports.balance(connection, records)

    @router.get("/customers/{customer_id}/points/ledger")
    async def read_ledger(
        customer_id: UUID, who: Reader, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Every entry that came to a record of the person or moved points of theirs, the last written first."""
        del who
        before = decode_cursor(cursor, tuple[datetime, UUID])
        async with desk.database.connection() as connection:
            records = await desk.records(connection, customer_id)
            after = (before[0], str(before[1])) if before else None
            rows = await store.entries_page(connection, records, after, limit + 1)
        items, following = page_of(
            [reports.line(row) for row in rows], limit, lambda e: (e["booked_at"], e["entry_id"])
        )
        return Page(items=items, next=following)

    @router.post("/customers/{customer_id}/points", status_code=201)
    async def move_points(
        customer_id: UUID, document: Movement, who: Clerk, response: Response, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        """Give, take, adjust or reverse points. 409 when there are not enough: nothing has happened then.

        With an Idempotency-Key a repeat gets the first answer, a refusal among them.
        """
        _require_sense(document)
        command_id = str(clock.derived_id("points", who.subject, customer_id, idempotency_key or clock.new_id()))
        name = entry_id(f"{OUR_API}{who.subject}", command_id)
        async with desk.database.connection() as connection:
            await desk.records(connection, customer_id)
            found = await store.entry(connection, name) if idempotency_key else None
        if found is not None:
            response.headers[REPLAYED_HEADER] = "true"
        else:
            body = document.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
            await desk.commands.give(
                str(customer_id), f"{document.kind}_points", body, who.subject, command_id=command_id
            )
        return await _answer(desk, customer_id, name, document)


def _add_reports(router: APIRouter, desk: Desk) -> None:
    @router.get("/points/summary")
    async def read_summary(who: Accountant) -> dict[str, Any]:
        """What each business unit gave, took and owes, from sums that are kept as entries are written."""
        del who
        async with desk.database.connection() as connection:
            return reports.summary(await store.totals(connection), await store.liabilities(connection))

    @router.get("/points/discrepancies")
    async def list_discrepancies(
        who: Clerk,
        state: Annotated[Literal["open", "settled", "written_off"], Query()] = "open",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        """What was spent or taken back without being there, and reversals of what never came, the last first."""
        require_company(who)
        before = decode_cursor(cursor, tuple[datetime, UUID])
        after = (before[0], str(before[1])) if before else None
        async with desk.database.connection() as connection:
            rows = await store.opens_page(connection, state, after, limit + 1)
        found = [reports.discrepancy(row) for row in rows]
        items, following = page_of(found, limit, lambda e: (e["changed_at"], e["entry_id"]))
        return Page(items=items, next=following)

    @router.post("/points/discrepancies/{name}/settle")
    async def settle(name: UUID, document: Settlement, who: Operator) -> dict[str, Any]:
        """Write off what is missing: the company bears it, and it is not made up for by points that come later."""
        require_company(who)
        async with desk.database.connection() as connection:
            found = await store.open_entry(connection, str(name))
        if found is None:
            raise NotFound(f"There is no discrepancy {name}.")
        if found["state"] == "open":
            body = {"entry": str(name), "reason": document.reason}
            await desk.commands.give(str(found["customer_id"]), "settle_points", body, who.subject)
        async with desk.database.connection() as connection:
            row = await store.open_entry(connection, str(name))
        if row is None or row["state"] != "written_off":
            raise Conflict(f"The discrepancy {name} is settled: points made up for it.")
        return reports.discrepancy(row)


def _require_sense(document: Movement) -> None:
    faults = []
    taken_back = document.kind == "reverse"
    if document.points is None and not taken_back:
        faults.append(Fault("/points", "is missing"))
    if document.points is not None and (document.points == 0 or document.points < 0 and document.kind != "adjust"):
        faults.append(Fault("/points", "must be above 0; only an adjustment may be below"))
    if taken_back and document.entry is None and not (document.event and document.event_source):
        faults.append(Fault("/entry", "is missing: name the entry, or `event` and `event_source`"))
    if not taken_back and (document.entry or document.event or document.event_source):
        faults.append(Fault("/entry", "is only for kind reverse"))
    if document.kind == "adjust" and not document.reason.strip():
        faults.append(Fault("/reason", "is missing: say why by hand"))
    if document.expires_on is not None and document.kind in ("spend", "reverse"):
        faults.append(Fault("/expires_on", "is only for points that are given"))
    if faults:
        raise Invalid("the movement makes no sense as it is", faults)


async def _answer(desk: Desk, customer_id: UUID, name: str, document: Movement) -> dict[str, Any]:
    async with desk.database.connection() as connection:
        row = await store.entry(connection, name)
        if row is None:
            raise NotFound(f"There is no customer {customer_id}.")
        records = await desk.records(connection, customer_id)
        held = await reports.balance(connection, records)
    if not _is_of(row, document):
        raise Invalid("This Idempotency-Key was used with another body; take a new key for a new request.")
    if row["status"] == "refused":
        raise Conflict(_REFUSED.get(row["why"], row["why"]).format(points=abs(row["points"]), balance=held["balance"]))
    return {"entry": reports.line(row), **held}


_REFUSED = {
    "short": "There are not enough points: {points} were asked for, and the balance is {balance}.",
    "unknown": "There is no entry of that name.",
    "another customer's": "The entry is another customer's.",
    "not reversible": "Only what was given or spent can be reversed; adjust instead.",
    "reversed": "Nothing of the entry is left to reverse.",
    "refused": "The entry was refused itself.",
    "written off": "The entry was written off.",
}


def _is_of(row: Any, document: Movement) -> bool:
    """Whether an entry is what this document asks for."""
    place = document.business_unit.strip() or (
        f"partner:{document.partner.strip()}" if document.partner.strip() else ""
    )
    same = (row["kind"], row["business_unit"], row["reason"]) == (document.kind, place, document.reason.strip())
    reference = document.order.strip() or document.campaign.strip()
    # An entry that reverses says how much there was to reverse.
    counted = document.kind == "reverse" or row["points"] == document.points
    return same and counted and row["reference"] == reference

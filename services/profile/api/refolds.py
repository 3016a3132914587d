"""How are profiles folded again? One at once, or all of them by a job that can be watched and stopped."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import Conflict, NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, page_of
from services.profile.api.desk import Desk, Operator
from services.profile.refolding import KIND
from services.profile.store import refolds as store

Watcher = Annotated[Principal, Depends(requires("viewer", "operator"))]


class Refold(Document):
    """`verify` compares and changes nothing; `announce` lets rules react to what changes, as if it happened now.

    After definitions were changed, `since` is the `number` that counted before: what follows from newer ones is told.
    """

    verify: bool = False
    announce: bool = False
    since: int | None = Field(None, ge=0, lt=2**31)
    note: str = Field("", max_length=500)


class Job(BaseModel):
    """`differed` counts the customers whose live state was not what their events say."""

    job: int
    state: str
    verify: bool
    announce: bool
    since: int | None
    total: int
    ordered: int
    done: int
    differed: int
    actor: str
    note: str
    created_at: datetime
    ended_at: datetime | None


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.post("/customers/{customer_id}/refold")
    async def refold_customer(customer_id: UUID, who: Operator, response: Response) -> dict[str, Any]:
        """Fold one record again from its timeline; the customer as it is after that."""
        found, response.headers["ETag"] = await desk.ordered(customer_id, KIND, {}, who)
        return found

    @router.post("/refolds", status_code=202)
    async def begin(document: Refold, who: Operator) -> Job:
        """Fold all profiles again, a unit beside the other, while events go on coming in."""
        async with desk.database.transaction() as tx:
            job = await store.begin(
                tx,
                verify=document.verify,
                announce=document.announce,
                since=document.since,
                actor=who.subject,
                note=document.note,
                at=clock.now(),
            )
        return await one(job)

    @router.get("/refolds")
    async def list_jobs(who: Watcher, limit: Limit = 100, cursor: Cursor = None) -> Page[Job]:
        """All jobs, the newest first."""
        del who
        before = decode_cursor(cursor, tuple[int])
        async with desk.database.connection() as connection:
            rows = await store.page(connection, before[0] if before else None, limit + 1)
        items, following = page_of([_job(row) for row in rows], limit, lambda e: (e.job,))
        return Page(items=items, next=following)

    @router.get("/refolds/{job}")
    async def read_job(job: int, who: Watcher) -> Job:
        del who
        return await one(job)

    @router.post("/refolds/{job}/stop")
    async def stop(job: int, who: Operator) -> Job:
        """Order no more customers to be folded; those under way are finished."""
        del who
        found = await one(job)
        async with desk.database.transaction() as tx:
            stopped = await store.stop(tx, job, clock.now())
        if not stopped:
            raise Conflict(f"Refold {job} is {found.state}; only one that runs can be stopped.")
        return await one(job)

    async def one(job: int) -> Job:
        async with desk.database.connection() as connection:
            row = await store.one(connection, job) if job < 2**31 else None
        if row is None:
            raise NotFound(f"There is no refold {job}.")
        return _job(row)

    return router


def _job(row: Row) -> Job:
    finished = row["ordered_at"] is not None and row["done"] >= row["ordered"]
    state = "stopped" if row["stopped_at"] is not None else "finished" if finished else "running"
    ended_at = row["stopped_at"] if state == "stopped" else (row["moved_at"] or row["ordered_at"]) if finished else None
    kept = {name: row[name] for name in Job.model_fields if name not in ("state", "ended_at")}
    return Job(state=state, ended_at=ended_at, **kept)

"""Who has duplicates learned anew, or looked for everywhere again, and how far is that?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from msgspec import Meta
from pydantic import BaseModel, Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, page_of
from services.profile.api.desk import Desk, Operator
from services.profile.duplicates.weights import Weights, bits_of
from services.profile.finder import lessons, rounds
from services.profile.store import lessons as store

Watcher = Annotated[Principal, Depends(requires("viewer", "operator"))]


class Begun(Document):
    note: str = Field("", max_length=500)


class Pass(BaseModel):
    """`marked` of `total` customers have been lined up, `waiting` of them have not been looked at yet."""

    job: int
    state: str
    total: int
    marked: int
    waiting: int
    actor: str
    note: str
    created_at: datetime
    ended_at: datetime | None


class Learning(BaseModel):
    """`version` is that of the weights that were learned; `weights` are in bits, by field and level."""

    job: int
    state: str
    version: int | None
    records: int | None = None
    pairs_compared: int | None = None
    duplicates_per_customer: float | None = None
    weights: dict[str, dict[str, float]] | None = None
    actor: str
    note: str
    created_at: datetime
    ended_at: datetime | None


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/duplicates")
    _add_passes(router, desk)
    _add_learning(router, desk)
    return router


def _add_passes(router: APIRouter, desk: Desk) -> None:
    @router.post("/passes", status_code=202)
    async def begin_pass(document: Begun, who: Operator) -> Pass:
        """Look at all customers again, with the weights and thresholds of now, beside those that change."""
        return _pass(await _begun(desk, rounds.KIND, document, who))

    @router.get("/passes")
    async def list_passes(who: Watcher, limit: Limit = 100, cursor: Cursor = None) -> Page[Pass]:
        """Newest first."""
        del who
        rows, following = await _listed(desk, rounds.KIND, limit, cursor)
        return Page(items=[_pass(row) for row in rows], next=following)

    @router.get("/passes/{job}")
    async def read_pass(job: int, who: Watcher) -> Pass:
        del who
        return _pass(await _one(desk, rounds.KIND, job))


def _add_learning(router: APIRouter, desk: Desk) -> None:
    @router.post("/learning", status_code=202)
    async def begin_learning(document: Begun, who: Operator) -> Learning:
        """Learn from a sample of the customers what agreement is worth; what was learned counts at once.

        Who was looked at before is looked at by it when a pass is ordered.
        """
        return await _learning(desk, await _begun(desk, lessons.KIND, document, who))

    @router.get("/learning")
    async def list_learning(who: Watcher, limit: Limit = 100, cursor: Cursor = None) -> Page[Learning]:
        """Newest first."""
        del who
        rows, following = await _listed(desk, lessons.KIND, limit, cursor)
        return Page(items=[await _learning(desk, row) for row in rows], next=following)

    @router.get("/learning/{job}")
    async def read_learning(job: int, who: Watcher) -> Learning:
        del who
        return await _learning(desk, await _one(desk, lessons.KIND, job), weights=True)


async def _begun(desk: Desk, kind: str, document: Begun, who: Principal) -> Row:
    async with desk.database.transaction() as tx:
        job = await store.begin(tx, kind, who.subject, document.note, clock.now())
        return await store.job(tx.connection, kind, job)


async def _one(desk: Desk, kind: str, job: int) -> Row:
    async with desk.database.connection() as connection:
        row = await store.job(connection, kind, job) if 0 <= job < 2**31 else None
    if row is None:
        raise NotFound(f"There is no {kind} {job}.")
    return row


async def _listed(desk: Desk, kind: str, limit: int, cursor: str | None) -> tuple[list[Row], str | None]:
    before = decode_cursor(cursor, tuple[Annotated[int, Meta(ge=0, le=2**31 - 1)]])
    async with desk.database.connection() as connection:
        rows = await store.jobs_page(connection, kind, before[0] if before else None, limit + 1)
    return page_of(rows, limit, lambda row: (row["job"],))


def _pass(row: Row) -> Pass:
    names = ("job", "total", "marked", "waiting", "actor", "note", "created_at", "ended_at")
    return Pass(state=_state(row), **{name: row[name] for name in names})


async def _learning(desk: Desk, row: Row, *, weights: bool = False) -> Learning:
    names = ("job", "version", "actor", "note", "created_at", "ended_at")
    found: dict[str, Any] = {name: row[name] for name in names}
    if row["version"] is not None:
        async with desk.database.connection() as connection:
            held = await store.weights(connection, row["version"])
        if held is None:
            raise NotFound(f"There are no weights of version {row['version']}.")
        learned: Weights = lessons.decoded_weights(held["body"])
        found |= {
            "records": learned.records,
            "pairs_compared": learned.learned_from,
            "duplicates_per_customer": round(learned.duplicates_per_record, 5),
        }
        if weights:
            found["weights"] = bits_of(learned)
    return Learning(state=_state(row), **found)


def _state(row: Row) -> str:
    return "running" if row["ended_at"] is None else "finished"

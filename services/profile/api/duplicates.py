"""Who is perhaps one person? The queue of those whom a person is to decide about, and the decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import Conflict, NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, page_of
from services.profile import duplicate_views as views
from services.profile.api import duplicate_jobs
from services.profile.api.desk import Desk
from services.profile.api.links import ordered
from services.profile.finder.lessons import Lessons
from services.profile.privacy.auditing import shown
from services.profile.store import duplicates as store
from services.profile.store import identity as identity_store

Looker = Annotated[Principal, Depends(requires("operator", "agent", "privacy"))]
Decider = Annotated[Principal, Depends(requires("agent", "privacy"))]
State = Literal["open", "same", "different", "gone"]


class Decision(Document):
    """`same` links the two; otherwise they are kept apart: nothing automatic joins them, and nobody is asked again."""

    same: bool
    reason: Annotated[str, Field(max_length=500)] = ""


def make_router(desk: Desk, lessons: Lessons) -> APIRouter:
    router = APIRouter(prefix="/v1")
    # Their fixed words come before the ids of pairs.
    router.include_router(duplicate_jobs.make_router(desk))

    @router.get("/duplicates")
    async def list_pairs(
        request: Request, who: Looker, state: State = "open", limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Pairs of customers who are probably one person, the most probable first.

        Whoever is confined to a branch sees those where it is the home of both. Gone are pairs that ceased to be
        probable, or whose people were linked otherwise.
        """
        after = decode_cursor(cursor, tuple[float, str])
        async with desk.database.connection() as connection:
            rows = await store.pairs_page(connection, state, who.branch, after, limit + 1)
            kept, following = page_of(rows, limit, lambda row: (row["odds"], row["pair_id"]))
            items = await views.listed(connection, kept)
        shown(request.state, sorted({customer for item in items for customer in _customers(item)}))
        return Page(items=items, next=following)

    @router.get("/duplicates/{pair_id}")
    async def read_pair(request: Request, pair_id: UUID, who: Looker) -> dict[str, Any]:
        """The two side by side: each field with how far it agrees, and what that weighs in bits, as of now."""
        found = await _read(desk, lessons, pair_id, who)
        shown(request.state, _customers(found))
        return found

    @router.post("/duplicates/{pair_id}/decide")
    async def decide_pair(request: Request, pair_id: UUID, document: Decision, who: Decider) -> dict[str, Any]:
        """Say whether the two are one person; to say the same again changes nothing."""
        found = await _read(desk, lessons, pair_id, who)
        shown(request.state, _customers(found))
        state = "same" if document.same else "different"
        if found["state"] == state:
            return found
        if found["state"] != "open":
            raise Conflict(f"This pair is {found['state']}: only one that is open can be decided.")
        if found["one_person"] and not document.same:
            raise Conflict("The two have been linked meanwhile: take the link back to keep them apart.")
        if not found["one_person"]:
            await _order(desk, found, document, who)
        async with desk.database.transaction() as tx:
            await store.decide(tx, str(pair_id), state, who.subject, document.reason, clock.now())
        return await _read(desk, lessons, pair_id, who)

    return router


async def _read(desk: Desk, lessons: Lessons, pair_id: UUID, who: Principal) -> dict[str, Any]:
    _, weights = await lessons.weights()
    async with desk.database.connection() as connection:
        row: Row | None = await store.pair(connection, str(pair_id))
        found = await views.compared(connection, row, desk.definitions(), weights) if row is not None else None
    if found is None or not all(who.covers(found[side].get("branch")) for side in ("left", "right")):
        raise NotFound(f"There is no pair {pair_id}.")
    return found


def _customers(found: dict[str, Any]) -> list[str]:
    return [found[side]["customer_id"] for side in ("left", "right") if "customer_id" in found[side]]


async def _order(desk: Desk, found: dict[str, Any], document: Decision, who: Principal) -> None:
    one, other = found["left"]["record"], found["right"]["record"]
    if document.same:
        await ordered(desk, UUID(one), who, "link", [other], "", document.reason)
        return
    async with desk.database.connection() as connection:
        records = await identity_store.records_of(connection, record_id=other)
    # Records of two people cannot be taken out of one: the order keeps each of these apart from each of the others.
    await ordered(desk, UUID(one), who, "unlink", records, "", document.reason)

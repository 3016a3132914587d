"""Whose data should be put right, and by which branch? Counts, and the list to work through."""

from __future__ import annotations

import asyncio
import time
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import Forbidden
from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.profile.api.desk import Desk, Reader
from services.profile.quality_rows import PROBLEMS, bit_of_problem, named
from services.profile.store import quality as store

STALE = "stale"
SHOWN_TIMES: Final = 20
"""Counts are shown for so many times as long as counting took, and for a minute at most."""

SHOWN_SECONDS_MAX: Final = 60.0
Problem = Literal[
    "bounced_email",
    "bounced_phone",
    "wrong_email",
    "wrong_phone",
    "wrong_post",
    "missing_contact",
    "missing_consent",
    "stale",
]
Staff = Annotated[Principal, Depends(requires("marketer", "operator", "agent", "privacy"))]
Branch = Annotated[str | None, Query(max_length=200, description="The home branch; empty for those without one.")]


class Counts:
    """What is counted for all branches at once is shown for a while: for that, no more than a small part of the time
    goes into counting, however many customers there are and whoever looks.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._counting = asyncio.Lock()
        self._until = 0.0
        self._found: dict[str, Any] = {}

    async def read(self) -> dict[str, Any]:
        before = _stale_before(self._desk)
        async with self._counting:
            begun = time.perf_counter()
            if begun > self._until or before != self._found["stale_before"]:
                at = clock.now()
                async with self._desk.database.connection() as connection:
                    rows = await store.counts(connection, len(PROBLEMS), before)
                items = [_counted(row) for row in rows]
                self._found = {"stale_before": before, "counted_at": at, "items": items, "next": None}
                seconds = time.perf_counter() - begun
                self._until = begun + min(seconds * SHOWN_TIMES, SHOWN_SECONDS_MAX)
            return self._found


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()
    counts = Counts(desk)

    @router.get("/quality")
    async def read_quality(who: Reader, branch: Branch = None) -> dict[str, Any]:
        """For each branch how many customers it has, and how many of them have which problem, as of `counted_at`."""
        within, found = _within(who, branch), await counts.read()
        if within is None:
            return found
        return found | {"items": [each for each in found["items"] if (each["branch"] or "") == within]}

    @router.get("/quality/customers")
    async def list_customers(
        who: Staff, branch: Branch = None, problem: Problem | None = None, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Whom to ask for what is missing or wrong, in the order of their ids; without `problem` all who have any."""
        after = decode_cursor(cursor, tuple[UUID])
        before = _stale_before(desk)
        bits = sum(bit_of_problem(each) for each in PROBLEMS if problem in (None, each))
        stale = before if problem in (None, STALE) else None
        async with desk.database.connection() as connection:
            rows = await store.page(
                connection, _within(who, branch), bits, stale, str(after[0]) if after else None, limit + 1
            )
        items, following = page_of([_listed(row, before) for row in rows], limit, lambda e: (e["customer_id"],))
        return Page(items=items, next=following)

    return router


def _within(who: Principal, branch: str | None) -> str | None:
    """The branch that is looked at: whoever is confined to one sees that one."""
    if branch is None:
        return who.branch
    if not who.covers(branch):
        raise Forbidden(f"This token is for the branch {who.branch}.")
    return branch


def _stale_before(desk: Desk) -> date:
    definitions = desk.definitions()
    today = date.fromordinal(definitions.day_of(clock.now_ms()))
    return today - timedelta(days=definitions.quality.fresh_days)


def _counted(row: Row) -> dict[str, Any]:
    problems = {name: row[f"p{bit}"] for bit, name in enumerate(PROBLEMS)}
    return {
        "branch": row["branch"] or None,
        "customers": row["customers"],
        "with_problems": row["affected"],
        "problems": problems | {STALE: row["stale"]},
    }


def _listed(row: Row, stale_before: date) -> dict[str, Any]:
    confirmed = row["confirmed_on"]
    stale = [STALE] if confirmed is not None and confirmed < stale_before else []
    return {
        "customer_id": str(row["customer_id"]),
        "branch": row["branch"] or None,
        "problems": named(row["problems"]) + stale,
        "confirmed_on": confirmed,
    }

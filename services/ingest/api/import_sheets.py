"""What do operators ask about the sheets that branches owe?"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AfterValidator, Field

from libs.common import clock, web
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.errors import Forbidden, NotFound
from services.ingest.envelope import BRANCH_LENGTH_MAX, NAME_LENGTH_MAX
from services.ingest.imports import owing
from services.ingest.store import import_sheets
from services.ingest.store import imports as store

READERS = ("viewer", "marketer", "operator")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no time zone such as Asia/Seoul") from None
    return name


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("contains a control character")
    return text


Branch = Annotated[str, Path(min_length=1, max_length=BRANCH_LENGTH_MAX), AfterValidator(_plain)]
Weekday = Annotated[int, Field(ge=1, le=7)]


class Expectation(web.Document):
    """`due` is by the clock of `zone`; `weekdays` count from 1, Monday. An empty `source` allows any."""

    source: Annotated[str, Field(max_length=NAME_LENGTH_MAX), AfterValidator(_plain)] = ""
    due: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["23:30"])
    zone: Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_known_zone)] = "Asia/Seoul"
    weekdays: list[Weekday] = Field(default=[1, 2, 3, 4, 5, 6, 7], min_length=1, max_length=7)
    grace_minutes: int = Field(default=0, ge=0, le=1_440)


class ExpectedSheet(Expectation):
    branch: str


class OwedSheet(web.Document):
    branch: str
    source: str
    sheet_date: date
    due_at: datetime


def make_router(database: Database) -> APIRouter:
    router = APIRouter(prefix="/imports")
    _add_expected(router, database)
    _add_owed(router, database)
    return router


def _add_expected(router: APIRouter, database: Database) -> None:
    @router.put("/expected/{branch:path}")
    async def expect_sheet(
        branch: Branch,
        document: Expectation,
        response: Response,
        principal: Annotated[Principal, Depends(requires("operator"))],
    ) -> ExpectedSheet:
        """Says that this branch sends a sheet of each of these days."""
        expected = owing.Expected(
            branch=branch,
            source=document.source,
            due=time.fromisoformat(document.due),
            zone=document.zone,
            weekdays=tuple(sorted(set(document.weekdays))),
            grace_minutes=document.grace_minutes,
        )
        if not principal.covers(branch):
            raise Forbidden("Your token is for another branch.")
        async with database.connection() as connection:
            created = await import_sheets.put(connection, expected, principal.subject, clock.now())
        response.status_code = 201 if created else 200
        return _shown(expected)

    @router.get("/expected")
    async def list_expected(
        principal: Annotated[Principal, Depends(requires(*READERS))],
        limit: web.Limit = web.PAGE_SIZE_DEFAULT,
        cursor: web.Cursor = None,
    ) -> web.Page[ExpectedSheet]:
        after = web.decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            found = await import_sheets.page(connection, limit + 1, after[0] if after else "")
        kept, following = web.page_of(found, limit, lambda each: (each.branch,))
        return web.Page(items=[_shown(each) for each in kept if principal.covers(each.branch)], next=following)

    @router.delete("/expected/{branch:path}", status_code=204)
    async def expect_no_sheet(
        branch: Branch, principal: Annotated[Principal, Depends(requires("operator"))]
    ) -> Response:
        if not principal.covers(branch):
            raise Forbidden("Your token is for another branch.")
        async with database.connection() as connection:
            found = await import_sheets.drop(connection, branch)
        if not found:
            raise NotFound("No sheet is expected of this branch.")
        return Response(status_code=204)


def _add_owed(router: APIRouter, database: Database) -> None:
    @router.get("/owed")
    async def list_owed(
        principal: Annotated[Principal, Depends(requires(*READERS))],
        date: Annotated[date | None, Query(description="The day; by default the latest one that is due.")] = None,
    ) -> web.Page[OwedSheet]:
        """Branches whose sheet is overdue; the list has one page."""
        now = clock.now()
        async with database.connection() as connection:
            expected = [each for each in await import_sheets.every(connection) if principal.covers(each.branch)]
            days = {date} if date is not None else {owing.day_due(each, now) for each in expected} - {None}
            come = await store.come(connection, sorted(day for day in days if day is not None))
        owed = owing.owed(expected, come, now, date)
        return web.Page(
            items=[
                OwedSheet(branch=each.branch, source=each.source, sheet_date=each.sheet_date, due_at=each.due_at)
                for each in owed
            ]
        )


def _shown(expected: owing.Expected) -> ExpectedSheet:
    return ExpectedSheet(
        branch=expected.branch,
        source=expected.source,
        due=expected.due.strftime("%H:%M"),
        zone=expected.zone,
        weekdays=list(expected.weekdays),
        grace_minutes=expected.grace_minutes,
    )

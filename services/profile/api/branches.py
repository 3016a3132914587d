"""How is the company organised? Head office, regions, branches, and who works there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from libs.common.db import Row, Tx
from libs.common.errors import Fault
from libs.common.web import Cursor, Limit, Page
from services.profile.api import lists
from services.profile.api.desk import Desk
from services.profile.api.lists import CodePath, Keeper, Reader
from services.profile.reference.documents import PlaceFacts, PlaceLine, StaffFacts, StaffLine, parent_fault
from services.profile.reference.lines import Line
from services.profile.store import reference as store
from services.profile.store.reference import HOURS_JOIN, PLACES, STAFF

Beginning = Annotated[str, Query(max_length=200)]


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()
    _add_places(router, desk)
    _add_staff(router, desk)
    return router


def _add_places(router: APIRouter, desk: Desk) -> None:
    database = desk.database

    @router.get("/branches")
    async def list_branches(
        who: Reader,
        kind: Annotated[Literal["head_office", "region", "branch"] | None, Query()] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        """Places of all kinds in the order of their codes."""
        del who
        where = [("kind", kind)] if kind else []
        return await lists.listed(database, PLACES, _place, limit, cursor, where)

    @router.post("/branches")
    async def write_branches(request: Request, who: Keeper) -> dict[str, Any]:
        """Many at once, as NDJSON or CSV, where hours have `;` between them. A place above may come in a later line."""
        return await lists.bulk(
            database, PLACES, request, PlaceLine, _place_row, who, _look_at_places, ["opening_hours"]
        )

    @router.get("/branches/{code:path}")
    async def read_branch(code: CodePath, who: Reader) -> dict[str, Any]:
        """One place, with those above it, the nearest first."""
        del who
        found = _place(await lists.found(database, PLACES, code))
        async with database.connection() as connection:
            above = await store.above(connection, code)
        return found | {"above": [{name: row[name] for name in ("code", "kind", "name")} for row in above[1:]]}

    @router.put("/branches/{code:path}")
    async def write_branch(code: CodePath, document: PlaceFacts, who: Keeper) -> dict[str, Any]:
        line = Line(1, PlaceLine(code=code, **document.model_dump()))
        return _place(await lists.put(database, PLACES, line, _place_row, who, _look_at_places))

    @router.delete("/branches/{code:path}", status_code=204)
    async def remove_branch(code: CodePath, who: Keeper) -> None:
        """What lies beneath stays, and belongs to no place above until it is written anew."""
        await lists.drop(database, PLACES, code, who)


def _add_staff(router: APIRouter, desk: Desk) -> None:
    database = desk.database

    @router.get("/staff")
    async def list_staff(
        who: Reader, branch: Beginning = "", limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        del who
        where = [("place", branch)] if branch else []
        return await lists.listed(database, STAFF, _staff, limit, cursor, where)

    @router.post("/staff")
    async def write_staff(request: Request, who: Keeper) -> dict[str, Any]:
        """Many at once, as NDJSON or CSV: code, name, job, branch."""
        return await lists.bulk(database, STAFF, request, StaffLine, _staff_row, who, _look_at_staff)

    @router.get("/staff/{code:path}")
    async def read_staff(code: CodePath, who: Reader) -> dict[str, Any]:
        del who
        return _staff(await lists.found(database, STAFF, code))

    @router.put("/staff/{code:path}")
    async def write_one_of_staff(code: CodePath, document: StaffFacts, who: Keeper) -> dict[str, Any]:
        line = Line(1, StaffLine(code=code, **document.model_dump()))
        return _staff(await lists.put(database, STAFF, line, _staff_row, who, _look_at_staff))

    @router.delete("/staff/{code:path}", status_code=204)
    async def remove_staff(code: CodePath, who: Keeper) -> None:
        """Those who left stay in the histories of customers, by their code."""
        await lists.drop(database, STAFF, code, who)


async def _look_at_places(tx: Tx, lines: list[Line[PlaceLine]]) -> None:
    """Each has what is above it, there or in the same body, and none lies beneath itself."""
    kinds, parents = {}, {}
    for row in await store.all_of(tx.connection, PLACES):
        kinds[row["code"]], parents[row["code"]] = row["kind"], row["parent"]
    given = [each for each in lines if each.document is not None and not each.faults]
    for each in given:
        assert each.document is not None
        kinds[each.document.code], parents[each.document.code] = each.document.kind, each.document.parent
    for each in given:
        assert each.document is not None
        fault = parent_fault(each.document.code, each.document, kinds, parents)
        if fault is not None:
            each.faults = [fault]


async def _look_at_staff(tx: Tx, lines: list[Line[StaffLine]]) -> None:
    wanted = {each.document.branch for each in lines if each.document is not None and each.document.branch}
    known = await store.existing(tx.connection, PLACES, sorted(wanted))
    for each in lines:
        if each.document is not None and each.document.branch and each.document.branch not in known:
            each.faults = [*each.faults, Fault("/branch", f"there is no place {each.document.branch!r}")]


def _place_row(document: PlaceLine) -> tuple[Any, ...]:
    return (
        *(document.code, document.name, document.kind, document.parent, document.zone, document.ownership),
        HOURS_JOIN.join(document.opening_hours),
    )


def _staff_row(document: StaffLine) -> tuple[Any, ...]:
    return document.code, document.name, document.job, document.branch


def _place(row: Row) -> dict[str, Any]:
    names = ("code", "name", "kind", "zone", "ownership", "opening_hours", "actor", "changed_at")
    return {name: row[name] for name in names} | {"parent": row["parent"] or None}


def _staff(row: Row) -> dict[str, Any]:
    found = {name: row[name] for name in ("code", "name", "job", "actor", "changed_at")}
    return found | {"branch": row["place"] or None}

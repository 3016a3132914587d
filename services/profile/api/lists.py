"""How are lists of reference data read and written over HTTP? What products, places and staff have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request
from pydantic import BaseModel

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Database, Row, Tx
from libs.common.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from libs.common.web import Page, decode_cursor, page_of
from services.profile.reference.catalogue import PRODUCTS_MAX
from services.profile.reference.documents import CODE
from services.profile.reference.lines import FAULTS_SHOWN_MAX, Line, read_lines
from services.profile.store import reference as store
from services.profile.store.reference import Table

Reader = Annotated[Principal, Depends(requires("viewer", "marketer", "approver", "operator", "agent", "privacy"))]
Keeper = Annotated[Principal, Depends(requires("marketer", "operator"))]
CodePath = Annotated[
    str, Path(min_length=1, max_length=200, pattern=CODE, description="The code that events name it by.")
]

D = TypeVar("D", bound=BaseModel)
RowOf = Callable[[Any], tuple[Any, ...]]
"""The columns of a document, the code first."""

Looked = Callable[[Tx, list[Line[Any]]], Any]
"""Puts faults on lines that do not fit to what is there."""


def require_company(who: Principal) -> None:
    """What concerns all branches is not for somebody who is confined to one."""
    if who.branch is not None:
        raise Forbidden(f"This concerns the whole company, and the token is confined to the branch {who.branch}.")


async def listed(
    database: Database,
    table: Table,
    shown: Callable[[Row], dict[str, Any]],
    limit: int,
    cursor: str | None,
    where: Sequence[tuple[str, str]] = (),
) -> Page[dict[str, Any]]:
    after = decode_cursor(cursor, tuple[str])
    async with database.connection() as connection:
        rows = await store.page(connection, table, after[0] if after else "", limit + 1, where=where)
    items, following = page_of([shown(row) for row in rows], limit, lambda e: (e["code"],))
    return Page(items=items, next=following)


async def found(database: Database, table: Table, code: str) -> Row:
    async with database.connection() as connection:
        row = await store.one(connection, table, code)
    if row is None:
        raise NotFound(f"There is no {table.kind} {code!r}.")
    return row


async def put(database: Database, table: Table, line: Line[D], row_of: RowOf, who: Principal, look: Looked) -> Row:
    """Write one; Invalid when it does not fit."""
    require_company(who)
    assert line.document is not None
    row = row_of(line.document)
    async with database.transaction() as tx:
        change = await store.next_number(tx)
        await look(tx, [line])
        if line.faults:
            raise Invalid(f"the {table.kind} does not fit to what is there", line.faults)
        await store.upsert(tx, table, [row], who.subject, clock.now(), change)
        await _require_room(tx, table)
    return await found(database, table, row[0])


async def drop(database: Database, table: Table, code: str, who: Principal) -> None:
    require_company(who)
    async with database.transaction() as tx:
        change = await store.next_number(tx)
        if not await store.remove(tx, table, code, who.subject, clock.now(), change):
            raise NotFound(f"There is no {table.kind} {code!r}.")


async def bulk(
    database: Database,
    table: Table,
    request: Request,
    document: type[D],
    row_of: RowOf,
    who: Principal,
    look: Looked,
    lists: Sequence[str] = (),
) -> dict[str, Any]:
    """Write all lines that are right, and say what is wrong with each of the others; of one code the last counts."""
    require_company(who)
    lines = read_lines(request.headers.get("content-type", ""), await request.body(), document, lists)
    changed = 0
    async with database.transaction() as tx:
        change = await store.next_number(tx)
        await look(tx, lines)
        rows = {row[0]: row for each in lines if not each.faults for row in [row_of(each.document)]}
        if rows:
            changed = await store.upsert(tx, table, list(rows.values()), who.subject, clock.now(), change)
            await _require_room(tx, table)
    return {"lines": len(lines), "changed": changed, **refused(lines)}


def refused(lines: Sequence[Line[Any]]) -> dict[str, Any]:
    """How many lines were not taken, and why the first of them."""
    wrong = [each for each in lines if each.faults]
    errors = [{"line": each.number, **_said(fault)} for each in wrong for fault in each.faults]
    return {"refused": len(wrong), "errors": errors[:FAULTS_SHOWN_MAX]}


def _said(fault: Fault) -> dict[str, str]:
    return {"pointer": fault.pointer, "detail": fault.detail}


async def _require_room(tx: Tx, table: Table) -> None:
    if table is store.PRODUCTS and await store.count(tx.connection, table) > PRODUCTS_MAX:
        raise Conflict(f"There would be more than {PRODUCTS_MAX} products; remove those that are not sold any more.")


async def nothing_to_look_at(tx: Tx, lines: list[Line[Any]]) -> None:
    del tx, lines

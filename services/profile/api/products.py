"""Which products are there, and which codes did events name that stand for nothing?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from libs.common.db import Row
from libs.common.web import Cursor, Limit, Page, decode_cursor, page_of
from services.profile.api import lists
from services.profile.api.desk import Desk
from services.profile.api.lists import CodePath, Keeper, Reader
from services.profile.reference.documents import ProductFacts, ProductLine
from services.profile.reference.lines import Line
from services.profile.store import reference as store
from services.profile.store.reference import PRODUCTS


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()
    database = desk.database

    @router.get("/products")
    async def list_products(
        who: Reader,
        category: Annotated[str, Query(max_length=500, description="The beginning of the way in the tree.")] = "",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        del who
        where = [("category", category)] if category else []
        return await lists.listed(database, PRODUCTS, _shown, limit, cursor, where)

    @router.post("/products")
    async def write_products(request: Request, who: Keeper) -> dict[str, Any]:
        """Many at once, as NDJSON or CSV: code, name, category (food/bakery/bread), brand, margin."""
        return await lists.bulk(database, PRODUCTS, request, ProductLine, _row, who, lists.nothing_to_look_at)

    @router.get("/products/{code:path}")
    async def read_product(code: CodePath, who: Reader) -> dict[str, Any]:
        del who
        return _shown(await lists.found(database, PRODUCTS, code))

    @router.put("/products/{code:path}")
    async def write_product(code: CodePath, document: ProductFacts, who: Keeper) -> dict[str, Any]:
        line = Line(1, ProductLine(code=code, **document.model_dump()))
        return _shown(await lists.put(database, PRODUCTS, line, _row, who, lists.nothing_to_look_at))

    @router.delete("/products/{code:path}", status_code=204)
    async def remove_product(code: CodePath, who: Keeper) -> None:
        await lists.drop(database, PRODUCTS, code, who)

    @router.get("/unknown-codes")
    async def list_unknown(
        who: Reader,
        kind: Annotated[Literal["product", "place", "staff"], Query()] = "product",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[dict[str, Any]]:
        """Codes that events named and nobody has told us of, with how many events did; gone when they are written."""
        del who
        after = decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            rows = await store.unknown_page(connection, kind, after[0] if after else "", limit + 1)
        items, following = page_of([dict(row) for row in rows], limit, lambda e: (e["code"],))
        return Page(items=items, next=following)

    return router


def _row(document: ProductLine) -> tuple[Any, ...]:
    return document.code, document.name, document.category, document.brand, document.margin


def _shown(row: Row) -> dict[str, Any]:
    found = {name: row[name] for name in ("code", "name", "category", "brand", "actor", "changed_at")}
    return found | {"margin": None if row["margin"] is None else float(row["margin"])}

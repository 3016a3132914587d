"""How do traits from outside come to customers, by which licence, and how many of them were known?"""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import Fault, Invalid, NotFound
from libs.common.events import CommandIssued
from libs.common.web import Cursor, IdempotencyKey, Limit, Page, decode_cursor, page_of
from services.profile.api import lists
from services.profile.api.desk import Desk
from services.profile.identity import Table
from services.profile.reference import deliveries
from services.profile.reference.deliveries import Match, TraitLine
from services.profile.reference.lines import read_lines
from services.profile.store import enrichments as store
from services.profile.store.commands import KEPT_DAYS
from services.profile.store.enrichments import Delivery

Supplier = Annotated[Principal, Depends(requires("marketer", "privacy"))]
Looker = Annotated[Principal, Depends(requires("viewer", "marketer", "approver", "operator", "privacy"))]
Text = Annotated[str, Query(min_length=1, max_length=200)]


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.post("/enrichments", status_code=202)
    async def enrich(
        request: Request,
        who: Supplier,
        source: Text,
        licence: Text,
        expires_on: Annotated[date, Query(description="The last day on which it may be used.")],
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        """Traits of many people, as NDJSON (identifiers and traits) or CSV. Who is not known here stays unknown.

        Each line whose customer is known becomes an event of that customer. With an Idempotency-Key a delivery that
        is sent again has no second effect.
        """
        lists.require_company(who)
        _require_future(expires_on, desk)
        body = await request.body()
        name = str(clock.derived_id("enrichment", who.subject, idempotency_key or clock.new_id()))
        lines = read_lines(request.headers.get("content-type", ""), body, TraitLine)
        meant = deliveries.meant_by(lines, desk.region, Table(desk.definitions().identity))
        async with desk.database.connection() as connection:
            found = deliveries.matches(name, meant, await _records(connection, meant))
        conditions = {"source": source, "licence": licence, "expires_on": expires_on.isoformat()}
        digest = hashlib.sha256(msgspec.json.encode(conditions) + body).hexdigest()
        delivery = _delivery(name, conditions, who.subject, len(lines), len(meant), found, digest)
        await _keep(desk, delivery)
        await desk.commands.send(_commands(found, conditions | {"enrichment": name}, who.subject))
        return await _shown(desk, name) | lists.refused(lines)

    @router.get("/enrichments")
    async def list_enrichments(who: Looker, limit: Limit = 100, cursor: Cursor = None) -> Page[dict[str, Any]]:
        """Deliveries and their match rates, the last first."""
        del who
        before = decode_cursor(cursor, tuple[datetime, UUID])
        after = (before[0], str(before[1])) if before else None
        async with desk.database.connection() as connection:
            rows = await store.page(connection, after, limit + 1)
        found = [_line(row) for row in rows]
        items, following = page_of(found, limit, lambda e: (e["received_at"], e["enrichment_id"]))
        return Page(items=items, next=following)

    @router.get("/enrichments/{enrichment_id}")
    async def read_enrichment(enrichment_id: UUID, who: Looker) -> dict[str, Any]:
        """One delivery, and how many of its lines are in the profiles by now; null when that is no longer known."""
        del who
        return await _shown(desk, str(enrichment_id))

    return router


def _require_future(expires_on: date, desk: Desk) -> None:
    if expires_on.toordinal() < desk.definitions().day_of(clock.now_ms()):
        raise Invalid("what has expired is not taken in", [Fault("/expires_on", "is over")])


async def _records(connection: Any, meant: list[deliveries.Meant]) -> dict[str, str]:
    keys = sorted({key for each in meant for key in each.keys})
    ids = [key.removeprefix("customer_id:") for key in keys if key.startswith("customer_id:") and len(key) == 48]
    return await store.records_by_key(connection, keys, [each for each in ids if _is_uuid(each)])


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _delivery(
    name: str, conditions: dict[str, str], actor: str, lines: int, meant: int, found: list[Match], digest: str
) -> Delivery:
    return Delivery(
        name,
        conditions["source"],
        conditions["licence"],
        date.fromisoformat(conditions["expires_on"]),
        actor,
        clock.now(),
        lines,
        len(found),
        meant - len(found),
        lines - meant,
        len({each.customer_id for each in found}),
        msgspec.json.encode(deliveries.counted(found)).decode(),
        digest,
    )


async def _keep(desk: Desk, delivery: Delivery) -> None:
    """Before the orders go out, so that none of them is without its delivery."""
    async with desk.database.transaction() as tx:
        if await store.add(tx, delivery) != delivery.digest:
            raise Invalid("This Idempotency-Key was used with another body; take a new key for a new request.")


def _commands(found: list[Match], conditions: dict[str, str], actor: str) -> list[CommandIssued]:
    now = clock.now()
    return [
        CommandIssued(
            each.command_id,
            each.customer_id,
            "enrich",
            msgspec.Raw(msgspec.json.encode({"traits": each.traits, **conditions})),
            actor,
            now,
        )
        for each in found
    ]


async def _shown(desk: Desk, name: str) -> dict[str, Any]:
    async with desk.database.connection() as connection:
        row = await store.one(connection, name)
        if row is None:
            raise NotFound(f"There is no enrichment {name}.")
        forgotten = row["received_at"] < clock.now() - timedelta(days=KEPT_DAYS)
        wanted = [deliveries.command_id(name, place) for place in range(row["lines"])]
        applied = None if forgotten else await store.applied(connection, wanted)
    return _line(row) | {"applied": applied}


def _line(row: Row) -> dict[str, Any]:
    names = ("source", "licence", "expires_on", "actor", "received_at")
    counts = ("lines", "matched", "unmatched", "refused", "customers")
    usable = row["matched"] + row["unmatched"]
    return {
        "enrichment_id": str(row["enrichment_id"]),
        **{name: row[name] for name in names + counts},
        "match_rate": round(row["matched"] / usable, 4) if usable else None,
        "traits": msgspec.json.decode(row["traits"]),
    }

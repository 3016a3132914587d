"""What can be asked of profile over HTTP? Look a customer up, read the timeline, correct a trait or a consent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.errors import Fault, Invalid, NotCaughtUp, NotFound, Stale
from libs.common.events import CHANNELS_OF_CONTACT, IDENTIFIER_TYPES, CommandIssued
from libs.common.kafka import Publisher, Record
from libs.common.topics import COMMAND_ISSUED, partition_of
from libs.common.web import (
    Cursor,
    Document,
    IfMatch,
    Limit,
    Page,
    decode_cursor,
    etag,
    expected_version,
    page_of,
)
from services.profile import reading, store
from services.profile.normal import normalised

EFFECT_SECONDS_MAX = 2.0

Reader = Annotated[Principal, Depends(requires("viewer", "marketer", "approver", "operator", "agent", "privacy"))]
Editor = Annotated[Principal, Depends(requires("agent", "privacy"))]
Operator = Annotated[Principal, Depends(requires("operator"))]


class Traits(Document):
    traits: dict[str, str | int | float | bool | None]


class Consents(Document):
    channels: list[str]
    granted: bool


class Commands:
    """Orders to the owner of a customer: published on its topic, applied in its unit, awaited for a while."""

    def __init__(self, publisher: Publisher, database: Database, partitions: int) -> None:
        self._publisher = publisher
        self._database = database
        self._partitions = partitions

    async def give(
        self, customer_id: str, kind: str, body: Mapping[str, Any], actor: str, if_version: int | None
    ) -> int:
        """The profile's version after the effect. Stale, NotFound, or NotCaughtUp when it takes too long."""
        command_id = str(clock.new_id())
        command = CommandIssued(
            command_id,
            customer_id,
            kind,
            msgspec.Raw(msgspec.json.encode(body)),
            actor,
            clock.now(),
            if_version,
        )
        key = customer_id.encode()
        unit = partition_of(key, self._partitions)
        await self._publisher.publish([Record(COMMAND_ISSUED.name, unit, key, msgspec.json.encode(command))])
        outcome, version = await self._outcome(command_id)
        if outcome == "stale":
            raise Stale(f"The profile is at version {version} now. Read it again and repeat the change.")
        if outcome == "unknown":
            raise NotFound(f"There is no customer {customer_id}.")
        return version

    async def _outcome(self, command_id: str) -> tuple[str, int]:
        try:
            async with asyncio.timeout(EFFECT_SECONDS_MAX):
                while True:
                    async with self._database.connection() as connection:
                        found = await store.command_outcome(connection, command_id)
                    if found is not None:
                        return found
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NotCaughtUp(
                f"The change is accepted as {command_id} and will be applied; it is not visible yet."
            ) from None


def make_router(database: Database, commands: Commands, region: str) -> APIRouter:
    router = APIRouter(prefix="/v1")
    _add_readers(router, database, region)
    _add_editors(router, database, commands)
    return router


def _add_readers(router: APIRouter, database: Database, region: str) -> None:
    @router.get("/customers")
    async def find_customers(request: Request, who: Reader) -> Page[dict[str, Any]]:
        """The customer that an identifier belongs to: `?phone=…`, `?email=…`, `?loyalty_card=…`, `?partner:x=…`."""
        del who
        found = []
        for key in _identifier_keys(request.query_params, region):
            async with database.connection() as connection:
                records = await store.records_of(connection, key=key)
                if records:
                    found.append(await reading.customer(connection, records[0], records))
        return Page(items=list({each["customer_id"]: each for each in found}.values()))

    @router.get("/customers/{customer_id}")
    async def read_customer(customer_id: UUID, who: Reader, response: Response) -> dict[str, Any]:
        del who
        async with database.connection() as connection:
            records = await _records(connection, customer_id)
            found = await reading.customer(connection, str(customer_id), records)
        response.headers["ETag"] = etag(found["version"])
        return found

    @router.get("/customers/{customer_id}/timeline")
    async def read_timeline(
        customer_id: UUID, who: Reader, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Everything that happened to the person, newest first."""
        del who
        before = decode_cursor(cursor, tuple[datetime, str])
        async with database.connection() as connection:
            records = await _records(connection, customer_id)
            rows = await store.timeline_page(connection, records, before, limit + 1)
        items, following = page_of([reading.line(row) for row in rows], limit, lambda e: (e["time"], e["id"]))
        return Page(items=items, next=following)

    @router.get("/conflicts")
    async def list_conflicts(who: Operator, limit: Limit = 100, cursor: Cursor = None) -> Page[dict[str, Any]]:
        """Events that came with the id of another event and another body: kept, without effect, newest first."""
        del who
        before = decode_cursor(cursor, tuple[datetime])
        async with database.connection() as connection:
            rows = await store.conflicts_page(connection, before[0] if before else None, limit + 1)
        items, following = page_of([reading.conflict(row) for row in rows], limit, lambda e: (e["at"],))
        return Page(items=items, next=following)


def _add_editors(router: APIRouter, database: Database, commands: Commands) -> None:
    @router.patch("/customers/{customer_id}/traits")
    async def set_traits(
        customer_id: UUID, document: Traits, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Correct what is known; If-Match with the profile's ETag makes sure that nothing is overwritten unread."""
        return await obeyed(customer_id, "set_traits", document.traits, who, if_match, response)

    @router.put("/customers/{customer_id}/consents")
    async def set_consents(
        customer_id: UUID, document: Consents, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        _require_channels(document.channels)
        kind = "give_consent" if document.granted else "withdraw_consent"
        return await obeyed(customer_id, kind, {"channels": document.channels}, who, if_match, response)

    async def obeyed(
        customer_id: UUID,
        kind: str,
        body: Mapping[str, Any],
        who: Principal,
        if_match: str | None,
        to: Response,
    ) -> dict[str, Any]:
        expected = expected_version(if_match) if if_match is not None else None
        async with database.connection() as connection:
            await _records(connection, customer_id)
        version = await commands.give(str(customer_id), kind, body, who.subject, expected)
        to.headers["ETag"] = etag(version)
        async with database.connection() as connection:
            return await reading.customer(connection, str(customer_id), await _records(connection, customer_id))


async def _records(connection: Any, customer_id: UUID) -> list[str]:
    records = await store.records_of(connection, record_id=str(customer_id))
    if not records:
        raise NotFound(f"There is no customer {customer_id}.")
    return records


def _identifier_keys(query: Mapping[str, str], region: str) -> list[str]:
    unknown = [name for name in query if name not in IDENTIFIER_TYPES and not name.startswith("partner:")]
    if unknown or not query:
        what = f"{unknown[0]!r} is no type of identifier" if unknown else "there is no identifier"
        types = ", ".join(IDENTIFIER_TYPES)
        raise Invalid(f"{what}; ask with one of {types} or partner:<name>", [Fault("", what)])
    return [f"{kind}:{value}" for kind, value in normalised(dict(query), region).items()]


def _require_channels(channels: list[str]) -> None:
    faults = [
        Fault(f"/channels/{at}", f"{channel!r} is no channel; there are {', '.join(CHANNELS_OF_CONTACT)}")
        for at, channel in enumerate(channels)
        if channel not in CHANNELS_OF_CONTACT
    ]
    if faults or not channels:
        raise Invalid("name at least one known channel", faults or [Fault("/channels", "is empty")])

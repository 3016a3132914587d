"""How are event types and their schemas shown? Rows and what ships, put together into documents."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Response

from libs.common import web
from libs.common.db import Row
from libs.common.errors import NotFound
from services.ingest.api.schema_documents import EventType, FullType
from services.ingest.schemas import kinds
from services.ingest.schemas.standard import SUBJECT, description_of, standard, subjects_in, subjects_of
from services.ingest.store import schemas as store


async def types_after(connection: Any, own: bool, name: str, limit: int) -> list[EventType]:
    found: list[EventType] = []
    if not own:
        added = {row["name"]: row for row in await store.some_types(connection, list(standard()))}
        found = [_standard_type(each, added.get(each)) for each in standard() if each > name][:limit]
        name = ""
    if len(found) < limit:
        # Those that add to a standard type are among them; they have been named already.
        rows = await store.own_types(connection, limit - len(found), name, list(standard()))
        found += [
            EventType(
                type=row["name"],
                description=row["description"],
                standard=False,
                version=row["version"],
                subject=list(subjects_in(msgspec.json.decode(row["subject"] or "null"))),
            )
            for row in rows
        ]
    return found


def _standard_type(name: str, row: Row | None) -> EventType:
    shipped = standard()[name]
    return EventType(
        type=name,
        description=description_of(shipped),
        standard=True,
        version=0 if row is None else row["version"],
        subject=list(subjects_of(shipped)),
    )


async def full_type(connection: Any, name: str) -> FullType:
    """A type as it counts now; NotFound when nobody knows it."""
    row = await store.one_type(connection, name)
    shipped = standard().get(name)
    if row is None and shipped is None and not kinds.in_family(name):
        raise NotFound("There is no event type of this name.")
    whole = None if shipped is None else dict(shipped.document)
    if row is None:
        description = "A type of a family, known by its prefix." if shipped is None else description_of(shipped)
        return FullType(
            type=name, description=description, standard=shipped is not None, version=0,
            schema_=whole, standard_schema=whole, subject=list(subjects_of(shipped)),
        )  # fmt: skip
    own = read_schema(row["schema"])
    return FullType(
        type=name,
        description=row["description"] if shipped is None else row["description"] or description_of(shipped),
        standard=shipped is not None,
        version=row["version"],
        schema_=own,
        standard_schema=whole,
        subject=list(subjects_in((whole or own or {}).get(SUBJECT))),
        compatibility=row["compatibility"],
        note=row["note"],
        created_by=row["created_by"],
        created_at=row["created_at"],
    )


def read_schema(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])


def marked(response: Response, found: FullType) -> FullType:
    response.headers["ETag"] = web.etag(found.version)
    return found

"""What is defined about customers, who defined it when and why, and how is it changed?"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import DangolError, Forbidden, NotFound, Stale
from libs.common.web import Cursor, Document, IfMatch, Limit, Page, decode_cursor, etag, expected_version, page_of
from services.profile.api.definition_subjects import SUBJECTS, checked, document_of
from services.profile.api.desk import Desk, Reader
from services.profile.defining import Defining, shapes
from services.profile.store import definitions as store

Writer = Annotated[Principal, Depends(requires("marketer", "operator", "privacy"))]
_VERSION_MAX = 2**31 - 1


class Definition(Document):
    """`body` is the whole definition: what is not named in it is as shipped."""

    body: dict[str, Any]
    note: Annotated[str, Field(max_length=1_000, description="Why it is changed.")] = ""


class _Below(NamedTuple):
    version: int


def make_router(desk: Desk, defining: Defining) -> APIRouter:
    router = APIRouter(prefix="/definitions")
    documents = {subject: document_of(shape) for subject, shape in shapes().items() if subject in SUBJECTS}

    @router.get("")
    async def list_definitions(who: Reader) -> Page[dict[str, Any]]:
        """All subjects, and the version of each that counts; version 0 is what is shipped."""
        del who
        async with desk.database.connection() as connection:
            known = {row["subject"]: row for row in await store.all_newest(connection)}
        return Page(items=[_shown(subject, known.get(subject)) for subject in sorted(documents)])

    @router.get("/{subject}")
    async def read_definition(subject: str, who: Reader, response: Response) -> dict[str, Any]:
        """What counts now, and in which form it may be written."""
        del who
        _require_known(subject)
        async with desk.database.connection() as connection:
            row = await store.newest(connection, subject)
        found = _shown(subject, row)
        response.headers["ETag"] = etag(found["version"])
        return {**found, "schema": documents[subject].model_json_schema()}

    @router.put("/{subject}")
    async def change_definition(
        subject: str, document: Definition, who: Writer, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Counts within a second: for each customer from their next event on, for all with a refold."""
        _require_known(subject)
        _require_editor(subject, who)
        after = expected_version(if_match)
        body = msgspec.json.encode(checked(subject, documents[subject], document.body))
        async with desk.database.transaction() as tx:
            row = await store.add(tx, subject, after, body, who.subject, clock.now(), document.note)
            if row is None:
                raise Stale("The definition has changed since it was read. Read it again and repeat the change.")
        await _count_at_once(defining)
        response.headers["ETag"] = etag(row["version"])
        return _shown(subject, row)

    @router.get("/{subject}/versions")
    async def list_versions(
        subject: str, who: Reader, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Who defined what, when and why; newest first."""
        del who
        _require_known(subject)
        place = decode_cursor(cursor, _Below)
        below = _VERSION_MAX if place is None else max(0, min(place.version, _VERSION_MAX))
        async with desk.database.connection() as connection:
            rows = await store.versions_page(connection, subject, below, limit + 1)
        kept, following = page_of(rows, limit, lambda row: (row["version"],))
        return Page(items=[_shown(subject, row) for row in kept], next=following)

    return router


def _require_known(subject: str) -> None:
    if subject not in SUBJECTS:
        raise NotFound(f"There is no such subject; there are {', '.join(sorted(SUBJECTS))}.")


def _require_editor(subject: str, who: Principal) -> None:
    editors = SUBJECTS[subject].editors
    if not who.has(*editors):
        raise Forbidden(f"To change what is defined of {subject} needs the role {' or '.join(editors)}.")


async def _count_at_once(defining: Defining) -> None:
    """Where the order was taken; the other processes notice by themselves within a second."""
    try:
        await defining.refresh()
    except DangolError:
        # The order is committed. To answer with an error would be a lie.
        return


def _shown(subject: str, row: Row | None) -> dict[str, Any]:
    """Bodies are shown whole: what is shipped today may be another tomorrow, and is written out with each version."""
    if row is None:
        return {
            "subject": subject,
            "version": 0,
            "number": 0,
            "body": msgspec.to_builtins(shapes()[subject]()),
            "at": None,
            "actor": None,
            "note": "As shipped.",
        }
    return {
        "subject": subject,
        "version": row["version"],
        "number": row["number"],
        "body": msgspec.json.decode(row["body"]),
        "at": row["at"],
        "actor": row["actor"],
        "note": row["note"],
    }

"""In which words are customers asked for their consent? Texts that are only ever added to, version by version."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, Field

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Row
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from libs.common.events import CHANNELS_OF_CONTACT
from libs.common.web import Cursor, Document, IfMatch, Limit, Page, decode_cursor, etag, page_of, require_match
from services.profile import consent_views as views
from services.profile.api.consents import PurposeName
from services.profile.api.desk import Desk, Reader
from services.profile.store import consents as store

Writer = Annotated[Principal, Depends(requires("privacy"))]
Warden = Annotated[Principal, Depends(requires("operator", "privacy"))]
WordingId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
VERSION_MAX = 10**9 - 1
Version = Annotated[int, Path(ge=1, le=VERSION_MAX)]

YEARS = (1900, 2200)
LIST_OF_UNKNOWN = "unknown"
"""The name of the report; no wording may be called so."""


class Wording(Document):
    """What a customer is shown; `valid_from` is when it was, or will be, first used: by default now."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Such as ko or en-GB.")]
    purpose: PurposeName = "marketing"
    channels: list[str]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    valid_from: AwareDatetime | None = None


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/consent-wordings")

    @router.get("")
    async def list_wordings(who: Reader, limit: Limit = 100, cursor: Cursor = None) -> Page[dict[str, Any]]:
        """The newest version of each wording, by id."""
        del who
        after = decode_cursor(cursor, tuple[str])
        async with desk.database.connection() as connection:
            rows = await store.wordings_page(connection, after[0] if after else "", limit + 1)
        kept, following = page_of(rows, limit, lambda row: (row["wording_id"],))
        return Page(items=[views.wording(row) for row in kept], next=following)

    @router.get(f"/{LIST_OF_UNKNOWN}")
    async def list_unknown(who: Warden, limit: Limit = 100, cursor: Cursor = None) -> Page[dict[str, Any]]:
        """Wordings that statements name and that nobody has written down here: to be found and added."""
        del who
        after = decode_cursor(cursor, tuple[str])
        async with desk.database.connection() as connection:
            rows = await store.unknown_wordings(connection, after[0] if after else "", limit + 1)
        kept, following = page_of(rows, limit, lambda row: (row["wording"],))
        return Page(items=[views.unknown_wording(row) for row in kept], next=following)

    @router.put("/{wording_id}")
    async def put_wording(
        wording_id: WordingId, document: Wording, who: Writer, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """The next version of a wording; what says the same as the newest is the newest, and nothing is added."""
        _check(wording_id, document)
        now = clock.now()
        async with desk.database.transaction() as tx:
            newest = await store.wording(tx.connection, wording_id)
            if if_match is not None:
                require_match(if_match, newest["version"] if newest is not None else 0)
            if newest is None or not _says_the_same(newest, document):
                version = newest["version"] + 1 if newest is not None else 1
                valid_from = document.valid_from or now
                row = (document.language, document.purpose, sorted(set(document.channels)), document.text)
                if not await store.add_wording(tx, wording_id, version, (*row, valid_from, who.subject, now)):
                    raise Conflict("Somebody has just written another version. Read it and repeat the change.")
                newest = await store.wording(tx.connection, wording_id)
        return _answer(newest, wording_id, response)

    _add_readings(router, desk)
    return router


def _add_readings(router: APIRouter, desk: Desk) -> None:
    @router.get("/{wording_id}")
    async def read_wording(wording_id: WordingId, who: Reader, response: Response) -> dict[str, Any]:
        del who
        async with desk.database.connection() as connection:
            return _answer(await store.wording(connection, wording_id), wording_id, response)

    @router.get("/{wording_id}/versions")
    async def list_versions(
        wording_id: WordingId, who: Reader, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        """Newest first."""
        del who
        before = decode_cursor(cursor, tuple[int])
        async with desk.database.connection() as connection:
            place = min(max(before[0], 0), VERSION_MAX) if before else None
            rows = await store.wording_versions(connection, wording_id, place, limit + 1)
        if not rows and before is None:
            raise _missing(wording_id)
        kept, following = page_of(rows, limit, lambda row: (row["version"],))
        return Page(items=[views.wording(row) for row in kept], next=following)

    @router.get("/{wording_id}/versions/{version}")
    async def read_version(wording_id: WordingId, version: Version, who: Reader, response: Response) -> dict[str, Any]:
        del who
        async with desk.database.connection() as connection:
            return _answer(await store.wording(connection, wording_id, version), wording_id, response)


def _answer(row: Row | None, wording_id: str, response: Response) -> dict[str, Any]:
    if row is None:
        raise _missing(wording_id)
    response.headers["ETag"] = etag(row["version"])
    return views.wording(row)


def _missing(wording_id: str) -> NotFound:
    return NotFound(f"There is no such wording of consent: {wording_id}.")


def _check(wording_id: str, document: Wording) -> None:
    faults = [
        Fault(f"/channels/{at}", f"{channel!r} is no channel; there are {', '.join(CHANNELS_OF_CONTACT)}")
        for at, channel in enumerate(document.channels)
        if channel not in CHANNELS_OF_CONTACT
    ]
    if not document.channels:
        faults.append(Fault("/channels", "is empty; name what the customer agrees to be contacted by"))
    if document.valid_from is not None and not YEARS[0] <= document.valid_from.year <= YEARS[1]:
        faults.append(Fault("/valid_from", f"lies outside of the years {YEARS[0]} to {YEARS[1]}"))
    if wording_id == LIST_OF_UNKNOWN:
        faults.append(Fault("", f"{LIST_OF_UNKNOWN!r} is the name of a report; choose another id"))
    if faults:
        raise Invalid("the wording cannot be kept", faults)


def _says_the_same(row: Row, document: Wording) -> bool:
    valid_from: datetime | None = document.valid_from
    return (row["language"], row["purpose"], row["channels"], row["text"]) == (
        document.language,
        document.purpose,
        sorted(set(document.channels)),
        document.text,
    ) and valid_from in (None, row["valid_from"])

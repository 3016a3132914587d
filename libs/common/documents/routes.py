"""How are documents of a kind written, read, compared, put in force and taken out of it over HTTP? One set of routes.

What a kind has of its own is handed in: how its document is read and checked, who may do what, and what it is called.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.documents import reading, switching, writing
from libs.common.documents.difference import diff
from libs.common.documents.kinds import READERS, DocumentKind, Written
from libs.common.documents.shapes import Status
from libs.common.documents.views import ChangeView, Difference, ListedView, ReviewView, VersionView
from libs.common.errors import Fault, Invalid
from libs.common.web import Cursor, IfMatch, Limit, Page, decode_cursor, etag, expected_version, page_of

__all__ = ["NUMBER_MAX", "READERS", "VERSION_MAX", "DocumentKind", "Written", "make_router", "require_same_id"]

VERSION_MAX = 2**31 - 1
NUMBER_MAX = 2**63 - 1

Note = Annotated[str, Query(max_length=2_000, description="Why; kept beside the version.")]


class _Below(msgspec.Struct, array_like=True):
    """Where the next page of versions or changes begins."""

    number: Annotated[int, msgspec.Meta(ge=0)]


def make_router(database: Database, kind: DocumentKind) -> APIRouter:
    """Routes below /<plural>; the caller puts them below /v1."""
    router = APIRouter(prefix=f"/{kind.plural}", tags=[kind.plural])
    _add_writing(router, database, kind)
    _add_reading(router, database, kind)
    _add_comparing(router, database, kind)
    switching.add_orders(router, database, kind)
    switching.add_review(router, database, kind)
    return router


def _add_writing(router: APIRouter, database: Database, kind: DocumentKind) -> None:
    writes = requires(*kind.writes)
    # First of all: whoever may not write is told so, and not what is wrong with the document.
    guarded = [Depends(writes)]

    @router.post("", status_code=201, name=f"create_{kind.noun}", dependencies=guarded)
    async def create(
        response: Response,
        written: Written = Depends(kind.read),
        principal: Principal = Depends(writes),
        note: Note = "",
    ) -> VersionView:
        """Writes version 1 as a draft; 409 when the id is taken."""
        return await _kept(database, kind, written, principal, note, 0, response)

    router.add_api_route(
        "/validate",
        kind.validate,
        methods=["POST"],
        name=f"validate_{kind.noun}",
        dependencies=[Depends(requires(*kind.validates))],
    )

    @router.put("/{id}", name="write_version", dependencies=guarded)
    async def write_version(
        id: str,
        response: Response,
        written: Written = Depends(kind.read_at or kind.read),
        principal: Principal = Depends(writes),
        if_match: IfMatch = None,
        note: Note = "",
    ) -> VersionView:
        """Writes the next version as a draft; what is in force stays in force until another is activated."""
        require_same_id(id, written.id, kind.noun)
        return await _kept(database, kind, written, principal, note, expected_version(if_match), response)


def require_same_id(address: str, id: str, noun: str) -> None:
    if id != address:
        fault = Fault("/id", f'the address says "{address[:100]}"; a {noun} keeps its id')
        raise Invalid("The id in the document is not the one in the address.", [fault])


async def _kept(
    database: Database,
    kind: DocumentKind,
    written: Written,
    principal: Principal,
    note: str,
    expected: int | None,
    response: Response,
) -> VersionView:
    async with database.transaction() as tx:
        if expected is None:
            # A new document is created, never written over something that is not there.
            await reading.get(tx, kind.name, written.id)
        version = await writing.create_version(
            tx, kind.name, written.id, written.body, author=principal.subject, note=note, expected=expected
        )
    response.headers["ETag"] = etag(version.version)
    response.headers["Location"] = f"/v1/{kind.plural}/{version.id}"
    return VersionView.of(version)


def _add_reading(router: APIRouter, database: Database, kind: DocumentKind) -> None:
    guarded = [Depends(requires(*kind.reads))]

    @router.get("", name=f"list_{kind.plural}", dependencies=guarded)
    async def list_documents(
        limit: Limit = 100, cursor: Cursor = None, status: Status | None = None
    ) -> Page[ListedView]:
        """In the order of ids; `status` is that of the active or paused version, or else of the latest, and
        `review` means that any version waits for approval."""
        after = decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            found = await reading.page(
                connection, kind.name, after=after[0] if after else "", limit=limit + 1, status=status
            )
        items, following = page_of([ListedView.listed(each) for each in found], limit, lambda item: (item.id,))
        return Page(items=items, next=following)

    @router.get("/{id}", name=f"get_{kind.noun}", dependencies=guarded, response_model=kind.view)
    async def get_document(
        id: str, response: Response, which: Literal["latest", "active", "live"] = "latest"
    ) -> VersionView:
        """The ETag is the latest version's, which an edit must name."""
        async with database.connection() as connection:
            latest = await reading.get(connection, kind.name, id)
            found = latest if which == "latest" else await reading.get(connection, kind.name, id, which)
            told = await reading.changes(connection, kind.name, id=id, limit=1) if found.status == "paused" else []
            view = VersionView.of(found) if kind.shows is None else await kind.shows(connection, found)
        response.headers["ETag"] = etag(latest.version)
        about = {"paused_by": told[0].author, "paused_because": told[0].note} if told else {}
        return view.model_copy(update=about)

    @router.get("/{id}/versions", dependencies=guarded)
    async def list_versions(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[VersionView]:
        """Newest first."""
        before = _below(cursor, VERSION_MAX)
        async with database.connection() as connection:
            await reading.get(connection, kind.name, id)
            found = await reading.versions(connection, kind.name, id, before=before, limit=limit + 1)
        items, following = page_of([VersionView.of(each) for each in found], limit, lambda item: (item.version,))
        return Page(items=items, next=following)

    @router.get("/{id}/versions/{version}", dependencies=guarded)
    async def get_version(id: str, version: int) -> VersionView:
        async with database.connection() as connection:
            return VersionView.of(await reading.get(connection, kind.name, id, max(version, 0)))


def _add_comparing(router: APIRouter, database: Database, kind: DocumentKind) -> None:
    guarded = [Depends(requires(*kind.reads))]

    @router.get("/{id}/diff", dependencies=guarded)
    async def compare_versions(
        id: str,
        was: Annotated[int, Query(alias="from", ge=1, le=VERSION_MAX)],
        now: Annotated[int, Query(alias="to", ge=1, le=VERSION_MAX)],
    ) -> Difference:
        async with database.connection() as connection:
            older = await reading.get(connection, kind.name, id, was)
            newer = await reading.get(connection, kind.name, id, now)
        return Difference(items=diff(older.content, newer.content))

    if kind.approves:
        _add_reviews(router, database, kind)
    if not kind.has_changes:
        return

    @router.get("/{id}/changes", dependencies=guarded)
    async def list_changes(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[ChangeView]:
        """Who put which version in force or out of it, and why; newest first."""
        before = _below(cursor, NUMBER_MAX)
        async with database.connection() as connection:
            await reading.get(connection, kind.name, id)
            found = await reading.changes(connection, kind.name, id=id, before=before, limit=limit + 1)
        views = [ChangeView.model_validate(each, from_attributes=True) for each in found]
        items, following = page_of(views, limit, lambda item: (item.number,))
        return Page(items=items, next=following)


def _add_reviews(router: APIRouter, database: Database, kind: DocumentKind) -> None:
    @router.get("/{id}/reviews", dependencies=[Depends(requires(*kind.reads))])
    async def list_reviews(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[ReviewView]:
        """Who asked for a second person's word on which version, and what was said; newest first."""
        before = _below(cursor, NUMBER_MAX)
        async with database.connection() as connection:
            await reading.get(connection, kind.name, id)
            found = await reading.reviews(connection, kind.name, id, before=before, limit=limit + 1)
        views = [ReviewView.model_validate(each, from_attributes=True) for each in found]
        items, following = page_of(views, limit, lambda item: (item.number,))
        return Page(items=items, next=following)


def _below(cursor: str | None, largest: int) -> int:
    place = decode_cursor(cursor, _Below)
    return largest if place is None else min(place.number, largest)

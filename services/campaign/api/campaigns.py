"""How is a campaign written, read, switched on and off? Versions, and one of them in force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from libs.common import documents
from libs.common.auth import Principal, requires
from libs.common.db import Database, Tx
from libs.common.documents import DocumentVersion, SnapshotWatcher
from libs.common.documents.views import (
    Activation,
    ChangeView,
    Difference,
    ListedView,
    Reason,
    Validity,
    VersionView,
)
from libs.common.errors import Fault, Invalid
from libs.common.web import Cursor, IfMatch, Limit, Page, decode_cursor, etag, expected_version, page_of
from services.campaign.document import KIND, CampaignDocument, Library, faults_in

_READS = Depends(requires("viewer", "marketer", "approver", "operator"))
_WRITES = requires("marketer")
_SWITCHES = requires("marketer", "approver", "operator")

Note = Annotated[str, Query(max_length=2000, description="Why; kept beside the version.")]
NUMBER_MAX = 2**31 - 1
_NO_REASON = Reason()


class BeforeNumber(msgspec.Struct, array_like=True):
    """Where the next page of versions or changes begins, below this one."""

    number: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]


def make_router(database: Database, library: SnapshotWatcher[Library]) -> APIRouter:
    router = APIRouter(prefix="/campaigns", tags=["campaigns"])
    _add_writing(router, database)
    _add_reading(router, database)
    _add_switching(router, database, library)
    return router


def _add_writing(router: APIRouter, database: Database) -> None:
    @router.post("", status_code=201)
    async def create_campaign(
        document: CampaignDocument,
        response: Response,
        principal: Annotated[Principal, Depends(_WRITES)],
        note: Note = "",
    ) -> VersionView:
        """Writes version 1 as a draft; 409 when the id is taken."""
        return await _written(database, document, principal, note, 0, response)

    @router.post("/validate", dependencies=[Depends(_WRITES)])
    async def validate_campaign(document: dict[str, Any]) -> Validity:
        """Everything that is wrong with a document, without keeping it."""
        return Validity.of(faults_in(document))

    @router.put("/{id}")
    async def write_version(
        id: str,
        document: CampaignDocument,
        response: Response,
        principal: Annotated[Principal, Depends(_WRITES)],
        if_match: IfMatch = None,
        note: Note = "",
    ) -> VersionView:
        """Writes the next version as a draft; what is in force stays in force until another is activated."""
        if document.id != id:
            fault = Fault("/id", f'the address says "{id}"; a campaign keeps its id')
            raise Invalid("The id in the document is not the one in the address.", [fault])
        return await _written(database, document, principal, note, expected_version(if_match), response)


async def _written(
    database: Database,
    document: CampaignDocument,
    principal: Principal,
    note: str,
    expected: int | None,
    response: Response,
) -> VersionView:
    body = document.model_dump_json(by_alias=True, exclude_unset=True).encode()
    async with database.transaction() as tx:
        if expected is None:
            # A new campaign is created, never written over something that is not there.
            await documents.get(tx, KIND, document.id)
        version = await documents.create_version(
            tx, KIND, document.id, body, author=principal.subject, note=note, expected=expected
        )
    response.headers["ETag"] = etag(version.version)
    response.headers["Location"] = f"/v1/campaigns/{version.id}"
    return VersionView.of(version)


def _add_reading(router: APIRouter, database: Database) -> None:
    @router.get("", dependencies=[_READS])
    async def list_campaigns(
        status: documents.Status | None = None, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[ListedView]:
        after = decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            found = await documents.page(
                connection, KIND, after=after[0] if after else "", limit=limit + 1, status=status
            )
        items, following = page_of([ListedView.listed(each) for each in found], limit, lambda item: (item.id,))
        return Page(items=items, next=following)

    @router.get("/{id}", dependencies=[_READS])
    async def get_campaign(
        id: str, response: Response, which: Literal["latest", "active", "live"] = "latest"
    ) -> VersionView:
        """The ETag is that of the latest version, which is what an edit must have read."""
        async with database.connection() as connection:
            latest = await documents.get(connection, KIND, id)
            found = latest if which == "latest" else await documents.get(connection, KIND, id, which)
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    @router.get("/{id}/versions", dependencies=[_READS])
    async def list_versions(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[VersionView]:
        """Newest first."""
        before = decode_cursor(cursor, BeforeNumber)
        async with database.connection() as connection:
            await documents.get(connection, KIND, id)
            found = await documents.versions(
                connection,
                KIND,
                id,
                before=before.number if before else NUMBER_MAX,
                limit=limit + 1,
            )
        items, following = page_of([VersionView.of(each) for each in found], limit, lambda item: (item.version,))
        return Page(items=items, next=following)

    _add_comparing(router, database)


def _add_comparing(router: APIRouter, database: Database) -> None:
    @router.get("/{id}/versions/{version}", dependencies=[_READS])
    async def get_version(id: str, version: int) -> VersionView:
        async with database.connection() as connection:
            return VersionView.of(await documents.get(connection, KIND, id, max(version, 0)))

    @router.get("/{id}/diff", dependencies=[_READS])
    async def compare_versions(
        id: str,
        was: Annotated[int, Query(alias="from", ge=1, le=NUMBER_MAX)],
        now: Annotated[int, Query(alias="to", ge=1, le=NUMBER_MAX)],
    ) -> Difference:
        async with database.connection() as connection:
            older = await documents.get(connection, KIND, id, was)
            newer = await documents.get(connection, KIND, id, now)
        return Difference(items=documents.diff(older.content, newer.content))

    @router.get("/{id}/changes", dependencies=[_READS])
    async def list_changes(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[ChangeView]:
        """Who put which version in force or out of it, and why; newest first."""
        before = decode_cursor(cursor, BeforeNumber)
        async with database.connection() as connection:
            await documents.get(connection, KIND, id)
            found = await documents.changes(
                connection,
                KIND,
                id=id,
                before=before.number if before else NUMBER_MAX,
                limit=limit + 1,
            )
        views = [ChangeView.model_validate(each, from_attributes=True) for each in found]
        items, following = page_of(views, limit, lambda item: (item.number,))
        return Page(items=items, next=following)


def _add_switching(router: APIRouter, database: Database, library: SnapshotWatcher[Library]) -> None:
    async def switched(change: Callable[[Tx], Awaitable[DocumentVersion]], response: Response) -> VersionView:
        async with database.transaction() as tx:
            found = await change(tx)
            latest = await documents.get(tx, KIND, found.id)
        await library.refresh()
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    @router.post("/{id}/activate")
    async def activate_campaign(
        id: str,
        response: Response,
        principal: Annotated[Principal, Depends(_SWITCHES)],
        order: Activation | None = None,
    ) -> VersionView:
        """Puts a version in force instead of the one before; an older version is a rollback."""
        wanted = order or Activation()

        async def change(tx: Tx) -> DocumentVersion:
            version = wanted.version or (await documents.get(tx, KIND, id)).version
            return await documents.activate(
                tx,
                KIND,
                id,
                version,
                author=principal.subject,
                note=wanted.note,
                ramp_percent=wanted.ramp_percent,
            )

        return await switched(change, response)

    endings: dict[str, tuple[Callable[..., Awaitable[DocumentVersion]], str]] = {
        "pause": (documents.pause, "Stops the version in force until it is resumed."),
        "resume": (documents.resume, "Puts the paused version in force again."),
        "retire": (documents.retire, "Ends the campaign; its decisions stay."),
    }
    for name, (action, description) in endings.items():
        router.add_api_route(
            f"/{{id}}/{name}",
            _ending(action, switched),
            methods=["POST"],
            name=f"{name}_campaign",
            description=description,
            response_model=VersionView,
        )


def _ending(action: Callable[..., Awaitable[DocumentVersion]], switched: Callable[..., Any]) -> Callable[..., Any]:
    async def end(
        id: str,
        response: Response,
        principal: Annotated[Principal, Depends(_SWITCHES)],
        reason: Reason = _NO_REASON,
    ) -> Any:
        async def change(tx: Tx) -> DocumentVersion:
            return await action(tx, KIND, id, author=principal.subject, note=reason.note)

        return await switched(change, response)

    return end

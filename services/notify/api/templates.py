"""How is a template written, tried, and put in force?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from libs.common import documents
from libs.common.auth import Principal, requires
from libs.common.db import Database, Tx
from libs.common.documents import DocumentVersion, SnapshotWatcher
from libs.common.documents.views import Difference, ListedView, Reason, VersionView
from libs.common.errors import Fault, Invalid
from libs.common.web import Cursor, IfMatch, Limit, Page, decode_cursor, etag, expected_version, page_of
from services.notify import content
from services.notify.api.shapes import (
    Activation,
    Preview,
    Sample,
    TemplateDocument,
    Validity,
)
from services.notify.content import Shelf, TemplateBody, Unrenderable

KIND = "template"
_READS = Depends(requires("viewer", "marketer", "approver", "operator"))
_WRITES = requires("marketer")
_SWITCHES = requires("marketer", "approver", "operator")

Note = Annotated[str, Query(max_length=2_000, description="Why; kept beside the version.")]
_NO_REASON = Reason()
_NO_ORDER = Activation()


def router(database: Database, shelf: SnapshotWatcher[Shelf]) -> APIRouter:
    made = APIRouter(prefix="/v1/templates", tags=["templates"])
    _add_writing(made, database)
    _add_reading(made, database)
    _add_comparing(made, database)
    _add_switching(made, database, shelf)
    return made


def _checked(document: TemplateDocument) -> TemplateBody:
    body = document.as_body()
    if faults := content.faults_of(body):
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", faults)
    return body


def _add_writing(made: APIRouter, database: Database) -> None:
    # `_checked` renders, which is work for the processor: as a plain function it runs in a thread.
    @made.post("", status_code=201)
    async def create_template(
        document: TemplateDocument,
        body: Annotated[TemplateBody, Depends(_checked)],
        response: Response,
        principal: Annotated[Principal, Depends(_WRITES)],
        note: Note = "",
    ) -> VersionView:
        """Writes version 1 as a draft; 409 when the id is taken."""
        del body
        return await _written(database, document, principal, note, 0, response)

    @made.post("/validate")
    def validate_template(
        body: Annotated[TemplateBody, Depends(_checked)], _: Annotated[Principal, Depends(_WRITES)]
    ) -> Validity:
        """Says what is wrong with a document (422) without keeping it."""
        del body
        return Validity(valid=True)

    @made.put("/{id}")
    async def write_version(
        id: str,
        document: TemplateDocument,
        body: Annotated[TemplateBody, Depends(_checked)],
        response: Response,
        principal: Annotated[Principal, Depends(_WRITES)],
        if_match: IfMatch = None,
        note: Note = "",
    ) -> VersionView:
        """Writes the next version as a draft; what is in force stays in force until another is activated."""
        del body
        if document.id != id:
            fault = Fault("/id", f"the address says {id[:100]!r}; a template keeps its id")
            raise Invalid("The id in the document is not the one in the address.", [fault])
        return await _written(database, document, principal, note, expected_version(if_match), response)


async def _written(
    database: Database,
    document: TemplateDocument,
    principal: Principal,
    note: str,
    expected: int | None,
    response: Response,
) -> VersionView:
    async with database.transaction() as tx:
        if expected is None:
            # A new template is created, never written over something that is not there.
            await documents.get(tx, KIND, document.id)
        version = await documents.create_version(
            tx, KIND, document.id, document.as_json(), author=principal.subject, note=note, expected=expected
        )
    response.headers["ETag"] = etag(version.version)
    response.headers["Location"] = f"/v1/templates/{version.id}"
    return VersionView.of(version)


def _add_reading(made: APIRouter, database: Database) -> None:
    @made.get("", dependencies=[_READS])
    async def list_templates(
        status: documents.Status | None = None, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[ListedView]:
        after = decode_cursor(cursor, tuple[str])
        async with database.connection() as connection:
            found = await documents.page(
                connection, KIND, after=after[0] if after else "", limit=limit + 1, status=status
            )
        items, following = page_of([ListedView.listed(each) for each in found], limit, lambda item: (item.id,))
        return Page(items=items, next=following)

    @made.get("/{id}", dependencies=[_READS])
    async def get_template(
        id: str, response: Response, which: Literal["latest", "active", "live"] = "latest"
    ) -> VersionView:
        """The ETag is that of the latest version, which is what an edit must have read."""
        async with database.connection() as connection:
            latest = await documents.get(connection, KIND, id)
            found = latest if which == "latest" else await documents.get(connection, KIND, id, which)
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    @made.post("/{id}/preview", dependencies=[Depends(requires("viewer", "marketer", "approver"))])
    async def preview_template(id: str, data: Sample) -> Preview:
        """The latest version, filled in with the given customer and trigger; its links lead nowhere."""
        async with database.connection() as connection:
            found = await documents.get(connection, KIND, id)
        try:
            made = content.preview(content.parsed(found.body), data.model_dump())
        except Unrenderable as error:
            raise Invalid(f"The template cannot be filled in with this: {error}") from None
        return Preview(subject=made.subject, body=made.body, links=list(made.links))


def _add_comparing(made: APIRouter, database: Database) -> None:
    @made.get("/{id}/versions", dependencies=[_READS])
    async def list_versions(id: str, limit: Limit = 100, cursor: Cursor = None) -> Page[VersionView]:
        """Newest first."""
        place = decode_cursor(cursor, tuple[int])
        before = min(place[0], 2**31 - 1) if place else 2**31 - 1
        async with database.connection() as connection:
            await documents.get(connection, KIND, id)
            found = await documents.versions(connection, KIND, id, before=before, limit=limit + 1)
        items, following = page_of([VersionView.of(each) for each in found], limit, lambda item: (item.version,))
        return Page(items=items, next=following)

    @made.get("/{id}/versions/{version}", dependencies=[_READS])
    async def get_version(id: str, version: int) -> VersionView:
        async with database.connection() as connection:
            return VersionView.of(await documents.get(connection, KIND, id, max(version, 0)))

    @made.get("/{id}/diff", dependencies=[_READS])
    async def compare_versions(
        id: str,
        was: Annotated[int, Query(alias="from", ge=1, le=2**31 - 1)],
        now: Annotated[int, Query(alias="to", ge=1, le=2**31 - 1)],
    ) -> Difference:
        async with database.connection() as connection:
            older = await documents.get(connection, KIND, id, was)
            newer = await documents.get(connection, KIND, id, now)
        return Difference(items=documents.diff(older.content, newer.content))


def _add_switching(made: APIRouter, database: Database, shelf: SnapshotWatcher[Shelf]) -> None:
    async def switched(change: Callable[[Tx], Awaitable[DocumentVersion]], response: Response) -> VersionView:
        async with database.transaction() as tx:
            found = await change(tx)
            latest = await documents.get(tx, KIND, found.id)
        await shelf.refresh()
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    @made.post("/{id}/activate")
    async def activate_template(
        id: str,
        response: Response,
        principal: Annotated[Principal, Depends(_SWITCHES)],
        order: Activation = _NO_ORDER,
    ) -> VersionView:
        """Puts a version in force instead of the one before; an older version is a rollback."""

        async def change(tx: Tx) -> DocumentVersion:
            version = order.version or (await documents.get(tx, KIND, id)).version
            return await documents.activate(tx, KIND, id, version, author=principal.subject, note=order.note)

        return await switched(change, response)

    endings: dict[str, tuple[Callable[..., Awaitable[DocumentVersion]], str]] = {
        "pause": (documents.pause, "Stops the version in force until it is resumed; messages are rejected."),
        "resume": (documents.resume, "Puts the paused version in force again."),
        "retire": (documents.retire, "Ends the template; what was sent stays."),
    }
    for name, (action, description) in endings.items():
        made.add_api_route(
            f"/{{id}}/{name}",
            _ending(action, switched),
            methods=["POST"],
            name=f"{name}_template",
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

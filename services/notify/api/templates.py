"""How is a template written, tried, and put in force?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from libs.common import documents
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher, routes
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.documents.routes import DocumentKind, Written
from libs.common.errors import Invalid
from services.notify import content
from services.notify.api.shapes import Preview, Sample, TemplateDocument, Validity
from services.notify.content import Shelf, Unrenderable

KIND = "template"
_SWITCHES = ("marketer", "approver", "operator")


def router(database: Database, shelf: SnapshotWatcher[Shelf], policy: ApprovalPolicy) -> APIRouter:
    kind = DocumentKind(
        name=KIND,
        noun="template",
        plural="templates",
        read=_read,
        validate=validate_template,
        validates=("marketer",),
        activates=_SWITCHES,
        stops=_SWITCHES,
        approves=("approver",),
        policy=policy,
        refresh=shelf.refresh,
        has_ramp=False,
        has_changes=False,
        pauses="Stops the version in force until it is resumed; messages are rejected.",
        ends="Ends the template; what was sent stays.",
    )
    made = APIRouter(prefix="/v1")
    made.include_router(routes.make_router(database, kind))
    _add_preview(made, database)
    return made


# Checking renders, which is work for the processor: as a plain function it runs in a thread.
def _read(document: TemplateDocument) -> Written:
    if faults := content.faults_of(document.as_body()):
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", faults)
    return Written(document.id, document.as_json())


def validate_template(written: Annotated[Written, Depends(_read)]) -> Validity:
    """Says what is wrong with a document (422) without keeping it."""
    del written
    return Validity(valid=True)


def _add_preview(made: APIRouter, database: Database) -> None:
    tries = [Depends(requires("viewer", "marketer", "approver"))]

    @made.post("/templates/{id}/preview", tags=["templates"], dependencies=tries)
    async def preview_template(id: str, data: Sample) -> Preview:
        """The latest version, filled in with the given customer and trigger; its links lead nowhere."""
        async with database.connection() as connection:
            found = await documents.get(connection, KIND, id)
        try:
            made = content.preview(content.parsed(found.body), data.model_dump())
        except Unrenderable as error:
            raise Invalid(f"The template cannot be filled in with this: {error}") from None
        return Preview(subject=made.subject, body=made.body, links=list(made.links))

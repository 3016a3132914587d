"""How is a rule written? As a draft, version by version; marketers write."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from libs.common import documents
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.documents.views import Validity, VersionView
from libs.common.errors import Fault, Invalid
from libs.common.web import IfMatch, etag, expected_version
from services.rules import validation

KIND = "rule"
Note = Annotated[str, Query(max_length=2000, description="Why; kept beside the version.")]
_WRITES = requires("marketer")
_SERVER_SET = ("version", "status")


def make_router(database: Database) -> APIRouter:
    router = APIRouter(prefix="/rules")

    @router.post("", status_code=201)
    async def create_rule(
        document: dict[str, Any],
        response: Response,
        principal: Annotated[Principal, Depends(_WRITES)],
        note: Note = "",
    ) -> VersionView:
        """Writes version 1 as a draft; 409 when the id is taken."""
        return await _written(database, document, principal, note, 0, response)

    @router.post("/validate", dependencies=[Depends(requires("viewer", "marketer", "approver"))])
    async def validate_rule(document: dict[str, Any]) -> Validity:
        """Everything that is wrong with a document, without keeping it."""
        try:
            validation.read(document)
        except Invalid as error:
            return Validity.of(error.errors)
        return Validity(valid=True)

    @router.put("/{id}")
    async def write_version(
        id: str,
        document: dict[str, Any],
        response: Response,
        principal: Annotated[Principal, Depends(_WRITES)],
        if_match: IfMatch = None,
        note: Note = "",
    ) -> VersionView:
        """Writes the next version as a draft; what is in force stays in force until another is activated."""
        if document.setdefault("id", id) != id:
            fault = Fault("/id", f'the address says "{id}"; a rule keeps its id')
            raise Invalid("The id in the document is not the one in the address.", [fault])
        return await _written(database, document, principal, note, expected_version(if_match), response)

    return router


async def _written(
    database: Database,
    document: dict[str, Any],
    principal: Principal,
    note: str,
    expected: int | None,
    response: Response,
) -> VersionView:
    rule = validation.read(document)
    # What the server sets is accepted, so that a document can be sent back as it was read, and not believed.
    body = msgspec.json.encode({name: each for name, each in document.items() if name not in _SERVER_SET})
    async with database.transaction() as tx:
        if expected is None:
            # A new rule is created, never written over something that is not there.
            await documents.get(tx, KIND, rule.id)
        version = await documents.create_version(
            tx, KIND, rule.id, body, author=principal.subject, note=note, expected=expected
        )
    response.headers["ETag"] = etag(version.version)
    response.headers["Location"] = f"/v1/rules/{version.id}"
    return VersionView.of(version)

"""Which ready triggers are there, and how does one become a rule of the company's own?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from libs.common import documents
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.documents.kinds import READERS
from libs.common.documents.views import VersionView
from libs.common.errors import NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, etag, page_of
from services.rules.document import checking
from services.rules.library import SUBJECTS, Trigger, library
from services.rules.library.store import Copy, copies, note_of

_KIND = "rule"
_READS = [Depends(requires(*READERS))]
_WRITES = requires("marketer")

TriggerId = Annotated[str, Path(max_length=100, description="The id of a trigger of the library.")]
Subject = Annotated[str | None, Query(pattern=f"^({'|'.join(SUBJECTS)})$", description="The triggers of one subject.")]


class CopyView(BaseModel):
    """A rule that was installed from the trigger; `has_newer` says that the library has another text by now."""

    rule: str
    version: int
    text: str
    has_newer: bool


class ListedTrigger(BaseModel):
    """`sentence` says which moment it catches and why it matters; `traits` are those that the company has to deliver.
    `text` marks the present wording of its document."""

    id: str
    name: str
    subject: str
    sentence: str
    kind: str
    traits: list[str]
    text: str
    installed: list[CopyView]


class TriggerView(ListedTrigger):
    """`document` is the rule as it would be installed. A version that is written with `note` beside it counts as this
    text."""

    note: str
    document: dict[str, Any]


class Installation(Document):
    """`as` is the id of the rule to be; the trigger's own where it is missing."""

    as_: str | None = Field(None, alias="as", pattern="^[a-z0-9][a-z0-9-]{2,63}$", examples=["basket-abandoned-web"])


def make_router(database: Database, company_zone: str) -> APIRouter:
    router = APIRouter(prefix="/library", tags=["library"])
    shelf = library()
    _add_reading(router, database, shelf)

    @router.post("/{id}/install", status_code=201, dependencies=[Depends(_WRITES)])
    async def install_trigger(
        id: TriggerId, response: Response, order: Installation | None = None, principal: Principal = Depends(_WRITES)
    ) -> VersionView:
        """Writes a trigger as a draft of the company's own; 409 when there is a rule of that id. What is installed is
        never changed by the library."""
        trigger = _wanted(shelf, id)
        rule_id = order.as_ if order is not None and order.as_ is not None else trigger.id
        checked = await asyncio.to_thread(checking.read, {**trigger.document, "id": rule_id}, company_zone)
        async with database.transaction() as tx:
            version = await documents.create_version(
                tx, _KIND, rule_id, checked.body, author=principal.subject, note=note_of(trigger), expected=0
            )
        response.headers["ETag"] = etag(version.version)
        response.headers["Location"] = f"/v1/rules/{version.id}"
        return VersionView.of(version)

    return router


def _add_reading(router: APIRouter, database: Database, shelf: Mapping[str, Trigger]) -> None:
    @router.get("", dependencies=_READS)
    async def list_triggers(limit: Limit = 100, cursor: Cursor = None, subject: Subject = None) -> Page[ListedTrigger]:
        """In the order of ids, each with the rules that were installed from it."""
        after = decode_cursor(cursor, tuple[str])
        found = [
            each
            for each in shelf.values()
            if (after is None or each.id > after[0]) and (subject is None or each.subject == subject)
        ]
        async with database.connection() as connection:
            known = await copies(connection)
        views = [ListedTrigger(**_told(each, known)) for each in found[: limit + 1]]
        items, following = page_of(views, limit, lambda item: (item.id,))
        return Page(items=items, next=following)

    @router.get("/{id}", dependencies=_READS)
    async def get_trigger(id: TriggerId) -> TriggerView:
        trigger = _wanted(shelf, id)
        async with database.connection() as connection:
            told = _told(trigger, await copies(connection))
        return TriggerView(**told, note=note_of(trigger), document=dict(trigger.document))


def _wanted(shelf: Mapping[str, Trigger], id: str) -> Trigger:
    found = shelf.get(id)
    if found is None:
        raise NotFound(f"The library has no trigger {id!r}; GET /v1/library lists those that there are.")
    return found


def _told(trigger: Trigger, known: Sequence[Copy]) -> dict[str, Any]:
    installed = [
        CopyView(rule=each.rule, version=each.version, text=each.text, has_newer=each.text != trigger.text)
        for each in known
        if each.trigger == trigger.id
    ]
    told = {name: value for name, value in trigger._asdict().items() if name != "document"}
    return {**told, "traits": list(trigger.traits), "installed": installed}

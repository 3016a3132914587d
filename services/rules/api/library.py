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
from libs.common.errors import Conflict, Fault, Invalid, NotFound
from libs.common.web import Cursor, Document, Limit, Page, decode_cursor, etag, page_of
from services.rules.document import checking, segments
from services.rules.library import SUBJECTS, Trigger, library, ready_segments
from services.rules.library.store import Copy, copies, note_of
from services.rules.membership import store as membership

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
    """`sentence` says which moment it catches and why it matters; `traits` are those that the company has to deliver,
    and `segments` those that it rests on, which are installed with it. `text` marks the present wording of its
    document."""

    id: str
    name: str
    subject: str
    sentence: str
    kind: str
    traits: list[str]
    segments: list[str]
    text: str
    installed: list[CopyView]


class TriggerView(ListedTrigger):
    """`document` is the rule as it would be installed, and `rests_on` are the segments as they would be. A version
    that is written with `note` beside it counts as this text."""

    note: str
    document: dict[str, Any]
    rests_on: list[dict[str, Any]]


class InstalledView(VersionView):
    """The rule; `segments` are those that it rests on, which have to be in force before it, and `copied` those of
    them that were not there and are drafts now."""

    segments: list[str]
    copied: list[str]


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
    ) -> InstalledView:
        """Writes a trigger as a draft of the company's own, and the segments that it rests on where there are none of
        these ids; 409 when there is a rule of that id. What is installed is never changed by the library."""
        trigger = _wanted(shelf, id)
        rule_id = order.as_ if order is not None and order.as_ is not None else trigger.id
        async with database.connection() as connection:
            there = await membership.written(connection, in_force=False)
        document, written = {**trigger.document, "id": rule_id}, _ready() | there
        checked = await asyncio.to_thread(_checked, document, company_zone, written, there)
        rests_on = sorted(segments.needed_by(checked.rule, checking.definitions(written)))
        copied = [ready_segments()[each] for each in rests_on if each not in there]
        async with database.transaction() as tx:
            for each in copied:
                await documents.create_version(
                    tx, segments.KIND, each.id, each.body, author=principal.subject, note=note_of(each), expected=0
                )
            version = await documents.create_version(
                tx, _KIND, rule_id, checked.body, author=principal.subject, note=note_of(trigger), expected=0
            )
        response.headers["ETag"] = etag(version.version)
        response.headers["Location"] = f"/v1/rules/{version.id}"
        shown = VersionView.of(version).model_dump()
        return InstalledView(**shown, segments=rests_on, copied=[each.id for each in copied])

    return router


def _ready() -> dict[str, bytes]:
    return {id: each.body for id, each in ready_segments().items()}


def _checked(document: Any, company_zone: str, written: checking.Written, there: checking.Written) -> checking.Checked:
    """The rule, with the company's own segments where there are any of these ids."""
    try:
        return checking.read(document, company_zone, written)
    except Invalid as error:
        own = sorted(segments.needed_by(checking.shaped(document).rule, checking.definitions(written)) & there.keys())
        if not own:
            raise
        told = f"Here {', '.join(own)} means something else than in the library, so that the tests of the trigger fail"
        hint = "write its document, which GET /v1/library/{id} shows, to /v1/rules with a segment of another id"
        raise Conflict(f"{told}; {hint}.", [Fault(each.pointer, each.detail) for each in error.errors]) from None


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
        rests_on = [dict(ready_segments()[each].document) for each in trigger.segments]
        return TriggerView(**told, note=note_of(trigger), document=dict(trigger.document), rests_on=rests_on)


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
    return {**told, "traits": list(trigger.traits), "segments": list(trigger.segments), "installed": installed}

"""How are mappings written, tried and put in force? As every document, and with samples before anything counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from libs.common import documents, web
from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import routes
from libs.common.documents.routes import READERS, DocumentKind, Written
from libs.common.documents.views import Validity
from libs.common.errors import Fault, Invalid, NotFound
from services.ingest.intake import Terms, admit
from services.ingest.keys.book import WriteKey
from services.ingest.mapping import CompiledMapping, compile_mapping
from services.ingest.mapping.shelf import KIND, Mappings
from services.ingest.reception import Reception
from services.ingest.refusals import Reject
from services.ingest.strict import printable

_SHIPPED = "shipped"
_SERVER_SET = ("version", "status")
_TESTS = requires("marketer", "approver", "operator")


class Sample(web.Document):
    """A foreign document to try a mapping with. `document` is a mapping that is not kept yet; without it `version`
    counts, else the latest of this id, else the one that ships. Names of headers are in lower case."""

    body: Any = Field(examples=[{"id": 7, "total_price": "47.30"}])
    headers: dict[str, str] = Field(default={}, max_length=100, examples=[{"x-shopify-topic": "orders/paid"}])
    source: str = Field("test", min_length=1, max_length=200)
    channel: str = Field("test", pattern=r"^[a-z][a-z0-9-]{0,39}$")
    branch: str | None = Field(None, max_length=200)
    version: int | None = Field(None, ge=1, le=routes.VERSION_MAX)
    document: dict[str, Any] | None = None


class Verdict(BaseModel):
    """What the intake would say; `type` is the reason."""

    type: str
    pointer: str
    detail: str


class TriedEvent(BaseModel):
    """An event that the mapping makes. `refused` is null where it would come in; `violations` would be let pass."""

    event: dict[str, Any]
    refused: Verdict | None
    violations: list[Verdict]


class Trial(BaseModel):
    """`failed` says why the mapping makes nothing of the sample; its pointer leads into the mapping."""

    events: list[TriedEvent]
    failed: Verdict | None = None


class ShippedMapping(BaseModel):
    id: str
    document: dict[str, Any]


def make_router(database: Database, mappings: Mappings, reception: Reception) -> APIRouter:
    router = APIRouter()
    _add_shipped(router, mappings)
    kind = DocumentKind(
        name=KIND,
        noun="mapping",
        plural="mappings",
        read=_read,
        read_at=_read_at,
        validate=validate_mapping,
        validates=("viewer", "marketer", "approver"),
        activates=("marketer", "approver"),
        stops=("marketer", "approver", "operator"),
        refresh=mappings.refresh,
        has_ramp=False,
        ends="Ends the mapping; where one of this name ships, that one counts again.",
    )
    router.include_router(routes.make_router(database, kind))
    _add_test(router, database, mappings, reception)
    return router


def validate_mapping(document: dict[str, Any]) -> Validity:
    """Everything that is wrong with a document, without keeping it."""
    try:
        _read(document)
    except Invalid as error:
        return Validity.of(error.errors)
    return Validity(valid=True)


def _read(document: dict[str, Any]) -> Written:
    # What the server sets is accepted, so that a document can be sent back as it was read, and not believed.
    kept = {name: each for name, each in document.items() if name not in _SERVER_SET}
    compiled = compile_mapping(kept)
    if compiled.id == _SHIPPED:
        raise Invalid("The id is taken.", [Fault("/id", f"/v1/mappings/{_SHIPPED} lists what ships")])
    return Written(compiled.id, msgspec.json.encode(kept))


def _read_at(id: str, document: dict[str, Any]) -> Written:
    routes.require_same_id(id, document.setdefault("id", id), KIND)
    return _read(document)


def _add_shipped(router: APIRouter, mappings: Mappings) -> None:
    # Before the routes of all documents, for which this would be one of them.
    @router.get(f"/mappings/{_SHIPPED}", tags=["mappings"], dependencies=[Depends(requires(*READERS))])
    async def list_shipped_mappings() -> web.Page[ShippedMapping]:
        """What counts where the owners have nothing of this name in force; the list is short and has one page."""
        found = mappings.shipped.items()
        return web.Page(items=[ShippedMapping(id=name, document=document) for name, document in found])


def _add_test(router: APIRouter, database: Database, mappings: Mappings, reception: Reception) -> None:
    @router.post("/mappings/{id}/test", tags=["mappings"], dependencies=[Depends(_TESTS)])
    async def test_mapping(id: str, sample: Sample) -> Trial:
        """The events that a mapping makes of a sample, each with its verdict. Nothing is kept or sent on."""
        compiled = await _wanted(id, sample)
        terms = reception.terms(WriteKey("test", sample.channel, [sample.source], []))
        return await asyncio.to_thread(tried, compiled, sample, terms)

    async def _wanted(id: str, sample: Sample) -> CompiledMapping:
        if sample.document is not None:
            return await asyncio.to_thread(compile_mapping, {"id": id} | sample.document)
        async with database.connection() as connection:
            try:
                found = await documents.get(connection, KIND, id, sample.version or "latest")
            except NotFound:
                if sample.version is not None or id not in mappings.shipped:
                    raise
                return compile_mapping(mappings.shipped[id])
        return await asyncio.to_thread(compile_mapping, found.content)


def tried(mapping: CompiledMapping, sample: Sample, terms: Terms) -> Trial:
    given = {
        "body": sample.body,
        "headers": {name.lower(): value for name, value in sample.headers.items()},
        "received_at": terms.now.isoformat(),
        "source": sample.source,
        "branch": sample.branch,
    }
    try:
        events = mapping.events(given)
    except Reject as reject:
        return Trial(events=[], failed=_verdict(reject.reason, reject.pointer, reject.detail))
    return Trial(events=[_tried(event, terms) for event in events])


def _tried(event: bytes, terms: Terms) -> TriedEvent:
    shown: Mapping[str, Any] = msgspec.json.decode(event)
    try:
        accepted = admit(event, terms)
    except Reject as reject:
        refused = _verdict(reject.reason, reject.pointer, reject.detail)
        return TriedEvent(event=dict(shown), refused=refused, violations=[])
    observed = [_verdict(each.reason, each.pointer, each.detail) for each in accepted.violations]
    return TriedEvent(event=dict(shown), refused=None, violations=observed)


def _verdict(reason: str, pointer: str, detail: str) -> Verdict:
    return Verdict(type=reason, pointer=f"#{pointer}", detail=printable(detail, 2_000))

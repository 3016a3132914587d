"""What would be said of these events? Schemas and samples are tried over HTTP without keeping anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Depends

from libs.common.auth import requires
from libs.common.db import Database
from libs.common.errors import Invalid, NotFound
from services.ingest.api.schema_documents import (
    Finding,
    Narrower,
    Sample,
    Trial,
    TrialResult,
    TypeVerdict,
    Verdict,
    Violated,
)
from services.ingest.schemas import kinds, registration
from services.ingest.schemas.kinds import Kind
from services.ingest.schemas.schema import Schema
from services.ingest.schemas.standard import standard, subjects_of
from services.ingest.store import schemas as store

READERS = [Depends(requires("viewer", "marketer", "approver", "operator"))]


def make_router(database: Database) -> APIRouter:
    router = APIRouter()

    @router.post("/schemas/validate", dependencies=READERS)
    async def validate_schema(document: Trial) -> TrialResult:
        """Whether a schema can be used and is compatible with what is registered, and what it says of events."""
        own, known = None, False
        if document.type is not None:
            async with database.connection() as connection:
                row = await store.one_type(connection, document.type)
            own = None if row is None else row["schema"]
            known = row is not None or document.type in standard()
        return await asyncio.to_thread(_tried, document, known, own)

    @router.post("/schemas/{type}/check", dependencies=READERS)
    async def check_event(type: str, sample: Sample) -> TypeVerdict:
        """What is said of an event by the present version of its type, of a source that is held to the plan."""
        async with database.connection() as connection:
            row = await store.one_type(connection, type)
        if row is None and type not in standard() and not kinds.in_family(type):
            raise NotFound("There is no event type of this name.")
        schemas = registration.present_schemas(type, None if row is None else row["schema"])
        kind = Kind(schemas, _subjects(type, schemas))
        verdict = await asyncio.to_thread(_verdict, kind, sample)
        return TypeVerdict(type=type, version=0 if row is None else row["version"], **dict(verdict))

    return router


def _tried(document: Trial, known: bool, own: str | None) -> TrialResult:
    try:
        schema = registration.usable(document.schema_)
    except Invalid as error:
        return TrialResult(valid=False, errors=[Finding(pointer=f.pointer, detail=f.detail) for f in error.errors])
    name = document.type or ""
    shipped = [standard()[name]] if name in standard() else []
    kind = Kind([*shipped, schema], _subjects(name, [schema]))
    result = TrialResult(valid=True, verdicts=[_verdict(kind, each) for each in document.events])
    if known:
        _, found = registration.compared(document.schema_, name, own)
        result.compatible = not found
        result.narrowings = [
            Narrower(pointer=f"/schema{each.pointer}", detail=each.detail, proven=each.proven) for each in found
        ]
    return result


def _verdict(kind: Kind, sample: Sample) -> Verdict:
    size = len(msgspec.json.encode(sample.data))
    found = kind.violations(sample.data, sample.branch, size, all_of_them=True)
    told: Sequence[Violated] = [
        Violated(pointer=each.pointer, reason=each.reason, detail=each.detail) for each in found
    ]
    return Verdict(accepted=not told, violations=list(told))


def _subjects(name: str, schemas: Sequence[Schema]) -> tuple[str, ...]:
    return subjects_of(standard()[name] if name in standard() else next(iter(schemas), None))

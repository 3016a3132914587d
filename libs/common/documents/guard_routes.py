"""How near is a document to each of its limits, and what has the company settled for all of them, over HTTP?"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.documents import company as company_settings
from libs.common.documents import guarding, reading
from libs.common.documents.company import Company, CompanySettings
from libs.common.documents.difference import diff
from libs.common.documents.guarding import Guarded, GuardedKind, Stop
from libs.common.documents.kinds import READERS
from libs.common.documents.limits import MEASURES, Guards, State
from libs.common.documents.shapes import Connection, DocumentVersion
from libs.common.errors import Conflict
from libs.common.web import Cursor, IfMatch, Limit, Page, decode_cursor, etag, expected_version, page_of

_READS = Depends(requires(*READERS))
_ADMIN = requires("admin")


class LimitView(BaseModel):
    """`count` of `of` is `share_percent`. `stops_at` is the count with which, of so many (or of `after`, while there
    are fewer), the document would be paused. `own` says that the limit is the document's, not the company's."""

    name: str
    state: State
    limit_percent: float | None
    own: bool
    count: int
    of: int
    share_percent: float | None
    stops_at: int | None


class GuardDay(BaseModel):
    """Days in the company's zone; a reaction counts on the day of its contact."""

    day: date
    contacts: int = 0
    unsubscribed: int = 0
    complained: int = 0
    bounced: int = 0
    cap_asked: int = 0
    cap_blocked: int = 0


class StopView(BaseModel):
    by: str
    at: datetime
    note: str
    figures: list[dict[str, Any]]


class GuardsView(BaseModel):
    """What has come of the version in force since a person put it there; `paused` is there while it is paused."""

    id: str
    version: int
    status: str
    ramp_percent: int
    since: datetime
    after: int
    days: int
    limits: list[LimitView]
    by_day: list[GuardDay]
    paused: StopView | None


class CompanyView(BaseModel):
    """`version` 0 and the author "environment" stand for what nobody has written here yet."""

    version: int
    document: CompanySettings
    author: str
    note: str
    created_at: datetime | None


class CompanyChange(CompanyView):
    """`changed` is what is different from the version before."""

    changed: list[dict[str, Any]]


def make_router(database: Database, kind: GuardedKind, company: Company) -> APIRouter:
    """/<plural>/{id}/guards and /company; the caller puts them below /v1."""
    router = APIRouter()
    router.include_router(_guards_router(database, kind, company))
    router.include_router(_company_router(database, company, kind.name))
    return router


def _guards_router(database: Database, kind: GuardedKind, company: Company) -> APIRouter:
    router = APIRouter(prefix=f"/{kind.plural}", tags=[kind.plural])

    @router.get("/{id}/guards", name=f"get_{kind.name}_guards", dependencies=[_READS])
    async def get_guards(id: str) -> GuardsView:
        """What came of the document by day, its limits, and how far it is from each; 409 while none is in force."""
        async with database.connection() as connection:
            await reading.get(connection, kind.name, id)
            guards = await company.guards(connection)
            first_day = clock.now().astimezone(ZoneInfo(kind.zone)).date() - timedelta(days=guards.days - 1)
            found = await guarding.guarded(connection, kind.name, [id], first_day)
            stop = await guarding.last_stop(connection, kind.name, id)
        if not found:
            detail = f"No version of {kind.name} {id!r} is active or paused, so nothing is counted; activate one."
            raise Conflict(detail)
        return _view(found[0], guards, stop)

    return router


def _view(found: Guarded, guards: Guards, stop: Stop | None) -> GuardsView:
    judged = guarding.judged(found, guards)
    return GuardsView(
        id=found.id,
        version=found.version,
        status=found.status,
        ramp_percent=found.ramp_percent,
        since=found.since,
        after=guarding.in_force(found, guards).after,
        days=guards.days,
        limits=[LimitView.model_validate(each, from_attributes=True) for each in judged],
        by_day=[
            GuardDay(day=day, **{name: count for name, count in counts.items() if name in MEASURES})
            for day, counts in found.days.items()
        ],
        paused=None if stop is None else StopView.model_validate(stop, from_attributes=True),
    )


def _company_router(database: Database, company: Company, guarded_kind: str) -> APIRouter:
    router = APIRouter(prefix="/company", tags=["company"])

    @router.get("", dependencies=[_READS])
    async def get_company(response: Response) -> CompanyView:
        """The ETag is what a change must name."""
        async with database.connection() as connection:
            version = await company.version(connection)
        found = _of_environment(company) if version is None else _company_view(version)
        response.headers["ETag"] = etag(found.version)
        return found

    @router.put("")
    async def put_company(
        wanted: CompanySettings,
        response: Response,
        principal: Annotated[Principal, Depends(_ADMIN)],
        if_match: IfMatch = None,
        note: Annotated[str, Query(max_length=2_000, description="Why; kept beside the version.")] = "",
    ) -> CompanyView:
        """Counts at once, for documents in force as well: one that is over a new limit is paused."""
        async with database.transaction() as tx:
            written = await company.write(
                tx,
                wanted,
                author=principal.subject,
                note=note,
                expected=expected_version(if_match),
                guarded_kind=guarded_kind,
            )
        response.headers["ETag"] = etag(written.version)
        return _company_view(written)

    @router.get("/versions", dependencies=[_READS])
    async def list_company_versions(limit: Limit = 100, cursor: Cursor = None) -> Page[CompanyChange]:
        """Who changed what from what to what, newest first."""
        before = decode_cursor(cursor, tuple[int])
        async with database.connection() as connection:
            found = await _versions(connection, before[0] if before else 2**31 - 1, limit + 2)
        views = [
            CompanyChange(
                **_company_view(each).model_dump(),
                changed=diff(older.content, each.content) if older is not None else [],
            )
            for each, older in zip(found, [*found, None][1:], strict=True)
        ]
        items, following = page_of(views[: limit + 1], limit, lambda item: (item.version,))
        return Page(items=items, next=following)

    return router


async def _versions(connection: Connection, before: int, limit: int) -> list[DocumentVersion]:
    kind = company_settings.KIND
    return await reading.versions(connection, kind, kind, before=min(max(before, 0), 2**31 - 1), limit=limit)


def _of_environment(company: Company) -> CompanyView:
    return CompanyView(version=0, document=company.first, author=company_settings.ENVIRONMENT, note="", created_at=None)


def _company_view(version: DocumentVersion) -> CompanyView:
    return CompanyView(
        version=version.version,
        document=company_settings.read(version),
        author=version.author,
        note=version.note,
        created_at=version.created_at,
    )

"""Which law holds for whom? The policy table, the company's own rows in it, and what it says of one message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, Field, field_validator

from libs.common import clock
from libs.common.auth import requires
from libs.common.consents import newest_consents
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher, load_snapshot, routes
from libs.common.documents.routes import READERS, DocumentKind, Written
from libs.common.documents.views import Validity
from libs.common.events import Consent
from libs.common.local_hours import zone_of
from libs.common.web import Document
from services.campaign.law import judging
from services.campaign.law.document import KIND, PolicyDocument, faults_in, written_rows
from services.campaign.law.judging import Asked
from services.campaign.law.places import Whereabouts, country_code, country_of_phone, places_of, region_code
from services.campaign.law.rows import Table

_READS = Depends(requires(*READERS))
_ASKS = Depends(requires("marketer", "approver", "operator"))
_KEEPS = ("approver",)
"""Besides administrators: who answers for what is lawful is not who wants to send."""

Rows = Callable[[], Table]


class TableView(BaseModel):
    """`version` is that of the company's document, 0 when only the rows that ship are in force."""

    version: int
    rows: list[dict[str, Any]]


class ConsentSaid(Document):
    """`renewed_at` is when it was last confirmed anew."""

    granted: bool
    at: AwareDatetime
    renewed_at: AwareDatetime | None = None


class Question(Document):
    """`consents` by key: sms, or sms:night. `phone` settles the country, and is not kept. `at` absent means now."""

    channel: Literal["email", "sms", "push", "webhook", "call"]
    class_: Literal["marketing", "transactional", "service"] = Field("marketing", alias="class")
    country: str = Field("", max_length=2, pattern=r"^([A-Za-z]{2})?$")
    region: str = Field("", max_length=6)
    phone: str = Field("", max_length=20)
    zone: str = Field("", max_length=100)
    consents: Annotated[dict[str, ConsentSaid], Field(max_length=100)] = {}
    at: AwareDatetime | None = None

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        if zone and zone_of(zone) is None:
            raise ValueError(f'"{zone}" is no time zone such as Asia/Seoul')
        return zone


class Answer(BaseModel):
    """`verdict` is lawful, later or forbidden. `rows` bind the message, `by` are those that stand against it then."""

    verdict: str
    detail: str
    policy_version: int
    rows: list[str]
    by: list[str]
    next_lawful: datetime | None
    countries: list[str]
    region: str
    zones: list[str]
    at: datetime


def make_router(database: Database, policies: SnapshotWatcher[Table], company_zone: str) -> APIRouter:
    router = APIRouter()
    _add_tables(router, database)

    @router.post("/policies/check", dependencies=[_ASKS], tags=["policies"])
    async def check(question: Question) -> Answer:
        """What the law alone says of one message; the campaign's own gates stand behind it."""
        return answer_to(question, policies.require().content, company_zone, question.at or clock.now())

    kind = DocumentKind(
        name=KIND,
        noun="policy",
        plural="policies",
        read=_read,
        validate=validate_policy,
        validates=_KEEPS,
        activates=_KEEPS,
        stops=_KEEPS,
        writes=_KEEPS,
        has_ramp=False,
        refresh=policies.refresh,
        pauses="The rows that ship are in force alone until it is resumed.",
        ends="The rows that ship are in force alone.",
    )
    router.include_router(routes.make_router(database, kind))
    return router


def _add_tables(router: APIRouter, database: Database) -> None:
    @router.get("/policies/shipped", dependencies=[_READS], tags=["policies"])
    async def get_shipped() -> TableView:
        """Version 0: the rows that come with the product, each with its source."""
        return TableView(version=0, rows=written_rows([]))

    @router.get("/policies/in-force", dependencies=[_READS], tags=["policies"])
    async def get_in_force() -> TableView:
        """The rows by which is decided now."""
        async with database.connection() as connection:
            _, documents = await load_snapshot(connection, KIND)
        written = [PolicyDocument.model_validate_json(each.body) for each in documents]
        own = [each.model_dump(mode="json", by_alias=True, exclude_unset=True) for each in written]
        return TableView(version=max((each.version for each in documents), default=0), rows=written_rows(own))


def answer_to(question: Question, table: Table, company_zone: str, at: datetime) -> Answer:
    known = Whereabouts(
        country_code(question.country),
        region_code(question.region),
        country_of_phone(question.phone),
        question.zone,
    )
    places = places_of(known, company_zone)
    consents = newest_consents(
        [{key: Consent(each.granted, each.at, "", each.renewed_at) for key, each in question.consents.items()}]
    )
    ruling = judging.judge(table, Asked(question.class_, question.channel, places, consents, at))
    return Answer(
        verdict=ruling.verdict,
        detail=ruling.detail,
        policy_version=table.version,
        rows=list(ruling.rows),
        by=list(ruling.by),
        next_lawful=at if ruling.verdict == judging.LAWFUL else ruling.until,
        countries=list(places.countries),
        region=places.region,
        zones=list(places.zones),
        at=at,
    )


async def validate_policy(document: dict[str, Any]) -> Validity:
    """Everything that is wrong with a document, without keeping it."""
    return Validity.of(faults_in(document))


async def _read(document: PolicyDocument) -> Written:
    return Written(document.id, document.model_dump_json(by_alias=True, exclude_unset=True).encode())

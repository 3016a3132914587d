"""What would a campaign have done with the firings of a rule? Asked in pages, none of which splits a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from msgspec import to_builtins
from msgspec.structs import replace
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from libs.common.auth import requires
from libs.common.db import Database
from libs.common.documents import reading
from libs.common.errors import Fault, Invalid
from libs.common.events import RuleTriggered
from libs.common.local_hours import zone_of
from libs.common.web import Document
from services.campaign import store
from services.campaign.api.shapes import VerdictView
from services.campaign.document import KIND, CampaignDocument, campaign_of, faults_in
from services.campaign.facts import Person, facts_of, person_of
from services.campaign.policy import Campaign, Company, longest_window
from services.campaign.simulating import ASSUMES, Fate, Firing, Known, examples_of, results_of, simulate

FIRINGS_MAX = 2_000
EXAMPLES_MAX = 20
_ASKS = Depends(requires("marketer", "approver"))

Id = Annotated[str, Field(min_length=1, max_length=200)]


class Simulation(Document):
    """`campaign` is an id, whose version in force counts, else the latest; or a whole document, which is not kept.

    `firings` are [customer id, person id, instant]. All firings of a person go into one page: caps are the person's.
    """

    campaign: str | dict[str, Any]
    firings: Annotated[list[tuple[Id, Id, AwareDatetime]], Field(max_length=FIRINGS_MAX)]
    examples: int = Field(3, ge=0, le=EXAMPLES_MAX, description="so many of each outcome and gate")


class GateView(BaseModel):
    gate: str
    reached: int
    stopped: int
    deferred: int
    reasons: dict[str, int]


class DayView(BaseModel):
    day: date
    channel: str
    contact: int
    holdout: int
    denied: int


class FateView(BaseModel):
    customer_id: str
    person_id: str
    fired_at: datetime
    decided_at: datetime
    outcome: str
    gate: str
    detail: str
    waited: list[str]
    trace: list[VerdictView]


class SimulationView(BaseModel):
    """`gates` in their order: how many firings came to each, how many it stopped, how often it deferred."""

    campaign_id: str
    campaign_version: int
    policy_version: int
    trigger: str
    channel: str
    firings: int
    people: int
    outcomes: dict[str, int]
    deferred: int
    consent_is_newer: int
    cost: str
    gates: list[GateView]
    days: list[DayView]
    examples: list[FateView]
    assumes: list[str]


def make_router(database: Database, company: Callable[[], Company]) -> APIRouter:
    router = APIRouter(tags=["simulations"])

    @router.post("/simulations", dependencies=[_ASKS])
    async def begin(asked: Simulation) -> SimulationView:
        """Decides nothing and keeps nothing: the gates, as they are, over instants of the past."""
        campaign, firings = await _campaign(database, asked.campaign), [Firing(*each) for each in asked.firings]
        known = await _known(database, campaign, firings, company())
        return await asyncio.to_thread(_answer, campaign, firings, known, asked.examples)

    return router


async def _campaign(database: Database, asked: str | dict[str, Any]) -> Campaign:
    if isinstance(asked, dict):
        if faults := faults_in(asked):
            moved = [Fault(f"/campaign{each.pointer}", each.detail) for each in faults]
            raise Invalid("The campaign cannot be simulated.", moved)
        return campaign_of(CampaignDocument.model_validate(asked), 0)
    async with database.connection() as connection:
        found = await reading.get(connection, KIND, asked, "latest")
        if found.status != "active":
            versions = await reading.versions(connection, KIND, asked, limit=100)
            found = next((each for each in versions if each.status == "active"), found)
    try:
        document = CampaignDocument.model_validate_json(found.body)
    except ValidationError as error:
        raise Invalid(f"Version {found.version} of campaign {asked!r} cannot be read any more.") from error
    return campaign_of(document, found.version, found.ramp_percent if found.status == "active" else 100)


async def _known(database: Database, campaign: Campaign, firings: list[Firing], company: Company) -> Known:
    async with database.transaction() as tx:
        records = await store.load_records(tx, {each.customer_id for each in firings})
        people = {}
        for firing in firings:
            trigger = _trigger(firing)
            people[firing.customer_id] = Person(person_of(trigger, records), *facts_of(trigger, records))
        ids = {id for person in people.values() for id in person.ids}
        window = longest_window([campaign], company)
        since = min((each.at for each in firings), default=None)
        contacts = {} if since is None else await store.past_contacts(tx, ids, since - window - timedelta(seconds=1))
        return Known(people, contacts, await store.switched_off(tx), company)


def _trigger(firing: Firing) -> RuleTriggered:
    """As live would know the person by the copies alone."""
    return RuleTriggered("", "", "", 0, firing.customer_id, firing.person_id, firing.at)


def _answer(campaign: Campaign, firings: list[Firing], known: Known, examples: int) -> SimulationView:
    fates = simulate(campaign, firings, known)
    zone = zone_of(known.company.zone)
    assert zone is not None
    results = results_of(campaign, fates, zone, known)
    return SimulationView(
        campaign_id=campaign.id,
        campaign_version=campaign.version,
        policy_version=known.company.law.version,
        trigger=campaign.trigger,
        channel=campaign.channel,
        cost=str(Decimal(campaign.cost) * results.outcomes.get("contact", 0)),
        examples=[_shown(each) for each in examples_of(fates, examples)],
        assumes=list(ASSUMES),
        **to_builtins(results),
    )


def _shown(fate: Fate) -> FateView:
    last = fate.decision.trace[-1]
    return FateView(
        customer_id=fate.firing.customer_id,
        person_id=fate.firing.person_id,
        fired_at=fate.firing.at,
        decided_at=fate.decided_at,
        outcome=fate.decision.outcome,
        gate=fate.decision.gate,
        detail=last.detail,
        waited=list(fate.waited),
        trace=[VerdictView(**to_builtins(replace(each))) for each in fate.decision.trace],
    )

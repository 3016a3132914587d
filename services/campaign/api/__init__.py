"""Which questions and orders does the campaign service take over HTTP? One router, a file per subject."""

from __future__ import annotations

from fastapi import APIRouter
from msgspec.structs import replace

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.documents.reviewing import ApprovalPolicy
from services.campaign.api import campaigns, decisions, policies, results, simulations, switches
from services.campaign.document import Library
from services.campaign.law.rows import Table
from services.campaign.policy import Company


def make_router(
    database: Database,
    library: SnapshotWatcher[Library],
    table: SnapshotWatcher[Table],
    policy: ApprovalPolicy,
    company: Company,
) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(campaigns.make_router(database, library, policy))
    router.include_router(decisions.make_router(database))
    router.include_router(policies.make_router(database, table, company.zone))
    router.include_router(results.make_router(database, company.zone))
    router.include_router(simulations.make_router(database, lambda: replace(company, law=table.require().content)))
    router.include_router(switches.make_router(database))
    return router

"""Which questions and orders does the campaign service take over HTTP? One router, a file per subject."""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.documents.reviewing import ApprovalPolicy
from services.campaign.api import campaigns, decisions, switches
from services.campaign.document import Library


def make_router(database: Database, library: SnapshotWatcher[Library], policy: ApprovalPolicy) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(campaigns.make_router(database, library, policy))
    router.include_router(decisions.make_router(database))
    router.include_router(switches.make_router(database))
    return router

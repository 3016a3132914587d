"""How is a campaign written, read, switched on and off? Versions, and one of them in force."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher, routes
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.documents.routes import DocumentKind, Written
from libs.common.documents.views import Validity
from services.campaign.document import KIND, CampaignDocument, Library, faults_in

_SWITCHES = ("marketer", "approver", "operator")


def make_router(database: Database, library: SnapshotWatcher[Library], policy: ApprovalPolicy) -> APIRouter:
    kind = DocumentKind(
        name=KIND,
        noun="campaign",
        plural="campaigns",
        read=_read,
        validate=validate_campaign,
        validates=("marketer",),
        activates=_SWITCHES,
        stops=_SWITCHES,
        approves=("approver",),
        policy=policy,
        refresh=library.refresh,
        ends="Ends the campaign; its decisions stay.",
    )
    return routes.make_router(database, kind)


async def validate_campaign(document: dict[str, Any]) -> Validity:
    """Everything that is wrong with a document, without keeping it."""
    return Validity.of(faults_in(document))


async def _read(document: CampaignDocument) -> Written:
    return Written(document.id, document.model_dump_json(by_alias=True, exclude_unset=True).encode())

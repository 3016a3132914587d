"""Where are the parts of the campaign service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from libs.common import operations
from libs.common.auth import Authenticator
from libs.common.documents import SnapshotWatcher
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.footing import Footing
from libs.common.metrics import Metrics
from libs.common.runtime import App
from libs.common.topics import (
    CAMPAIGN_ERASED,
    CONTACT_REQUESTED,
    DECIDED,
    MESSAGE_SETTLED,
    PROFILE_UPDATED,
    TRIGGERED,
)
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.campaign import __doc__ as door_plate
from services.campaign.api import make_router
from services.campaign.caps import Cap
from services.campaign.document import KIND, Library, compile_library
from services.campaign.handlers import Counted, Deciding
from services.campaign.policy import MARKETING, Company
from services.campaign.settings import CampaignSettings

WORKER = "campaign.decide"


async def build(settings: CampaignSettings) -> App:
    footing = Footing("campaign", settings, connections=settings.database_connections)
    library = SnapshotWatcher(
        KIND,
        footing.database.connection,
        compile_library,
        footing.metrics,
        interval_seconds=settings.documents_poll_seconds,
    )
    worker = footing.worker(spec_of(library, company_of(settings), _counted(footing.metrics)))

    async def readiness() -> Sequence[str]:
        return [*library.problems(), *await footing.problems()]

    web = create_app(
        "campaign",
        authenticator=Authenticator(settings.token_secrets),
        metrics=footing.metrics,
        readiness=readiness,
        description=door_plate or "",
    )
    policy = ApprovalPolicy(settings.approval_above_percent)
    web.include_router(make_router(footing.database, library, policy))
    web.include_router(operations.make_router(footing))
    return App(web, resources=footing.resources, components=[library], work=[worker])


def spec_of(library: SnapshotWatcher[Library], company: Company, counted: Counted) -> WorkerSpec:
    deciding = Deciding(library, company, counted)
    return WorkerSpec(
        WORKER,
        # Profiles first: what a batch brings of both is decided on the newer knowledge.
        inputs=[
            Input(PROFILE_UPDATED, deciding.on_profiles, on_erased=deciding.on_erased),
            Input(MESSAGE_SETTLED, deciding.on_settled, feedback=True),
            Input(TRIGGERED, deciding.on_triggered),
        ],
        outputs=[CONTACT_REQUESTED, DECIDED, CAMPAIGN_ERASED],
        on_timers=deciding.on_timers,
    )


def company_of(settings: CampaignSettings) -> Company:
    cap = Cap(settings.marketing_cap_times, timedelta(days=settings.marketing_cap_days))
    return Company(settings.company_zone, {MARKETING: cap})


def _counted(metrics: Metrics) -> Counted:
    decided = metrics.counter("decisions_total", "Decisions by outcome and deciding gate.", ["outcome", "gate"])

    def count(outcome: str, gate: str) -> None:
        decided.labels(outcome, gate).inc()

    return count

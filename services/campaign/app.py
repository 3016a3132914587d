"""Where are the parts of the campaign service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from libs.common import operations
from libs.common.auth import Authenticator
from libs.common.documents import SnapshotWatcher, company, guard_routes
from libs.common.documents.guarding import GuardedKind
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.documents.stopping import Guardian
from libs.common.footing import Footing
from libs.common.metrics import Metrics
from libs.common.runtime import App
from libs.common.topics import (
    CAMPAIGN_ERASED,
    CONTACT_REQUESTED,
    CONTACTS_COUNTED,
    DECIDED,
    EVENT_RESOLVED,
    MESSAGE_SETTLED,
    PROFILE_UPDATED,
    RESPONSE_RECEIVED,
    TRIGGERED,
)
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.campaign import __doc__ as door_plate
from services.campaign.api import make_router
from services.campaign.caps import Cap
from services.campaign.document import KIND, Library, compile_library
from services.campaign.handlers import Counted, Deciding
from services.campaign.law import document as policy_document
from services.campaign.law.rows import Table
from services.campaign.policy import MARKETING, NO_LAW, Company
from services.campaign.results.gathering import Gathering, Keeping
from services.campaign.settings import CampaignSettings

WORKER = "campaign.decide"
MEASURE = "campaign.measure"


async def build(settings: CampaignSettings) -> App:
    footing = Footing("campaign", settings, connections=settings.database_connections)
    library = SnapshotWatcher(
        KIND,
        footing.database.connection,
        compile_library,
        footing.metrics,
        interval_seconds=settings.documents_poll_seconds,
    )
    policies = SnapshotWatcher(
        policy_document.KIND,
        footing.database.connection,
        policy_document.table_in_force,
        footing.metrics,
        interval_seconds=settings.documents_poll_seconds,
    )
    counted = _counted(footing.metrics)
    worker = footing.worker(spec_of(library, company_of(settings), counted, lambda: policies.require().content))
    measuring = footing.worker(measuring_spec(), vital=False)

    async def readiness() -> Sequence[str]:
        return [*library.problems(), *policies.problems(), *await footing.problems()]

    web = create_app(
        "campaign",
        authenticator=Authenticator(settings.token_secrets),
        metrics=footing.metrics,
        readiness=readiness,
        description=door_plate or "",
    )
    settled = company.Company(settings)
    policy = ApprovalPolicy(asked=settled.approval_above_percent)
    web.include_router(make_router(footing.database, library, policies, policy, company_of(settings)))
    web.include_router(guard_routes.make_router(footing.database, _guarded(settings), settled), prefix="/v1")
    web.include_router(operations.make_router(footing))
    return App(
        web,
        resources=footing.resources,
        components=[library, policies, Keeping(footing.database, footing.metrics)],
        work=[worker, measuring, Guardian(footing.database, _guarded(settings), settled.guards, footing.metrics)],
    )


def measuring_spec() -> WorkerSpec:
    """Beside the decisions: what customers do is written down however long that takes."""
    return WorkerSpec(MEASURE, inputs=[Input(EVENT_RESOLVED, Gathering().on_resolved)], outputs=[])


def spec_of(
    library: SnapshotWatcher[Library], company: Company, counted: Counted, law: Callable[[], Table] = lambda: NO_LAW
) -> WorkerSpec:
    deciding = Deciding(library, company, counted, law)
    return WorkerSpec(
        WORKER,
        # Profiles first: what a batch brings of both is decided on the newer knowledge.
        inputs=[
            Input(PROFILE_UPDATED, deciding.on_profiles, on_erased=deciding.on_erased),
            Input(MESSAGE_SETTLED, deciding.on_settled, feedback=True),
            Input(RESPONSE_RECEIVED, deciding.on_responses, feedback=True),
            Input(TRIGGERED, deciding.on_triggered),
        ],
        outputs=[CONTACT_REQUESTED, DECIDED, CONTACTS_COUNTED, CAMPAIGN_ERASED],
        on_timers=deciding.on_timers,
    )


def _guarded(settings: CampaignSettings) -> GuardedKind:
    return GuardedKind(KIND, "campaigns", settings.company_zone)


def company_of(settings: CampaignSettings) -> Company:
    cap = Cap(settings.marketing_cap_times, timedelta(days=settings.marketing_cap_days))
    return Company(settings.company_zone, {MARKETING: cap})


def _counted(metrics: Metrics) -> Counted:
    decided = metrics.counter("decisions_total", "Decisions by outcome and deciding gate.", ["outcome", "gate"])

    def count(outcome: str, gate: str) -> None:
        decided.labels(outcome, gate).inc()

    return count

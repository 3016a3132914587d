"""Where are the parts of the campaign service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from libs.common import migrations
from libs.common.auth import Authenticator
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.kafka import Publisher
from libs.common.metrics import Metrics
from libs.common.runtime import App
from libs.common.topics import CONTACT_REQUESTED, DECIDED, MESSAGE_SETTLED, PROFILE_UPDATED, TRIGGERED
from libs.common.unit import Floor, Input, WorkerSpec
from libs.common.web import create_app
from libs.common.worker import Worker
from services.campaign import __doc__ as door_plate
from services.campaign.api import make_router
from services.campaign.caps import Cap
from services.campaign.document import KIND, Library, compile_library
from services.campaign.handlers import Counted, Deciding
from services.campaign.policy import MARKETING, Company
from services.campaign.settings import CampaignSettings

WORKER = "campaign.decide"


class _Migrated:
    """Refuses to start on tables that this code was not written for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self) -> None:
        async with self._database.connection() as connection:
            await migrations.require_head("campaign", connection)

    async def stop(self) -> None:
        """Nothing was taken."""


async def build(settings: CampaignSettings) -> App:
    metrics = Metrics("campaign")
    database = Database(
        settings.database_url_of("campaign"), application="campaign", size=settings.database_connections
    )
    publisher = Publisher(settings.kafka_bootstrap, prefix=settings.topic_prefix)
    library = SnapshotWatcher(
        KIND, database.connection, compile_library, metrics, interval_seconds=settings.documents_poll_seconds
    )
    floor = _floor(settings, database, publisher, metrics)
    worker = Worker(spec_of(library, company_of(settings), _counted(metrics)), floor)

    async def readiness() -> Sequence[str]:
        return [*library.problems(), *worker.problems()]

    web = create_app(
        "campaign",
        authenticator=Authenticator(settings.token_secrets),
        metrics=metrics,
        readiness=readiness,
        description=door_plate or "",
    )
    web.include_router(make_router(database, library))
    return App(web, resources=[database, _Migrated(database), publisher], components=[library, worker])


def spec_of(library: SnapshotWatcher[Library], company: Company, counted: Counted) -> WorkerSpec:
    deciding = Deciding(library, company, counted)
    return WorkerSpec(
        WORKER,
        # Profiles first: what a batch brings of both is decided on the newer knowledge.
        inputs=[
            Input(PROFILE_UPDATED, deciding.on_profiles),
            Input(MESSAGE_SETTLED, deciding.on_settled, feedback=True),
            Input(TRIGGERED, deciding.on_triggered),
        ],
        outputs=[CONTACT_REQUESTED, DECIDED],
        on_timers=deciding.on_timers,
    )


def company_of(settings: CampaignSettings) -> Company:
    cap = Cap(settings.marketing_cap_times, timedelta(days=settings.marketing_cap_days))
    return Company(settings.company_zone, {MARKETING: cap})


def _counted(metrics: Metrics) -> Counted:
    decided = metrics.counter("decisions_total", "Decisions by outcome and the gate that decided.", ["outcome", "gate"])

    def count(outcome: str, gate: str) -> None:
        decided.labels(outcome, gate).inc()

    return count


def _floor(settings: CampaignSettings, database: Database, publisher: Publisher, metrics: Metrics) -> Floor:
    handled = metrics.counter("worker_total", "What the worker did, by kind.", ["worker", "what"])
    lasted = metrics.histogram("batch_duration_seconds", "How long a batch took to commit and publish.", ["worker"])

    def counted(worker: str, what: str, count: int) -> None:
        handled.labels(worker, what).inc(count)

    def timed(worker: str, seconds: float, count: int) -> None:
        del count
        lasted.labels(worker).observe(seconds)

    return Floor(
        instance=settings.instance_id,
        database=database,
        publisher=publisher,
        bootstrap=settings.kafka_bootstrap,
        prefix=settings.topic_prefix,
        units=settings.partitions,
        crash=CrashPoints(settings.crashpoints),
        counted=counted,
        timed=timed,
    )

"""Which parts is ingest made of, and how are they joined?"""

from __future__ import annotations

from collections.abc import Sequence

from libs.common import migrations, web
from libs.common.auth import Authenticator
from libs.common.db import Database
from libs.common.errors import BrokerAway
from libs.common.kafka import Publisher, check_partitions, partition_counts
from libs.common.metrics import Metrics
from libs.common.runtime import App
from libs.common.topics import EVENT_RECEIVED, EVENT_REJECTED
from services.ingest.api import make_router
from services.ingest.deadlines import Deadlines
from services.ingest.doors import native
from services.ingest.doors.front import Front
from services.ingest.doors.native import NativeDoor
from services.ingest.meters import Meters
from services.ingest.openapi import describe_door
from services.ingest.reception import Reception, ReceptionLimits
from services.ingest.registry import Registry
from services.ingest.settings import IngestSettings


class Ground:
    """A component: before the door opens, the database is of this revision and the topics are there."""

    def __init__(self, database: Database, settings: IngestSettings) -> None:
        self._database = database
        self._settings = settings

    async def start(self) -> None:
        async with self._database.connection() as connection:
            await migrations.require_head("ingest", connection)
        await self.check_topics()

    async def check_topics(self) -> None:
        """BrokerAway when Kafka does not answer; Misconfigured when its topics have other partitions."""
        names = [EVENT_RECEIVED.name, EVENT_REJECTED.name]
        settings = self._settings
        counts = await partition_counts(settings.kafka_bootstrap, settings.topic_prefix, names)
        check_partitions(counts, settings.partitions)
        if missing := [name for name in names if name not in counts]:
            raise BrokerAway(f"the topic {settings.topic_prefix}{missing[0]} is not there yet")

    async def stop(self) -> None:
        """Nothing was left open."""


async def build(settings: IngestSettings) -> App:
    metrics = Metrics("ingest")
    database = Database(settings.database_url_of("ingest"), application="dangol-ingest", size=4)
    publisher = Publisher(settings.kafka_bootstrap, prefix=settings.topic_prefix)
    deadlines = Deadlines()
    registry = Registry(database, metrics, settings.write_keys_file)
    reception = Reception(
        registry=registry,
        publisher=publisher,
        meters=Meters(metrics),
        deadlines=deadlines,
        limits=_limits(settings),
    )
    ground = Ground(database, settings)

    async def readiness() -> Sequence[str]:
        if not reception.acknowledged:
            # An unready door gets no requests that could prove the broker's return, so it is asked here.
            await ground.check_topics()
        return []

    app = web.create_app(
        "ingest",
        authenticator=Authenticator(settings.token_secrets),
        metrics=metrics,
        readiness=readiness,
        description="The front door: events from every channel, accepted once and never lost.",
    )
    app.include_router(make_router(database, registry))
    describe_door(app)
    front = Front(app, reception, {native.PATH: NativeDoor(reception)})
    return App(app, resources=[deadlines, database, ground, publisher, registry], asgi=front)


def _limits(settings: IngestSettings) -> ReceptionLimits:
    return ReceptionLimits(
        settings.partitions,
        settings.live_age_max,
        settings.live_ahead_max,
        settings.body_seconds_max,
        settings.publish_seconds_max,
    )

"""Which parts is ingest made of, and how are they joined?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from libs.common import operations, web
from libs.common.auth import Authenticator
from libs.common.crashpoints import CrashPoints
from libs.common.errors import BrokerAway
from libs.common.footing import Footing
from libs.common.kafka import check_partitions, partition_counts
from libs.common.runtime import App, Component
from libs.common.topics import EVENT_RECEIVED, EVENT_REJECTED
from libs.common.unit import Input, WorkerSpec
from libs.common.worker import Worker
from services.ingest.api import make_router
from services.ingest.deadlines import Deadlines
from services.ingest.doors import native
from services.ingest.doors.cors import CrossOrigin, Origins
from services.ingest.doors.front import Front
from services.ingest.doors.imports import PATH as IMPORTS
from services.ingest.doors.native import NativeDoor
from services.ingest.doors.segment_family import segment_doors
from services.ingest.handlers import Rejects
from services.ingest.hooks import joining as hooks
from services.ingest.hooks.endpoints import PATH as HOOKS
from services.ingest.imports import joining
from services.ingest.meters import Meters
from services.ingest.openapi import describe_doors
from services.ingest.reception import Reception, ReceptionLimits
from services.ingest.registry import Registry
from services.ingest.rejects.gauge import OpenRejects
from services.ingest.rejects.reexamination import Reexamination, examine_event
from services.ingest.rejects.replaying import Replay
from services.ingest.schemas.violations import Recorder
from services.ingest.sealing import Sealer
from services.ingest.settings import IngestSettings
from services.ingest.traffic import Traffic

REJECTS = "ingest.rejects"
_REJECTS_AT_ONCE_MAX = 100
_SPARE_SECONDS = 5.0
_FETCH_SECONDS_MAX = 5.0
_FETCH_BYTES_MAX = 256 * 1024


class Ground:
    """A component: before the door opens, the topics are there."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings

    async def start(self) -> None:
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
    footing = Footing("ingest", settings)
    metrics, database = footing.metrics, footing.database
    deadlines = Deadlines()
    sealer = Sealer(settings.sealing_secrets)
    registry = Registry(database, metrics, settings.write_keys_file, sealer)
    traffic = Traffic()
    recorder = Recorder(database, metrics)
    received_by = partial(
        Reception,
        registry=registry,
        meters=Meters(metrics),
        deadlines=deadlines,
        limits=_limits(settings),
        traffic=traffic,
        recorder=recorder,
    )
    reception = received_by(publisher=footing.publisher)
    ground = Ground(settings)
    ways = Reexamination(lambda key_id: registry.keys.get(key_id))
    ways.register("events", examine_event)
    webhooks = hooks.join(footing, reception, sealer, ways)
    imports = joining.join(settings, metrics, lambda publisher: received_by(publisher=publisher), webhooks.mappings)
    ways.register("imports/", imports.again)

    async def readiness() -> Sequence[str]:
        # Not a word of the worker: the door does not need it, and no balancer shall take a working door away for it.
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
    app.include_router(make_router(database, registry, sealer, _replay(footing, settings, reception, ways)))
    app.include_router(webhooks.router)
    app.include_router(imports.router)
    app.include_router(operations.make_router(footing))
    describe_doors(app)
    segment = segment_doors(reception, ways, lambda: webhooks.mappings.get("segment"), settings.public_url)
    exact = {native.PATH: CrossOrigin(NativeDoor(reception), Origins(registry)), **segment.exact}
    front = Front(app, reception, exact, {HOOKS: webhooks.door, **segment.below}, {IMPORTS: imports.door})
    first: list[Component] = [deadlines, traffic, *footing.resources]
    return App(
        app,
        resources=[*first, ground, registry, recorder, *webhooks.resources, *imports.resources],
        components=[OpenRejects(database, metrics)],
        work=[_rejects(footing, settings), imports.runner],
        asgi=front,
    )


def _rejects(footing: Footing, settings: IngestSettings) -> Worker:
    """Beside the door, and not vital to it: whatever becomes of the worker, events are taken."""
    handlers = Rejects(settings.rejects_allowance, settings.rejects_kept_for)
    spec = WorkerSpec(
        REJECTS,
        inputs=[Input(EVENT_REJECTED, handlers.on_rejected)],
        outputs=[],
        on_timers=handlers.on_timers,
        batch_max=_REJECTS_AT_ONCE_MAX,
        # It shares the loop with the door: at rest it hardly asks, and never for much at once.
        fetch_seconds_max=_FETCH_SECONDS_MAX,
        fetch_bytes_max=_FETCH_BYTES_MAX,
    )
    return footing.worker(spec, vital=False)


def _replay(footing: Footing, settings: IngestSettings, reception: Reception, ways: Reexamination) -> Replay:
    counter = footing.metrics.counter("replayed_rejects_total", "Rejects that were replayed.", ["outcome"])
    return Replay(
        footing.database,
        reception,
        ways,
        lambda outcome: counter.labels(outcome).inc(),
        CrashPoints(settings.crashpoints),
        locked_seconds_max=settings.publish_seconds_max + _SPARE_SECONDS,
    )


def _limits(settings: IngestSettings) -> ReceptionLimits:
    return ReceptionLimits(
        settings.partitions,
        settings.live_age_max,
        settings.live_ahead_max,
        settings.body_seconds_max,
        settings.publish_seconds_max,
    )

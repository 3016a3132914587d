"""Where are the parts of the rules service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from libs.common import operations
from libs.common.auth import Authenticator
from libs.common.documents import ActiveDocument, SnapshotWatcher
from libs.common.footing import Footing
from libs.common.runtime import App
from libs.common.topics import EVENT_RESOLVED, RULES_ERASED, TRIGGERED
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.rules import __doc__ as door_plate
from services.rules.api import KIND, make_router
from services.rules.backtest.jobs import Jobs, Place
from services.rules.counters import RuleCounters
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.handlers import Matching
from services.rules.keeping import LogKeeping
from services.rules.settings import RulesSettings

WORKER = "rules.match"


async def build(settings: RulesSettings) -> App:
    footing = Footing("rules", settings, connections=settings.database_connections)

    def compiled(documents: Sequence[ActiveDocument]) -> Snapshot:
        return compile_snapshot(map(_source, documents), settings.company_zone)

    # Paused rules are watched too: a rule that is resumed has missed nothing.
    rules = SnapshotWatcher(
        KIND,
        footing.database.connection,
        compiled,
        footing.metrics,
        interval_seconds=settings.documents_poll_seconds,
        with_paused=True,
    )
    counted = RuleCounters(footing.metrics).count
    matching = Matching(
        rules, settings.partitions, settings.states_cached_max, counted, batch_max=settings.batch_events_max
    )
    worker = footing.worker(_spec(matching, settings))

    backtests = Jobs(footing.database, footing.metrics, _place(settings))

    async def readiness() -> Sequence[str]:
        return [*rules.problems(), *await footing.problems()]

    web = create_app(
        "rules",
        authenticator=Authenticator(settings.token_secrets),
        metrics=footing.metrics,
        readiness=readiness,
        description=door_plate or "",
    )
    web.include_router(make_router(footing.database, rules, settings, backtests.wake))
    web.include_router(operations.make_router(footing))
    log = LogKeeping(footing.database, footing.metrics)
    return App(web, resources=footing.resources, components=[log, rules], work=[worker, backtests])


def _spec(matching: Matching, settings: RulesSettings) -> WorkerSpec:
    return WorkerSpec(
        WORKER,
        inputs=[Input(EVENT_RESOLVED, matching.on_resolved_events)],
        outputs=[TRIGGERED, RULES_ERASED],
        on_timers=matching.on_timers,
        batch_max=settings.batch_events_max,
        timer_grace_seconds=settings.timer_grace_seconds,
    )


def _source(document: ActiveDocument) -> Source:
    return Source(document.body, document.version, document.status == "active", document.ramp_percent)


def _place(settings: RulesSettings) -> Place:
    return Place(
        settings.instance_id,
        settings.kafka_bootstrap,
        settings.topic_prefix,
        settings.partitions,
        settings.company_zone,
        settings.timer_grace_seconds,
        settings.backtests_running_max,
        settings.backtest_memory_mb,
        settings.log_level,
    )

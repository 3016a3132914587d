"""Where are the parts of the rules service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from libs.common import operations
from libs.common.auth import Authenticator
from libs.common.documents import ActiveDocument, SnapshotWatcher
from libs.common.documents.company import Company
from libs.common.documents.stopping import Guardian
from libs.common.footing import Footing
from libs.common.runtime import App, Component
from libs.common.topics import EVENT_RESOLVED, RULES_ERASED, SEGMENT_MOVED, TRIGGERED
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.rules import __doc__ as door_plate
from services.rules import guarding
from services.rules.api import KIND, guarded, make_router
from services.rules.backtest.jobs import Jobs, Place
from services.rules.counters import RuleCounters
from services.rules.document.segments import KIND as SEGMENT
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.fanout.keeping import FanoutKeeping
from services.rules.fanout.spreading import Spreading
from services.rules.handlers import Matching
from services.rules.keeping import LogKeeping
from services.rules.membership.counting import MemberCounting
from services.rules.settings import RulesSettings
from services.rules.sizing import StateSizing
from services.rules.warming import jobs as warmings
from services.rules.warming.jobs import WarmingJobs
from services.rules.warming.unit import Warming

WORKER = "rules.match"


async def build(settings: RulesSettings) -> App:
    footing = Footing("rules", settings, connections=settings.database_connections)

    def compiled(documents: Sequence[ActiveDocument]) -> Snapshot:
        written = {kind: [_source(each) for each in documents if each.kind == kind] for kind in (KIND, SEGMENT)}
        return compile_snapshot(written[KIND], settings.company_zone, written[SEGMENT])

    # Paused rules are watched too: a rule that is resumed has missed nothing.
    rules = SnapshotWatcher(
        KIND,
        footing.database.connection,
        compiled,
        footing.metrics,
        interval_seconds=settings.documents_poll_seconds,
        with_paused=True,
        beside=[SEGMENT],
        meaning=["who", "time"],
    )
    counted = RuleCounters(footing.metrics).count
    spread = Spreading(settings.fanout_customers_per_second, timedelta(hours=settings.fanout_valid_hours))
    learning = Warming(settings.company_zone, settings.timer_grace_seconds)
    matching = Matching(
        rules, settings.partitions, settings.states_cached_max, counted, settings.batch_events_max, spread, learning
    )
    worker = footing.worker(_spec(matching, settings))

    guards = footing.worker(guarding.spec_of(guarded(settings)), vital=False)
    guardian = Guardian(footing.database, guarded(settings), Company(settings).guards, footing.metrics)
    backtests = Jobs(footing.database, footing.metrics, _place(settings))
    warming = WarmingJobs(
        footing.database,
        footing.metrics,
        _past(settings),
        lambda: -1 if rules.current is None else rules.current.number,
    )

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
    members = MemberCounting(footing.database, footing.metrics, lambda: _counted_segments(rules))
    fanouts = FanoutKeeping(footing.database, footing.metrics)
    sizing = StateSizing(footing.database, footing.metrics, lambda: rules.current.content if rules.current else None)
    work: list[Component] = [worker, guards, guardian, backtests, warming]
    return App(web, resources=footing.resources, components=[log, fanouts, rules, members, sizing], work=work)


def _counted_segments(rules: SnapshotWatcher[Snapshot]) -> list[str]:
    current = rules.current
    return [] if current is None else [id for id, each in current.content.segments.items() if not each.hidden]


def _spec(matching: Matching, settings: RulesSettings) -> WorkerSpec:
    return WorkerSpec(
        WORKER,
        inputs=[Input(EVENT_RESOLVED, matching.on_resolved_events)],
        outputs=[TRIGGERED, SEGMENT_MOVED, RULES_ERASED],
        on_timers=matching.on_timers,
        batch_max=settings.batch_events_max,
        timer_grace_seconds=settings.timer_grace_seconds,
    )


def _source(document: ActiveDocument) -> Source:
    active = document.status == "active"
    return Source(document.body, document.version, active, document.ramp_percent, document.began)


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
        settings.backtest_archive,
        settings.campaign_url,
        settings.campaign_token_file,
    )


def _past(settings: RulesSettings) -> warmings.Place:
    return warmings.Place(
        settings.instance_id,
        WORKER,
        settings.kafka_bootstrap,
        settings.topic_prefix,
        settings.partitions,
        settings.company_zone,
        settings.timer_grace_seconds,
        settings.database_url_of("rules"),
        settings.warming_memory_mb,
        settings.log_level,
    )

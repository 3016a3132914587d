"""Where are the parts of the profile service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from starlette.middleware import Middleware

from libs.common import clock, operations
from libs.common.auth import Authenticator
from libs.common.db import Database, Tx
from libs.common.footing import Footing
from libs.common.runtime import App, Recurring
from libs.common.topics import (
    COMMAND_ISSUED,
    EVENT_IDENTIFIED,
    EVENT_RECEIVED,
    EVENT_RESOLVED,
    LINK_ORDERED,
    PROFILE_UPDATED,
    RESPONSE_RECEIVED,
    TRIGGERED,
)
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.profile import __doc__ as door_plate
from services.profile.api import duplicates, make_router, privacy
from services.profile.api.desk import Desk
from services.profile.apply import Apply
from services.profile.commands import Commands
from services.profile.consent_records import ConsentRecords
from services.profile.defining import Defining
from services.profile.finder.lessons import Lessons
from services.profile.finder.looking import Looks
from services.profile.finder.pace import Pace
from services.profile.finder.rounds import Rounds
from services.profile.identify import Identify
from services.profile.person import Definitions
from services.profile.portraits import Portraits
from services.profile.privacy import noting
from services.profile.privacy.auditing import Audited, Auditor
from services.profile.privacy.erasing import Eraser
from services.profile.privacy.marks import Marks
from services.profile.privacy.requests import PrivacyRequests
from services.profile.privacy.returning import Returning
from services.profile.privacy.sweeping import Sweeper
from services.profile.projecting import Projection
from services.profile.quality_rows import QualityRows
from services.profile.reference import Catalogue
from services.profile.reference.watching import ReferenceWatch
from services.profile.refold_jobs import RefoldJobs
from services.profile.settings import ProfileSettings
from services.profile.store import arrivals
from services.profile.store import commands as command_store

_DAYS_EVERY_SECONDS = 3600.0


async def build(settings: ProfileSettings) -> App:
    footing = Footing("profile", settings, connections=settings.database_connections)
    defining = Defining(footing.database, ZoneInfo(settings.company_zone))
    identify = footing.worker(_identify(settings, footing, defining.in_force))
    reference = ReferenceWatch(footing.database)
    numbers = footing.metrics.gauge("snapshot_number", "Which state of what is edited is in use here.", ["kind"])
    numbers.labels("definitions").set_function(lambda: defining.in_force().number)
    numbers.labels("reference").set_function(lambda: reference.catalogue.number)
    apply = footing.worker(_apply(settings, defining.in_force, lambda: reference.catalogue))
    days = _Days(footing.database, settings.live_age_days)

    async def readiness() -> Sequence[str]:
        return [*defining.problems(), *reference.problems(), *await footing.problems()]

    web = create_app(
        "profile",
        authenticator=Authenticator(settings.token_secrets),
        metrics=footing.metrics,
        readiness=readiness,
        description=door_plate or "",
    )
    refolds = RefoldJobs(footing.database, footing.publisher, settings.partitions)
    commands = Commands(footing.publisher, footing.database, settings.partitions)
    desk = Desk(footing.database, commands, defining.in_force, settings.region)
    eraser = _eraser(settings, footing, defining.in_force)
    pace = Pace(lambda: sum(sum(worker.lag().values()) for worker in footing.workers))
    lessons = Lessons(footing.database, pace)
    rounds = _rounds(footing, commands, defining.in_force, lessons, pace)
    web.include_router(make_router(desk, defining))
    erasures = Recurring("erasures", eraser.begin, footing.metrics)
    web.include_router(privacy.make_router(desk, erasures.wake))
    web.state.database, web.state.definitions = footing.database, defining.in_force
    # Inside of all others, so that what it refuses is told like any other trouble.
    web.user_middleware.append(Middleware(Audited, auditor=Auditor(footing.database)))
    web.include_router(duplicates.make_router(desk, lessons))
    web.include_router(operations.make_router(footing))
    return App(
        web,
        resources=[*footing.resources, days],
        components=[defining, reference],
        work=[
            Recurring("days", days.turn, footing.metrics),
            Recurring("refolds", refolds.turn, footing.metrics),
            erasures,
            Recurring("erasures_begun", eraser.go_on, footing.metrics),
            Recurring("duplicates", rounds.turn, footing.metrics),
            Recurring("lessons", lessons.turn, footing.metrics),
            identify,
            apply,
        ],
    )


def _eraser(settings: ProfileSettings, footing: Footing, definitions: Callable[[], Definitions]) -> Eraser:
    return Eraser(
        footing.database,
        footing.publisher,
        Marks(settings.erasure_secrets),
        Sweeper(settings.kafka_bootstrap, settings.topic_prefix, footing.publisher, settings.partitions),
        me=settings.instance_id,
        partitions=settings.partitions,
        definitions=definitions,
    )


def _rounds(
    footing: Footing, commands: Commands, definitions: Callable[[], Definitions], lessons: Lessons, pace: Pace
) -> Rounds:
    came = footing.metrics.counter("duplicates_total", "What became of looks for duplicates, by kind.", ["what"])
    waits = footing.metrics.gauge("duplicates_waiting_customers", "Customers to be looked at, some maybe twice.")

    def counted(what: str, count: int) -> None:
        if count:
            came.labels(what).inc(count)

    looks = Looks(footing.database, commands, definitions, lessons, counted)
    return Rounds(footing.database, looks, definitions, pace, waits.set)


def _identify(settings: ProfileSettings, footing: Footing, definitions: Callable[[], Definitions]) -> WorkerSpec:
    arrived = footing.metrics.counter(
        "identified_total", "Events that were not plainly somebody's, by what they were.", ["what"]
    )

    def counted(what: str, count: int) -> None:
        if count:
            arrived.labels(what).inc(count)

    returning = Returning(Marks(settings.erasure_secrets))
    identify = Identify(settings.region, settings.live_age_days, counted, definitions, returning, settings.partitions)
    return WorkerSpec(
        "profile.identify",
        inputs=[Input(EVENT_RECEIVED, identify.on_received), Input(LINK_ORDERED, identify.on_ordered)],
        outputs=[EVENT_IDENTIFIED],
        batch_max=settings.batch_max,
    )


def _apply(
    settings: ProfileSettings, definitions: Callable[[], Definitions], catalogue: Callable[[], Catalogue]
) -> WorkerSpec:
    projections = [*_projections(definitions), Portraits(settings.region)]
    apply = Apply(definitions, projections, settings.partitions, catalogue)
    return WorkerSpec(
        "profile.apply",
        inputs=[
            Input(EVENT_IDENTIFIED, apply.on_identified),
            Input(COMMAND_ISSUED, apply.on_commands),
            Input(RESPONSE_RECEIVED, apply.on_responses, feedback=True),
            Input(TRIGGERED, apply.on_triggered, feedback=True),
            *noting.inputs(),
        ],
        outputs=[EVENT_RESOLVED, PROFILE_UPDATED],
        on_timers=apply.on_timers,
        batch_max=settings.batch_max,
    )


def _projections(definitions: Callable[[], Definitions]) -> list[Projection]:
    return [ConsentRecords(definitions), QualityRows(definitions), PrivacyRequests()]


class _Days:
    """Keeps a partition ready for each day on which a live event may lie, from before the first event on.

    What is kept of conflicts goes when the ids do, and what became of commands in its time.
    """

    def __init__(self, database: Database, age_days: int) -> None:
        self._database = database
        self._age_days = age_days

    async def start(self) -> None:
        await self._arrange()

    async def stop(self) -> None:
        """The partitions stay."""

    async def turn(self) -> float:
        await self._arrange()
        await self._forget(arrivals.drop_conflicts, self._age_days)
        await self._forget(command_store.forget_commands, command_store.KEPT_DAYS)
        return _DAYS_EVERY_SECONDS

    async def _forget(self, some: Callable[[Tx, datetime], Awaitable[int]], age_days: int) -> None:
        """In pieces, so that no transaction is a long one."""
        before = clock.now() - timedelta(days=age_days)
        deleted = -1
        while deleted:
            async with self._database.transaction() as tx:
                deleted = await some(tx, before)

    async def _arrange(self) -> None:
        async with self._database.transaction() as tx:
            await arrivals.arrange_days(tx, clock.now().date(), self._age_days)

"""Where are the parts of the profile service made and joined? Here, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from zoneinfo import ZoneInfo

from libs.common import clock, operations
from libs.common.auth import Authenticator
from libs.common.db import Database
from libs.common.footing import Footing
from libs.common.runtime import App, Background
from libs.common.topics import (
    COMMAND_ISSUED,
    EVENT_IDENTIFIED,
    EVENT_RECEIVED,
    EVENT_RESOLVED,
    PROFILE_UPDATED,
    RESPONSE_RECEIVED,
    TRIGGERED,
)
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.profile import __doc__ as door_plate
from services.profile.api import make_router
from services.profile.api.desk import Desk
from services.profile.apply import Apply
from services.profile.commands import Commands
from services.profile.identify import Identify
from services.profile.person import Definitions
from services.profile.refold_jobs import RefoldJobs
from services.profile.settings import ProfileSettings
from services.profile.store import arrivals


async def build(settings: ProfileSettings) -> App:
    footing = Footing("profile", settings, connections=settings.database_connections)
    identify = footing.worker(_identify(settings, footing))
    shipped = Definitions(zone=ZoneInfo(settings.company_zone))

    def definitions() -> Definitions:
        return shipped

    apply = footing.worker(_apply(settings, definitions))
    days = _Days(footing.database, settings.live_age_days)
    web = create_app(
        "profile",
        authenticator=Authenticator(settings.token_secrets),
        metrics=footing.metrics,
        readiness=footing.problems,
        description=door_plate or "",
    )
    refolds = RefoldJobs(footing.database, footing.publisher, settings.partitions)
    commands = Commands(footing.publisher, footing.database, settings.partitions)
    web.include_router(make_router(Desk(footing.database, commands, definitions, settings.region)))
    web.include_router(operations.make_router(footing))
    return App(
        web,
        resources=[*footing.resources, days],
        components=[Background("days", days.keep), Background("refolds", refolds.keep), identify, apply],
    )


def _identify(settings: ProfileSettings, footing: Footing) -> WorkerSpec:
    arrived = footing.metrics.counter(
        "identified_total", "Events that were not plainly somebody's, by what they were.", ["what"]
    )

    def counted(what: str, count: int) -> None:
        if count:
            arrived.labels(what).inc(count)

    identify = Identify(settings.region, settings.live_age_days, counted)
    return WorkerSpec(
        "profile.identify",
        inputs=[Input(EVENT_RECEIVED, identify.on_received)],
        outputs=[EVENT_IDENTIFIED],
        batch_max=settings.batch_max,
    )


def _apply(settings: ProfileSettings, definitions: Callable[[], Definitions]) -> WorkerSpec:
    apply = Apply(definitions)
    return WorkerSpec(
        "profile.apply",
        inputs=[
            Input(EVENT_IDENTIFIED, apply.on_identified),
            Input(COMMAND_ISSUED, apply.on_commands),
            Input(RESPONSE_RECEIVED, apply.on_responses, feedback=True),
            Input(TRIGGERED, apply.on_triggered, feedback=True),
        ],
        outputs=[EVENT_RESOLVED, PROFILE_UPDATED],
        on_timers=apply.on_timers,
        batch_max=settings.batch_max,
    )


class _Days:
    """Keeps a partition ready for each day on which a live event may lie, from before the first event on."""

    def __init__(self, database: Database, age_days: int) -> None:
        self._database = database
        self._age_days = age_days

    async def start(self) -> None:
        await self._arrange()

    async def stop(self) -> None:
        """The partitions stay."""

    async def keep(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                async with asyncio.timeout(3600):
                    await stopping.wait()
            except TimeoutError:
                await self._arrange()

    async def _arrange(self) -> None:
        async with self._database.transaction() as tx:
            await arrivals.arrange_days(tx, clock.now().date(), self._age_days)

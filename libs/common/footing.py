"""What does every service with a worker stand on? The same parts, made in the same way, from its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from libs.common import clock, logs, migrations
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database
from libs.common.kafka import Publisher
from libs.common.metrics import Metrics
from libs.common.runtime import Component
from libs.common.settings import CommonSettings
from libs.common.unit import Floor, WorkerSpec
from libs.common.worker import Worker

K = TypeVar("K")


class Footing:
    """Metrics, database, publisher and the workers on them; `resources` and `workers` are for the runtime.

    `after_batch` is called when a batch has been committed, for whoever waits in this process for what it wrote.
    """

    def __init__(
        self,
        service: str,
        settings: CommonSettings,
        *,
        connections: int = 8,
        after_batch: Callable[[], None] | None = None,
    ) -> None:
        self.metrics = Metrics(service)
        self.database = Database(settings.database_url_of(service), application=service, size=connections)
        self.publisher = Publisher(settings.kafka_bootstrap, prefix=settings.topic_prefix)
        self.workers: list[Worker] = []
        self._service = service
        self._works = settings.works
        self._floor = _floor(settings, self, after_batch)
        self.metrics.registry.register(_UnitGauges(service, self.workers))

    @property
    def resources(self) -> list[Component]:
        return [self.database, _Migrated(self._service, self.database), self.publisher]

    def worker(self, spec: WorkerSpec, *, vital: bool = True) -> Worker:
        worker = Worker(spec, self._floor, vital=vital)
        # What is not started has no units, and is not asked for them.
        if self._works:
            self.workers.append(worker)
        return worker

    async def problems(self) -> list[str]:
        """Why the workers cannot work as they should: what /readyz answers."""
        return [problem for worker in self.workers for problem in worker.problems()]


class _Migrated:
    """Refuses to start on tables that this code was not written for."""

    def __init__(self, service: str, database: Database) -> None:
        self._service = service
        self._database = database

    async def start(self) -> None:
        async with self._database.connection() as connection:
            await migrations.require_head(self._service, connection)

    async def stop(self) -> None:
        """Nothing was taken."""


def _floor(settings: CommonSettings, footing: Footing, after_batch: Callable[[], None] | None) -> Floor:
    handled = footing.metrics.counter("worker_total", "What a worker did, by kind.", ["worker", "what"])
    lasted = footing.metrics.histogram(
        "batch_duration_seconds", "How long a batch took to be handled, committed and published.", ["worker"]
    )

    def counted(worker: str, what: str, count: int) -> None:
        handled.labels(worker, what).inc(count)

    def timed(worker: str, seconds: float, count: int) -> None:
        del count
        lasted.labels(worker).observe(seconds)
        if after_batch is not None:
            after_batch()

    return Floor(
        instance=settings.instance_id,
        database=footing.database,
        publisher=footing.publisher,
        bootstrap=settings.kafka_bootstrap,
        prefix=settings.topic_prefix,
        units=settings.partitions,
        crash=CrashPoints(settings.crashpoints),
        counted=counted,
        timed=timed,
    )


class _UnitGauges(Collector):
    """Lag and clock of the units that run here, read when somebody asks."""

    def __init__(self, service: str, workers: list[Worker]) -> None:
        self._prefix = f"dangol_{service}_"
        self._workers = workers
        self._log = logs.get("footing")

    def collect(self) -> Iterable[GaugeMetricFamily]:
        lag = GaugeMetricFamily(
            self._prefix + "consumer_lag_messages", "Unread messages.", labels=["worker", "topic", "unit"]
        )
        behind = GaugeMetricFamily(
            self._prefix + "clock_lag_seconds",
            "How far a unit's clock is behind the wall clock.",
            labels=["worker", "unit"],
        )
        owned = GaugeMetricFamily(self._prefix + "owned_units", "How many units this process holds.", labels=["worker"])
        for worker in self._workers:
            name = worker.spec.name
            owned.add_metric([name], len(worker.units()))
            for (topic, unit), count in self._said(worker, worker.lag).items():
                lag.add_metric([name, topic, str(unit)], count)
            for unit, clock_ms in self._said(worker, worker.clocks_ms).items():
                if clock_ms:
                    behind.add_metric([name, str(unit)], (clock.now_ms() - clock_ms) / 1000)
        return [lag, behind, owned]

    def _said(self, worker: Worker, asked: Callable[[], dict[K, int]]) -> dict[K, int]:
        """What a worker answers; nothing where it cannot say it now, as while a unit is connecting."""
        try:
            return asked()
        except Exception as error:  # noqa: BLE001 - a page without some samples tells more than none at all.
            self._log.warning("gauges_unknown", worker=worker.spec.name, error=f"{type(error).__name__}: {error}")
            return {}

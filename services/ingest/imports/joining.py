"""Which parts are file imports made of, and how are they joined? What `app.py` puts into the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fastapi import APIRouter

from libs.common.crashpoints import CrashPoints
from libs.common.db import Database
from libs.common.kafka import Publisher
from libs.common.metrics import Metrics
from libs.common.runtime import Component
from services.ingest.api import import_sheets, imports
from services.ingest.doors.imports import ImportDoor
from services.ingest.imports.gait import Gait
from services.ingest.imports.passes import Tools
from services.ingest.imports.runner import ImportMeters, ImportRunner, RunnerLimits
from services.ingest.imports.translation import Mappings, again
from services.ingest.imports.uploading import UploadLimits, Uploads
from services.ingest.intake import Outcome, Terms
from services.ingest.reception import Reception
from services.ingest.settings import IngestSettings

CONNECTIONS: int = 4
INFLATED_TIMES_MAX: int = 4
"""How many times the limit of a file it may inflate to."""


class Imports(NamedTuple):
    """`resources` are connections of its own to PostgreSQL and Kafka: no request at a door waits behind a file."""

    resources: Sequence[Component]
    door: ImportDoor
    runner: ImportRunner
    router: APIRouter
    mappings: Mappings

    def again(self, body: bytes, context: Mapping[str, str], terms: Terms) -> Outcome:
        """The verdict on a line that was refused before."""
        return again(body, context, terms, self.mappings)


def join(
    settings: IngestSettings, metrics: Metrics, received_by: Callable[[Publisher], Reception], mappings: Mappings
) -> Imports:
    database = Database(settings.database_url_of("ingest"), application="dangol-ingest-imports", size=CONNECTIONS)
    publisher = Publisher(settings.kafka_bootstrap, prefix=settings.topic_prefix)
    reception = received_by(publisher)
    meters = ImportMeters(metrics)
    tools = Tools(
        database=database,
        reception=reception,
        mappings=mappings,
        gait=Gait(settings.import_lines_per_second_max),
        crash=CrashPoints(settings.crashpoints),
        note=meters.note,
        file_bytes_max=settings.import_file_bytes_max * INFLATED_TIMES_MAX,
        refused_lines_max=settings.import_refused_lines_max,
    )
    runner = ImportRunner(
        tools, settings.instance_id, RunnerLimits(settings.import_running_max, settings.import_idle_max), meters
    )
    uploads = Uploads(database, UploadLimits(settings.import_file_bytes_max, settings.import_piece_seconds_max))
    door = ImportDoor(reception, database, uploads, mappings, runner.look)
    router = APIRouter(prefix="/v1")
    router.include_router(import_sheets.make_router(database))
    router.include_router(imports.make_router(database, reception))
    return Imports([database, publisher], door, runner, router, mappings)

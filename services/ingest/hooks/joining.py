"""Which parts take webhooks, and how are they joined?"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from libs.common.footing import Footing
from libs.common.runtime import Component
from services.ingest.api import make_hooks_router
from services.ingest.doors.hooks import HookMeters, HooksDoor
from services.ingest.hooks.book import HookBook
from services.ingest.hooks.endpoints import DOOR
from services.ingest.mapping.shelf import Mappings
from services.ingest.reception import Reception
from services.ingest.rejects.reexamination import Reexamination
from services.ingest.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Webhooks:
    """`resources` are started before the door opens; `mappings` serve other doors, too."""

    door: HooksDoor
    mappings: Mappings
    router: APIRouter
    resources: list[Component]


def join(footing: Footing, reception: Reception, sealer: Sealer, ways: Reexamination) -> Webhooks:
    database, metrics = footing.database, footing.metrics
    mappings = Mappings(database.connection, metrics)
    book = HookBook(database, sealer, metrics)
    door = HooksDoor(reception, book, mappings, HookMeters(metrics))
    ways.register(DOOR, door.again, book.key_of)
    router = make_hooks_router(database, book, mappings, sealer, reception)
    return Webhooks(door, mappings, router, [mappings, book])

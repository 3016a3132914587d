"""Which questions and orders does the rules service take over HTTP? One router, a file per subject."""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from services.rules.api import reading, switching, writing
from services.rules.api.writing import KIND
from services.rules.snapshot import Snapshot

__all__ = ["KIND", "make_router"]


def make_router(database: Database, rules: SnapshotWatcher[Snapshot]) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["rules"])
    router.include_router(writing.make_router(database))
    router.include_router(reading.make_router(database))
    router.include_router(switching.make_router(database, rules))
    return router

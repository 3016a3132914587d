"""Which questions and orders does the rules service take over HTTP? One router, a file per subject."""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from services.rules.api import rules as rules_api
from services.rules.api.rules import KIND
from services.rules.snapshot import Snapshot

__all__ = ["KIND", "make_router"]


def make_router(database: Database, rules: SnapshotWatcher[Snapshot]) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(rules_api.make_router(database, rules))
    return router

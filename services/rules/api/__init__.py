"""Which questions and orders does the rules service take over HTTP? One router, a file per subject."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher, guard_routes
from libs.common.documents.company import Company
from libs.common.documents.guarding import GuardedKind
from libs.common.documents.reviewing import ApprovalPolicy
from services.rules.api import backtests, explain, fanouts, library, segments, triggers
from services.rules.api import rules as rules_api
from services.rules.api.reach import reach_of
from services.rules.api.rules import KIND
from services.rules.engine.snapshot import Snapshot
from services.rules.settings import RulesSettings

__all__ = ["KIND", "guarded", "make_router"]


def guarded(settings: RulesSettings) -> GuardedKind:
    return GuardedKind(KIND, "rules", settings.company_zone)


def make_router(
    database: Database,
    rules: SnapshotWatcher[Snapshot],
    settings: RulesSettings,
    wake_backtests: Callable[[], None],
) -> APIRouter:
    router = APIRouter(prefix="/v1")
    settled = Company(settings)
    policy = ApprovalPolicy(reach=reach_of, asked=settled.approval_above_percent)
    # Before the rules, of which one could be called "backtests" or "fanouts".
    router.include_router(backtests.make_router(database, wake_backtests))
    router.include_router(fanouts.make_router(database))
    router.include_router(rules_api.make_router(database, rules, policy, settings.company_zone))
    router.include_router(explain.make_router(database, rules, settings.company_zone))
    router.include_router(guard_routes.make_router(database, guarded(settings), settled))
    router.include_router(segments.make_router(database, rules))
    router.include_router(triggers.make_router(database))
    router.include_router(library.make_router(database, settings.company_zone))
    return router

"""How is a rule written, read, agreed to, switched on and off? As every document; only what is checked is its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter

from libs.common import clock
from libs.common.db import Database, Tx
from libs.common.documents import SnapshotWatcher, routes
from libs.common.documents.kinds import DocumentKind, Written
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.documents.shapes import DocumentVersion
from libs.common.documents.views import WarnedValidity
from libs.common.errors import Invalid
from services.rules.api.rule_tests import make_router as make_tests_router
from services.rules.api.rule_tests import segments_for
from services.rules.document import checking, language
from services.rules.document.segments import require_references
from services.rules.engine.snapshot import Snapshot
from services.rules.membership import store as membership

KIND = "rule"


def make_router(
    database: Database, rules: SnapshotWatcher[Snapshot], policy: ApprovalPolicy, company_zone: str
) -> APIRouter:
    # The tests of rules are work for the processor, and the worker lives here too: one thread for all of them.
    alone = ThreadPoolExecutor(1, "rule-tests")

    async def read(document: dict[str, Any]) -> Written:
        loop = asyncio.get_running_loop()
        known = await segments_for(database, document)
        checked = await loop.run_in_executor(alone, checking.read, document, company_zone, known)
        return Written(checked.rule.id, checked.body)

    async def read_at(id: str, document: dict[str, Any]) -> Written:
        routes.require_same_id(id, document.setdefault("id", id), KIND)
        return await read(document)

    async def validate_rule(document: dict[str, Any]) -> WarnedValidity:
        """Everything that is wrong with a document, and what its author most likely does not mean, without keeping
        it. The tests of the document are run."""
        known = await segments_for(database, document)
        return await asyncio.get_running_loop().run_in_executor(alone, validity, document, company_zone, known)

    async def examine(version: DocumentVersion) -> None:
        # The engine may have learned something since the version was written.
        body = version.body
        loop = asyncio.get_running_loop()
        segments = await segments_for(database, version.content)
        await loop.run_in_executor(alone, checking.require_tested, language.decode(body), body, company_zone, segments)

    kind = DocumentKind(
        name=KIND,
        noun=KIND,
        plural="rules",
        read=read,
        read_at=read_at,
        validate=validate_rule,
        validates=("viewer", "marketer", "approver"),
        activates=("marketer", "approver"),
        stops=("marketer", "approver", "operator"),
        approves=("approver",),
        policy=policy,
        examine=examine,
        confirm=confirm_rule,
        refresh=rules.refresh,
        pauses="Stops the active version until it is resumed.",
        ends="Ends the rule; its versions stay.",
    )
    router = APIRouter()
    router.include_router(routes.make_router(database, kind))
    router.include_router(make_tests_router(database, company_zone, alone))
    return router


async def confirm_rule(tx: Tx, switched: DocumentVersion) -> None:
    """What is in force, or paused, names segments that are."""
    if switched.status in ("active", "paused"):
        known = checking.definitions(await membership.written(tx, in_force=True))
        require_references(language.decode(switched.body), known, "is not in force; activate it first")


def validity(document: Any, company_zone: str, written: checking.Written | None = None) -> WarnedValidity:
    try:
        checked = checking.read(document, company_zone, written)
    except Invalid as error:
        return WarnedValidity.of(error.errors)
    return WarnedValidity.warned(checking.warnings(checked.rule, clock.now()))

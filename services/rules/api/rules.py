"""How is a rule written, read, switched on and off? As every document; only what is checked is its own."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter

from libs.common.db import Database
from libs.common.documents import SnapshotWatcher, routes
from libs.common.documents.routes import DocumentKind, Written
from libs.common.documents.views import Validity
from libs.common.errors import Invalid
from services.rules import validation
from services.rules.snapshot import Snapshot

KIND = "rule"
_SERVER_SET = ("version", "status")


def make_router(database: Database, rules: SnapshotWatcher[Snapshot]) -> APIRouter:
    kind = DocumentKind(
        name=KIND,
        noun="rule",
        plural="rules",
        read=_read,
        read_at=_read_at,
        validate=validate_rule,
        validates=("viewer", "marketer", "approver"),
        activates=("marketer", "approver"),
        stops=("marketer", "approver", "operator"),
        refresh=rules.refresh,
        pauses="Stops the active version until it is resumed.",
        ends="Ends the rule; its versions stay.",
    )
    return routes.make_router(database, kind)


async def validate_rule(document: dict[str, Any]) -> Validity:
    """Everything that is wrong with a document, without keeping it."""
    try:
        validation.read(document)
    except Invalid as error:
        return Validity.of(error.errors)
    return Validity(valid=True)


async def _read(document: dict[str, Any]) -> Written:
    rule = validation.read(document)
    # What the server sets is accepted, so that a document can be sent back as it was read, and not believed.
    return Written(
        rule.id, msgspec.json.encode({name: each for name, each in document.items() if name not in _SERVER_SET})
    )


async def _read_at(id: str, document: dict[str, Any]) -> Written:
    routes.require_same_id(id, document.setdefault("id", id), "rule")
    return await _read(document)

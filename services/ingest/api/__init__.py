"""What is asked of ingest over HTTP besides taking events in?"""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.db import Database
from services.ingest.api import (
    hooks,
    key_secrets,
    keys,
    mappings,
    rejects,
    schema_versions,
    schemas,
    sources,
    trials,
    violations,
)
from services.ingest.hooks.book import HookBook
from services.ingest.mapping.shelf import Mappings
from services.ingest.reception import Reception
from services.ingest.registry import Registry
from services.ingest.rejects.replaying import Replay
from services.ingest.sealing import Sealer


def make_router(database: Database, registry: Registry, sealer: Sealer, replay: Replay) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(keys.make_router(database, registry))
    router.include_router(key_secrets.make_router(database, registry, sealer))
    # Before the types, whose addresses would swallow them.
    router.include_router(violations.make_router(database))
    router.include_router(trials.make_router(database))
    router.include_router(schemas.make_router(database, registry))
    router.include_router(schema_versions.make_router(database))
    router.include_router(sources.make_router(database, registry))
    router.include_router(rejects.make_router(database, replay))
    return router


def make_hooks_router(
    database: Database, book: HookBook, shelf: Mappings, sealer: Sealer, reception: Reception
) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(hooks.make_router(database, book, shelf, sealer))
    router.include_router(mappings.make_router(database, shelf, reception))
    return router

"""What is asked of ingest over HTTP besides taking events in?"""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.db import Database
from services.ingest.api import keys, schemas
from services.ingest.registry import Registry


def make_router(database: Database, registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(keys.make_router(database, registry))
    router.include_router(schemas.make_router(database, registry))
    return router

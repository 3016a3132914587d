"""What can be asked of profile over HTTP? A file per subject."""

from __future__ import annotations

from fastapi import APIRouter

from services.profile.api import conflicts, customers, edits, refolds
from services.profile.api.desk import Desk


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/v1")
    for subject in (customers, edits, conflicts, refolds):
        router.include_router(subject.make_router(desk))
    return router

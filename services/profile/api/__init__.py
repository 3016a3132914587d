"""What can be asked of profile over HTTP? A file per subject."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from services.profile.api import (
    branches,
    care,
    conflicts,
    consents,
    customers,
    definitions,
    edits,
    enrichments,
    links,
    oversight,
    points,
    products,
    quality,
    refolds,
    responsible,
    search,
    wordings,
)
from services.profile.api.desk import Desk
from services.profile.defining import Defining
from services.profile.privacy.scope import within_branch


def make_router(desk: Desk, defining: Defining) -> APIRouter:
    router = APIRouter(prefix="/v1", dependencies=[Depends(within_branch)])
    # The word `search` comes before the ids of customers.
    people = (search, customers, oversight, links, edits, consents, points, care, responsible)
    for subject in (*people, wordings, conflicts, refolds, quality, products, branches, enrichments):
        router.include_router(subject.make_router(desk))
    router.include_router(definitions.make_router(desk, defining))
    return router

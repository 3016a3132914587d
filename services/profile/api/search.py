"""Whom does an agent mean, who knows a part of a name, or the end of a number?"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from libs.common.auth import Principal, requires
from libs.common.errors import Fault, Invalid
from services.profile.api.desk import Desk
from services.profile.privacy.auditing import shown
from services.profile.search_views import search
from services.profile.searching import words_of

Searcher = Annotated[Principal, Depends(requires("operator", "agent", "privacy"))]
Query_ = Annotated[
    str,
    Query(
        alias="q",
        min_length=1,
        max_length=100,
        description="Parts of a name, first consonants of a Korean one, the beginning or the end of a telephone or card"
        " number, the beginning of an e-mail address, a day of birth. Of several, a person must have each.",
    ),
]


class Found(BaseModel):
    """A line per person; where more are meant than are shown, `complete` is false, and another word helps."""

    items: list[dict[str, Any]]
    next: None = None
    complete: bool


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/customers/search")
    async def search_customers(request: Request, who: Searcher, query: Query_) -> Found:
        """People by what somebody remembers of them, fifty at most; telephones and addresses are masked.

        Whoever is confined to a branch finds those whose home it is.
        """
        words = words_of(query, desk.region)
        if not words:
            what = "is too little to look for: give two letters or three digits at least"
            raise Invalid(f"The search {what}.", [Fault("/q", what)])
        async with desk.database.connection() as connection:
            answer = await search(connection, words, who.branch)
        shown(request.state, [each["customer_id"] for each in answer.people])
        return Found(items=answer.people, complete=answer.complete)

    return router

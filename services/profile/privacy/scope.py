"""May somebody who belongs to a branch see this customer? Those whose home it is, and those who have bought there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request

from libs.common.auth import Principal, principal_of
from libs.common.db import Database, Tx
from libs.common.errors import Forbidden, NotFound
from services.profile.person import Customer, Definitions
from services.profile.person.quality import home_branch
from services.profile.restoring import load
from services.profile.store import identity as identity_store


def is_known_at(records: Sequence[Customer], branch: str, definitions: Definitions) -> bool:
    if home_branch(records, definitions) == branch:
        return True
    return any(branch in each.purchases.branches for each in records if each.purchases is not None)


async def sees(connection: Any, who: Principal, records: Sequence[str], definitions: Definitions) -> bool:
    """Whether the person of these records is of the branch that a token is confined to, if it is."""
    if who.branch is None:
        return True
    states = (await load(Tx(connection), records, definitions)).known
    return is_known_at(list(states.values()), who.branch, definitions)


async def within_branch(request: Request) -> None:
    """Stands before every endpoint; a customer of another branch is not there, so that nobody learns who is."""
    customer_id = request.path_params.get("customer_id")
    if customer_id is None:
        return
    who = principal_of(request)
    if who is None or who.branch is None:
        return
    database: Database = request.app.state.database
    async with database.connection() as connection:
        records = await identity_store.records_of(connection, record_id=_id(customer_id))
        if not records or not await sees(connection, who, records, request.app.state.definitions()):
            raise NotFound(f"There is no customer {customer_id}.")


async def whole_company(request: Request) -> None:
    """Stands before what concerns customers of all branches."""
    who = principal_of(request)
    if who is not None and who.branch is not None:
        raise Forbidden(f"This concerns the whole company, and the token is confined to the branch {who.branch}.")


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise NotFound("There is no such customer.") from None

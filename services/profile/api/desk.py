"""What do all requests about customers need? The parts they share, and how a customer is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends

from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.web import etag, expected_version
from services.profile import reading
from services.profile.commands import Commands
from services.profile.person import Definitions
from services.profile.store import identity as store

Reader = Annotated[Principal, Depends(requires("viewer", "marketer", "approver", "operator", "agent", "privacy"))]
Editor = Annotated[Principal, Depends(requires("agent", "privacy"))]
Operator = Annotated[Principal, Depends(requires("operator"))]


@dataclass(frozen=True)
class Desk:
    """`region` (ISO 3166) is where telephone numbers without a country code belong."""

    database: Database
    commands: Commands
    definitions: Callable[[], Definitions]
    region: str

    async def records(self, connection: Any, customer_id: UUID | str) -> list[str]:
        """All records of the person that a record belongs to, the eldest first; NotFound when there is none."""
        found = await store.records_of(connection, record_id=str(customer_id))
        if not found:
            raise NotFound(f"There is no customer {customer_id}.")
        return found

    async def shown(self, connection: Any, customer_id: UUID | str) -> dict[str, Any]:
        records = await self.records(connection, customer_id)
        return await reading.customer(connection, str(customer_id), records, self.definitions())

    async def ordered(
        self,
        customer_id: UUID,
        kind: str,
        body: Mapping[str, Any],
        who: Principal,
        if_match: str | None = None,
        reason: str = "",
    ) -> tuple[dict[str, Any], str]:
        """The customer after a command has taken effect, and the ETag of that."""
        expected = expected_version(if_match) if if_match is not None else None
        async with self.database.connection() as connection:
            await self.records(connection, customer_id)
        version = await self.commands.give(str(customer_id), kind, body, who.subject, expected, reason=reason)
        async with self.database.connection() as connection:
            return await self.shown(connection, customer_id), etag(version)

"""Who may stop everything at once? Kill switches, in force from the next batch on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from libs.common import clock
from libs.common.auth import Principal, requires
from libs.common.db import Database
from libs.common.web import Page
from services.campaign import store
from services.campaign.api.shapes import SwitchOrder, SwitchView

_READS = Depends(requires("viewer", "marketer", "approver", "operator", "agent"))

Scope = Annotated[
    str,
    Path(
        pattern=r"^(all|channel:(email|sms|push|webhook|call)|campaign:[a-z0-9][a-z0-9._-]{0,99})$",
        description="all, channel:<name> or campaign:<id>",
    ),
]


def make_router(database: Database) -> APIRouter:
    router = APIRouter(prefix="/switches", tags=["switches"])

    @router.get("", dependencies=[_READS])
    async def list_switches() -> Page[SwitchView]:
        """Every switch that was ever set; what is not listed is on."""
        async with database.connection() as connection:
            rows = await store.list_switches(connection)
        return Page(items=[SwitchView.of(row) for row in rows])

    @router.put("/{scope}")
    async def set_switch(
        scope: Scope, order: SwitchOrder, principal: Annotated[Principal, Depends(requires("operator"))]
    ) -> SwitchView:
        """Decisions made while a switch is off are denied, with the scope in their trace."""
        async with database.transaction() as tx:
            row = await store.set_switch(
                tx, scope, off=order.off, actor=principal.subject, set_at=clock.now(), note=order.note
            )
        return SwitchView.of(row)

    return router

"""How does a rule begin to count, and cease to? Marketers and approvers activate; operators may stop, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from libs.common import documents
from libs.common.auth import Guard, Principal, requires
from libs.common.db import Database, Tx
from libs.common.documents import DocumentVersion, SnapshotWatcher
from libs.common.documents.views import Activation, Reason, VersionView
from libs.common.errors import DangolError
from libs.common.web import etag
from services.rules.api.writing import KIND
from services.rules.snapshot import Snapshot

_ACTIVATES = requires("marketer", "approver")
_STOPS = requires("marketer", "approver", "operator")
_SOMEBODY = requires()
_NO_REASON = Reason()
_LATEST = Activation()

Change = Callable[[Tx], Awaitable[DocumentVersion]]
Switched = Callable[[Change, Response], Awaitable[VersionView]]


def make_router(database: Database, rules: SnapshotWatcher[Snapshot]) -> APIRouter:
    router = APIRouter(prefix="/rules")

    async def switched(change: Change, response: Response) -> VersionView:
        async with database.transaction() as tx:
            found = await change(tx)
            latest = await documents.get(tx, KIND, found.id)
        await _noticed(rules)
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    _add_activation(router, switched)
    _add(router, "pause", documents.pause, _STOPS, switched, "Stops the active version until it is resumed.")
    _add(router, "resume", documents.resume, _ACTIVATES, switched, "Puts the paused version in force again.")
    _add(router, "retire", documents.retire, _STOPS, switched, "Ends the rule; its versions stay.")
    return router


async def _noticed(rules: SnapshotWatcher[Snapshot]) -> None:
    """Count at once where the order was taken; the other processes notice by themselves within a second."""
    try:
        await rules.refresh()
    except DangolError:
        # The order is committed. To answer with an error would be a lie.
        return


def _add_activation(router: APIRouter, switched: Switched) -> None:
    @router.post("/{id}/activate")
    async def activate_rule(
        id: str,
        response: Response,
        principal: Annotated[Principal, Depends(_ACTIVATES)],
        order: Activation = _LATEST,
    ) -> VersionView:
        """Puts a version in force instead of the one before; an older version is a rollback."""

        async def change(tx: Tx) -> DocumentVersion:
            version = order.version or (await documents.get(tx, KIND, id)).version
            return await documents.activate(
                tx,
                KIND,
                id,
                version,
                author=principal.subject,
                note=order.note,
                ramp_percent=order.ramp_percent,
            )

        return await switched(change, response)


def _add(
    router: APIRouter,
    name: str,
    action: Callable[..., Awaitable[DocumentVersion]],
    guard: Guard,
    switched: Switched,
    description: str,
) -> None:
    async def order(
        id: str,
        response: Response,
        principal: Annotated[Principal, Depends(_SOMEBODY)],
        reason: Reason = _NO_REASON,
    ) -> Any:
        async def change(tx: Tx) -> DocumentVersion:
            return await action(tx, KIND, id, author=principal.subject, note=reason.note)

        return await switched(change, response)

    router.add_api_route(
        f"/{{id}}/{name}",
        order,
        methods=["POST"],
        dependencies=[Depends(guard)],
        name=f"{name}_rule",
        description=description,
        response_model=VersionView,
    )

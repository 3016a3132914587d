"""How are versions put in force, taken out of it and agreed to over HTTP?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Response

from libs.common.auth import Guard, Principal, requires
from libs.common.db import Database, Tx
from libs.common.documents import reading, reviewing, writing
from libs.common.documents.kinds import DocumentKind
from libs.common.documents.shapes import DocumentVersion
from libs.common.documents.views import (
    Activation,
    Approval,
    Ramp,
    Reason,
    Rejection,
    Submission,
    VersionView,
    WholeActivation,
)
from libs.common.errors import DangolError
from libs.common.web import IfMatch, etag, expected_version

Change = Callable[[Tx], Awaitable[DocumentVersion]]
_NO_REASON = Reason()


class _Switching:
    """Puts versions in force and out of it."""

    def __init__(self, database: Database, kind: DocumentKind) -> None:
        self._database = database
        self._kind = kind

    async def switched(self, change: Change, response: Response) -> VersionView:
        confirm = self._kind.confirm

        async def confirmed(tx: Tx) -> DocumentVersion:
            switched = await change(tx)
            if confirm is not None:
                await confirm(tx, switched)
            return switched

        found = await self.kept(confirmed, response)
        await self._noticed()
        return found

    async def kept(self, change: Change, response: Response) -> VersionView:
        """What changes nothing of what counts, and so need not be noticed."""
        async with self._database.transaction() as tx:
            found = await change(tx)
            latest = await reading.get(tx, self._kind.name, found.id)
        response.headers["ETag"] = etag(latest.version)
        return VersionView.of(found)

    async def activated(
        self, id: str, order: Activation, response: Response, principal: Principal, expected: int | None
    ) -> VersionView:
        kind = self._kind
        wanted = await self._examined(id, order.version)

        async def change(tx: Tx) -> DocumentVersion:
            await writing.lock(tx, kind.name)
            # Read again: an approval may have been given or taken back meanwhile. What is written in it stays.
            current = await reading.get(tx, kind.name, id, wanted.version)
            reach = await reviewing.require_agreement(
                tx, current, kind.policy, ramp_percent=order.ramp_percent, estimate=order.reach_percent
            )
            return await writing.activate(
                tx,
                kind.name,
                id,
                current.version,
                author=principal.subject,
                note=order.note,
                expected=expected,
                ramp_percent=order.ramp_percent,
                reach_percent=reach,
            )

        return await self.switched(change, response)

    async def ramped(
        self, id: str, order: Ramp, response: Response, principal: Principal, expected: int | None
    ) -> VersionView:
        kind = self._kind

        async def change(tx: Tx) -> DocumentVersion:
            live = await writing.require_active(tx, kind.name, id, expected)
            reach = await reviewing.require_agreement(
                tx, live, kind.policy, ramp_percent=order.percent, estimate=order.reach_percent
            )
            return await writing.activate(
                tx,
                kind.name,
                id,
                live.version,
                author=principal.subject,
                note=order.note,
                ramp_percent=order.percent,
                reach_percent=reach,
            )

        return await self.switched(change, response)

    async def _examined(self, id: str, version: int | None) -> DocumentVersion:
        async with self._database.connection() as connection:
            wanted = await reading.get(connection, self._kind.name, id, version or "latest")
        if self._kind.examine is not None:
            await self._kind.examine(wanted)
        return wanted

    async def _noticed(self) -> None:
        """Count at once where the order was taken; the other processes notice by themselves within a second."""
        if self._kind.refresh is None:
            return
        try:
            await self._kind.refresh()
        except DangolError:
            # The order is committed. To answer with an error would be a lie.
            return


def add_orders(router: APIRouter, database: Database, kind: DocumentKind) -> None:
    switching = _Switching(database, kind)
    activates, stops = requires(*kind.activates), requires(*kind.stops)
    _add_activation(router, kind, switching, activates)
    resumes = "Puts the paused version in force again."
    back = "Puts the version that was in force before the present one in force again."
    _add_order(router, kind, "pause", writing.pause, switching, stops, kind.pauses)
    _add_order(router, kind, "resume", writing.resume, switching, activates, resumes)
    _add_order(router, kind, "retire", writing.retire, switching, stops, kind.ends)
    _add_order(router, kind, "rollback", writing.rollback, switching, activates, back)


def _add_activation(router: APIRouter, kind: DocumentKind, switching: _Switching, guard: Guard) -> None:
    async def activate(
        id: str,
        response: Response,
        principal: Principal = Depends(guard),
        order: Activation | None = None,
        if_match: IfMatch = None,
    ) -> VersionView:
        """Puts a version in force instead of the one before. With If-Match only if nobody has written another."""
        return await switching.activated(id, order or Activation(), response, principal, _expected(if_match))

    async def activate_whole(
        id: str,
        response: Response,
        principal: Principal = Depends(guard),
        order: WholeActivation | None = None,
        if_match: IfMatch = None,
    ) -> VersionView:
        """Puts a version in force instead of the one before. With If-Match only if nobody has written another."""
        whole = Activation() if order is None else Activation(**order.model_dump())
        return await switching.activated(id, whole, response, principal, _expected(if_match))

    router.add_api_route(
        "/{id}/activate",
        activate if kind.has_ramp else activate_whole,
        methods=["POST"],
        name=f"activate_{kind.noun}",
    )
    if kind.has_ramp:
        _add_ramp(router, kind, switching, guard)


def _add_ramp(router: APIRouter, kind: DocumentKind, switching: _Switching, guard: Guard) -> None:
    @router.post("/{id}/ramp", name=f"ramp_{kind.noun}")
    async def ramp(
        id: str, order: Ramp, response: Response, principal: Principal = Depends(guard), if_match: IfMatch = None
    ) -> VersionView:
        """Changes the share of people for whom the active version counts; whoever is in at 5 % is in at 25 %."""
        return await switching.ramped(id, order, response, principal, _expected(if_match))


def _expected(if_match: str | None) -> int | None:
    """An order needs no If-Match; whoever sends one is told when another version was written meanwhile."""
    return None if if_match is None else expected_version(if_match)


def _add_order(
    router: APIRouter,
    kind: DocumentKind,
    name: str,
    action: Callable[..., Awaitable[DocumentVersion]],
    switching: _Switching,
    guard: Guard,
    description: str,
) -> None:
    async def order(
        id: str,
        response: Response,
        principal: Principal = Depends(guard),
        reason: Reason = _NO_REASON,
        if_match: IfMatch = None,
    ) -> VersionView:
        async def change(tx: Tx) -> DocumentVersion:
            expected = _expected(if_match)
            return await action(tx, kind.name, id, author=principal.subject, note=reason.note, expected=expected)

        return await switching.switched(change, response)

    router.add_api_route(
        f"/{{id}}/{name}", order, methods=["POST"], name=f"{name}_{kind.noun}", description=description
    )


def add_review(router: APIRouter, database: Database, kind: DocumentKind) -> None:
    if not kind.approves:
        return
    switching = _Switching(database, kind)
    writes, approves = requires(*kind.writes), requires(*kind.approves)

    @router.post("/{id}/submit", name=f"submit_{kind.noun}")
    async def submit(
        id: str, response: Response, principal: Principal = Depends(writes), order: Submission | None = None
    ) -> VersionView:
        """Asks for a second person's word on a version, instead of any other version that waits for one."""
        asked = order or Submission(version=None, note="")

        async def change(tx: Tx) -> DocumentVersion:
            return await reviewing.submit(tx, kind.name, id, asked.version, author=principal.subject, note=asked.note)

        return await switching.kept(change, response)

    @router.post("/{id}/approve", name=f"approve_{kind.noun}")
    async def approve(
        id: str, response: Response, order: Approval, principal: Principal = Depends(approves)
    ) -> VersionView:
        """Agrees to a version in review; whoever wrote it may not. It counts only once it is activated."""

        async def change(tx: Tx) -> DocumentVersion:
            return await reviewing.approve(tx, kind.name, id, order.version, author=principal.subject, note=order.note)

        return await switching.kept(change, response)

    @router.post("/{id}/reject", name=f"reject_{kind.noun}")
    async def reject(
        id: str, response: Response, order: Rejection, principal: Principal = Depends(approves)
    ) -> VersionView:
        """Disagrees with a version in review, and says why."""

        async def change(tx: Tx) -> DocumentVersion:
            return await reviewing.reject(tx, kind.name, id, order.version, author=principal.subject, note=order.note)

        return await switching.kept(change, response)

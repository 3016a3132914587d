"""What may anybody call? Links in messages, which carry their own proof, and providers' signed notices."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Request
from msgspec import Struct
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from libs.common import clock
from libs.common.auth import public
from libs.common.db import Database
from libs.common.errors import Fault, Invalid, Unauthenticated
from services.notify import reactions, signing
from services.notify.pages import GONE, PIXEL, unsubscribe_page, unsubscribed_page
from services.notify.reactions import NOTICES, Reaction
from services.notify.signing import CLICK, OPEN, UNSUBSCRIBE, Link
from services.notify.store import ledger

NOTICES_MAX = 1_000


class Notice(Struct, forbid_unknown_fields=True):
    """One thing that a provider tells of a message."""

    message_id: str
    event: str
    at: datetime
    id: str = ""
    data: dict[str, Any] = {}


_notices = msgspec.json.Decoder(list[Notice] | Notice)


def tracking(database: Database, secret: bytes) -> APIRouter:
    made = APIRouter(prefix="/t", include_in_schema=False)
    _add_links(made, database, secret)
    _add_unsubscribing(made, database, secret)
    return made


async def _note(database: Database, link: Link, kind: str, event_id: str, data: dict[str, Any]) -> None:
    now = clock.now()
    async with database.transaction() as tx:
        await reactions.apply(tx, now, [Reaction(link.message_id, kind, event_id, now, data)])


def _add_links(made: APIRouter, database: Database, secret: bytes) -> None:
    @made.api_route("/o/{token}.gif", methods=["GET", "HEAD"])
    async def opened(token: str, request: Request) -> Response:
        link = signing.read_token(secret, OPEN, token)
        if link is None:
            return _gone()
        if request.method == "GET":
            await _note(database, link, "opened", "", {})
        return Response(PIXEL, media_type="image/gif", headers=_NEVER_KEPT)

    @made.api_route("/c/{token}", methods=["GET", "HEAD"])
    async def clicked(token: str, request: Request) -> Response:
        link = signing.read_token(secret, CLICK, token)
        if link is None:
            return _gone()
        async with database.connection() as connection:
            target = await ledger.link(connection, link.message_id, link.number)
        if target is None:
            return _gone()
        if request.method == "GET":
            await _note(database, link, "clicked", str(link.number), {"link": link.number, "url": target})
        return RedirectResponse(target, status_code=302, headers=_NEVER_KEPT)


def _add_unsubscribing(made: APIRouter, database: Database, secret: bytes) -> None:
    @made.api_route("/u/{token}", methods=["GET", "HEAD"])
    async def asked(token: str) -> Response:
        # Mail scanners follow every link, so looking at this page changes nothing.
        if signing.read_token(secret, UNSUBSCRIBE, token) is None:
            return _gone()
        return HTMLResponse(unsubscribe_page(token), headers=_NEVER_KEPT)

    @made.post("/u/{token}")
    async def unsubscribed(token: str) -> Response:
        link = signing.read_token(secret, UNSUBSCRIBE, token)
        if link is None:
            return _gone()
        await _note(database, link, "unsubscribed", "", {})
        return HTMLResponse(unsubscribed_page(), headers=_NEVER_KEPT)


def receipts(database: Database, secret: bytes) -> APIRouter:
    made = APIRouter(prefix="/v1/receipts", tags=["receipts"])

    @made.post("/local", status_code=202)
    @public("a provider signs each notice with the receipt secret")
    async def local(request: Request, x_dangol_signature: Annotated[str, Header(max_length=200)] = "") -> Response:
        body = await request.body()
        now = clock.now()
        if not signing.is_signed(secret, body, x_dangol_signature, clock.to_ms(now) // 1000):
            raise Unauthenticated(
                f"{signing.RECEIPT_HEADER} does not fit: send t=<seconds>,v1=<HMAC-SHA256 of '<seconds>.<body>' in "
                "hex> made with DANGOL_RECEIPT_SECRET within the last five minutes."
            )
        async with database.transaction() as tx:
            heard = await reactions.apply(tx, now, [_reaction(notice) for notice in _read(body)])
        return JSONResponse(heard._asdict(), status_code=202)

    return made


def _read(body: bytes) -> list[Notice]:
    try:
        read = _notices.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"Not a notice or a list of notices: {error}") from None
    notices = read if isinstance(read, list) else [read]
    if len(notices) > NOTICES_MAX:
        raise Invalid(f"More than {NOTICES_MAX} notices in one request; send them in parts.")
    for index, notice in enumerate(notices):
        if notice.event not in NOTICES:
            detail = f"there is no event {notice.event[:40]!r}; there are {', '.join(NOTICES)}"
            raise Invalid(detail, [Fault(f"/{index}/event", detail)])
        if notice.at.tzinfo is None:
            raise Invalid("a time needs an offset", [Fault(f"/{index}/at", "write it as 2026-01-31T09:00:00Z")])
    return notices


def _reaction(notice: Notice) -> Reaction:
    event_id = notice.id if notice.event in ("replied", "clicked", "opened") else ""
    return Reaction(notice.message_id, notice.event, event_id, notice.at, notice.data)


def _gone() -> Response:
    return HTMLResponse(GONE, status_code=404)


_NEVER_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}

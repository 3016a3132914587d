"""What is asked about imports over HTTP? The files themselves come in by a door of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from libs.common import clock, web
from libs.common.auth import Principal
from libs.common.db import Database, Row
from libs.common.errors import Conflict, Forbidden, NotFound
from services.ingest.api import import_rejects
from services.ingest.api.import_access import KeyOrRole, key_of, may_see_lines
from services.ingest.api.import_sheets import READERS
from services.ingest.imports.order import Order
from services.ingest.imports.progress import AT_WORK, CANCELLED, speed_of
from services.ingest.imports.totals import Found
from services.ingest.imports.translation import ORDER_OF, Layout
from services.ingest.reception import Reception
from services.ingest.store import imports as store

_DOWNLOADED_AT_ONCE = 500
State = Literal[
    "uploading", "waiting", "checking", "totals_disagree", "importing", "done", "cancelled", "failed", "expired"
]
Text = Annotated[str | None, Query(max_length=200)]


class Bytes(web.Document):
    """`of` is null while nobody knows how much is to come."""

    received: int
    of: int | None


class LineCounts(web.Document):
    """`read` is `accepted`, `refused` and `skipped` together; `total` is known once the file was checked."""

    total: int | None
    read: int
    accepted: int
    refused: int
    skipped: int


class Totals(web.Document):
    """`amounts` are sums of data.amount by currency, as decimals."""

    lines: int | None = None
    amounts: dict[str, Decimal] = {}
    unreadable_amounts: int = 0


class ImportView(web.Document):
    id: str
    state: State
    detail: str
    channel: str
    filename: str
    format: str
    mode: str
    source: str
    branch: str
    sheet_date: date | None
    mapping: str
    bytes: Bytes
    lines: LineCounts
    events: int
    announced: Totals
    found: Totals | None
    sent: Totals
    lines_per_second: float | None
    seconds_left: float | None
    created_at: datetime
    uploaded_at: datetime | None
    finished_at: datetime | None


class RefusedLineView(web.Document):
    """`pointer` is relative to the event; `text` is the beginning of the line, for operators and its sender."""

    line: int
    reason: str
    pointer: str
    detail: str
    text: str


def make_router(database: Database, reception: Reception) -> APIRouter:
    router = APIRouter(prefix="/imports")
    finder = _Finder(database)
    _add_lists(router, finder, KeyOrRole(reception, *READERS))
    _add_decisions(router, finder, KeyOrRole(reception, "operator"))
    return router


def _add_lists(router: APIRouter, finder: _Finder, reader: KeyOrRole) -> None:
    database = finder.database

    @router.get("")
    async def list_imports(
        principal: Principal = Depends(reader),
        state: State | None = None,
        branch: Text = None,
        source: Text = None,
        limit: web.Limit = web.PAGE_SIZE_DEFAULT,
        cursor: web.Cursor = None,
    ) -> web.Page[ImportView]:
        """The newest first; a write key sees its own."""
        if principal.branch is not None and branch not in (None, principal.branch):
            return web.Page(items=[])
        wanted = store.Wanted(key_of(principal), state, principal.branch or branch, source)
        after = web.decode_cursor(cursor, tuple[datetime, str])
        async with database.connection() as connection:
            rows = await store.page(connection, wanted, limit + 1, after)
        kept, following = web.page_of(rows, limit, lambda row: (row["created_at"], row["import_id"]))
        return web.Page(items=[_view(row) for row in kept], next=following)

    @router.get("/{import_id}")
    async def show_import(import_id: str, principal: Principal = Depends(reader)) -> ImportView:
        return _view(await finder.find(import_id, principal))

    @router.get("/{import_id}/rejects", response_model=web.Page[RefusedLineView])
    async def list_refused_lines(
        import_id: str,
        request: Request,
        principal: Principal = Depends(reader),
        format: Literal["json", "csv", "ndjson"] | None = None,
        limit: web.Limit = web.PAGE_SIZE_DEFAULT,
        cursor: web.Cursor = None,
    ) -> Response | web.Page[RefusedLineView]:
        """What was refused and why, by line: as a page, or all of it as a file to be mended and sent again.

        `format=csv` (or Accept: text/csv) has the fields as they came and columns that begin with `import.`, which an
        importer passes over; `format=ndjson` has the refused lines alone.
        """
        row, is_trusted = await finder.find(import_id, principal), may_see_lines(principal)
        if format is None and request.headers.get("accept", "").startswith("text/csv"):
            format = "csv"
        if format in ("csv", "ndjson"):
            if not is_trusted:
                raise Forbidden("The refused lines themselves are for operators and for their sender.")
            return _download(finder, row, format)
        after = web.decode_cursor(cursor, tuple[int, int])
        async with database.connection() as connection:
            found = await store.rejects(connection, import_id, limit + 1, after or (0, -1))
        kept, following = web.page_of(found, limit, lambda each: (each["line"], each["part"]))
        charset = ORDER_OF(row["instructions"]).charset if is_trusted else None
        return web.Page(items=[_refused(each, charset) for each in kept], next=following)


def _add_decisions(router: APIRouter, finder: _Finder, owner: KeyOrRole) -> None:
    database = finder.database

    @router.post("/{import_id}/cancel")
    async def cancel_import(import_id: str, principal: Principal = Depends(owner)) -> ImportView:
        """Ends it where it is; what was sent by then stays."""
        row = await finder.find(import_id, principal)
        async with database.connection() as connection:
            ended = await store.end(connection, import_id, CANCELLED, "It was cancelled.", clock.now())
        if not ended and row["state"] != CANCELLED:
            raise Conflict(f"The import is {row['state']}; there is nothing to cancel.")
        return _view(await finder.find(import_id, principal))

    @router.post("/{import_id}/accept")
    async def accept_totals(import_id: str, principal: Principal = Depends(owner)) -> ImportView:
        """Goes on although the totals are not those that were announced."""
        row = await finder.find(import_id, principal)
        async with database.connection() as connection:
            accepted = await store.accept_totals(connection, import_id, clock.now())
        if not accepted and not (row["totals_agreed"] and row["state"] in AT_WORK):
            raise Conflict(f"The import is {row['state']}; there are no totals to accept.")
        return _view(await finder.find(import_id, principal))


class _Finder:
    def __init__(self, database: Database) -> None:
        self.database = database

    async def find(self, import_id: str, principal: Principal) -> Row:
        """NotFound also for what is none of the caller's business."""
        async with self.database.connection() as connection:
            row = await store.find(connection, import_id)
        own = key_of(principal)
        if row is None or own not in (None, row["key_id"]) or not principal.covers(row["branch"] or None):
            raise NotFound("There is no import with this id.")
        return row

    async def rejects(self, import_id: str) -> AsyncIterator[list[Row]]:
        after = (0, -1)
        while True:
            async with self.database.connection() as connection:
                rows = await store.rejects(connection, import_id, _DOWNLOADED_AT_ONCE, after)
            if not rows:
                return
            yield rows
            after = (rows[-1]["line"], rows[-1]["part"])


def _download(finder: _Finder, row: Row, format: str) -> StreamingResponse:
    layout = msgspec.json.decode(row["layout"], type=Layout) if row["layout"] else Layout()
    sheet = import_rejects.RejectSheet(ORDER_OF(row["instructions"]), layout)

    async def content() -> AsyncIterator[bytes]:
        if format == "csv":
            yield sheet.header()
        async for rows in finder.rejects(row["import_id"]):
            yield sheet.rows(rows) if format == "csv" else b"".join(import_rejects.lines(rows))

    kind = "text/csv; charset=utf-8; header=present" if format == "csv" else "application/x-ndjson"
    name = f'attachment; filename="rejects-{row["import_id"]}.{format}"'
    headers = {"Content-Disposition": name, "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(content(), media_type=kind, headers=headers)


def _refused(row: Row, charset: str | None) -> RefusedLineView:
    text = ""
    if charset is not None:
        text = bytes(row["body"][:2_000]).decode(charset, "replace")[:1_000].replace("\x00", "\ufffd")
    return RefusedLineView(
        line=row["line"], reason=row["reason"], pointer=row["pointer"], detail=row["detail"], text=text
    )


def _view(row: Row) -> ImportView:
    order: Order = ORDER_OF(row["instructions"])
    is_at_work = row["owner"] is not None and row["state"] in AT_WORK
    speed = (
        speed_of(row["lines_read"], row["lines_total"], row["pace_line"], row["pace_since"], row["moved_at"])
        if is_at_work
        else None
    )
    return ImportView(
        id=row["import_id"],
        state=row["state"],
        detail=row["detail"],
        channel=row["channel"],
        filename=row["filename"],
        format=order.format,
        mode=order.mode,
        source=row["source"],
        branch=row["branch"],
        sheet_date=row["sheet_date"],
        mapping=order.mapping,
        bytes=Bytes(received=row["received"], of=row["size"]),
        lines=LineCounts(
            total=row["lines_total"],
            read=row["lines_read"],
            accepted=row["lines_accepted"],
            refused=row["lines_refused"],
            skipped=row["lines_skipped"],
        ),
        events=row["events_sent"],
        announced=Totals(lines=order.lines, amounts=order.amounts),
        found=None if row["lines_total"] is None else _totals(row["found"], row["lines_total"]),
        sent=_totals(row["sent"], row["lines_accepted"]),
        lines_per_second=speed.lines_per_second if speed else None,
        seconds_left=speed.seconds_left if speed else None,
        created_at=row["created_at"],
        uploaded_at=row["uploaded_at"],
        finished_at=row["finished_at"],
    )


def _totals(text: str, lines: int) -> Totals:
    found = msgspec.json.decode(text, type=Found)
    return Totals(lines=lines, amounts=found.amounts, unreadable_amounts=found.unread)

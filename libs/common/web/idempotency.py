"""Was this request carried out before? A POST that creates may be repeated with its Idempotency-Key.

Effect and answer are committed together, so that no crash can separate them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, Protocol

import asyncpg
import msgspec
from fastapi import Header, Request
from starlette.responses import Response

from libs.common import clock
from libs.common.auth import Principal
from libs.common.db import Tx
from libs.common.errors import Conflict, Invalid

SQL = """
CREATE TABLE idempotency (
    principal   text        NOT NULL,
    method      text        NOT NULL,
    path        text        NOT NULL,
    key         text        NOT NULL,
    body_sha256 bytea       NOT NULL,
    status      smallint,
    headers     json,
    response    bytea,
    at          timestamptz NOT NULL,
    PRIMARY KEY (principal, method, path, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
"""
REPLAYED_HEADER = "Idempotency-Replayed"
_KEPT_HEADERS = ("content-type", "location", "etag")

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key, the same effect once.",
    ),
]


class Transactions(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[Tx]: ...


async def once(
    database: Transactions,
    request: Request,
    principal: Principal,
    key: str | None,
    act: Callable[[Tx], Awaitable[Response]],
) -> Response:
    """Runs `act` in a transaction, or gives the answer that it gave before.

    Invalid (422) when the key came with another body; Conflict (409) while the first request still runs.
    A refusal is not kept: the caller mends the request and may use the key again.
    """
    if key is None:
        async with database.transaction() as tx:
            return await act(tx)
    place = (principal.subject, request.method, request.url.path, key)
    digest = hashlib.sha256(await request.body()).digest()
    async with database.transaction() as tx:
        if not await _claim(tx, place, digest):
            return await _replay(tx, place, digest)
        answer = await act(tx)
        await _keep(tx, place, answer)
        return answer


async def forget(tx: Tx, before: datetime) -> int:
    """Deletes answers older than `before`; gives how many. A day is the promise, so call it with that."""
    done = await tx.execute("DELETE FROM idempotency WHERE at < $1", before)
    return int(done.rsplit(" ", 1)[1])


async def _claim(tx: Tx, place: tuple[str, str, str, str], digest: bytes) -> bool:
    try:
        # A claim that is not committed yet makes this wait; the lock timeout bounds how long.
        row = await tx.fetchrow(
            """
            INSERT INTO idempotency (principal, method, path, key, body_sha256, at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING TRUE
            """,
            *place,
            digest,
            clock.now(),
        )
    except asyncpg.LockNotAvailableError:
        raise Conflict("The first request with this Idempotency-Key is still running. Try again.") from None
    return row is not None


async def _replay(tx: Tx, place: tuple[str, str, str, str], digest: bytes) -> Response:
    row: Any = await tx.fetchrow(
        """
        SELECT body_sha256, status, headers, response FROM idempotency
        WHERE principal = $1 AND method = $2 AND path = $3 AND key = $4
        """,
        *place,
    )
    if row is None or row["status"] is None:
        raise Conflict("The first request with this Idempotency-Key is still running. Try again.")
    if row["body_sha256"] != digest:
        raise Invalid("This Idempotency-Key was used with another body; take a new key for a new request.")
    headers = {**msgspec.json.decode(row["headers"], type=dict[str, str]), REPLAYED_HEADER: "true"}
    return Response(row["response"], row["status"], headers)


async def _keep(tx: Tx, place: tuple[str, str, str, str], answer: Response) -> None:
    headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    await tx.execute(
        """
        UPDATE idempotency SET status = $5, headers = $6, response = $7
        WHERE principal = $1 AND method = $2 AND path = $3 AND key = $4
        """,
        *place,
        answer.status_code,
        msgspec.json.encode(headers).decode(),
        bytes(answer.body),
    )

"""Who stands in front of FastAPI? The hot doors: a request for one of them never gets further than here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common import logs, web
from libs.common.errors import BrokerAway, Refused, StoreAway
from services.ingest.doors.visit import Reply, Visit, head_of
from services.ingest.reading import Disconnected
from services.ingest.reception import Reception
from services.ingest.refusals import TooManyHeaders

RETRY_AFTER_SECONDS: Final = 1
HEADERS_MAX: Final = 100


class Door(Protocol):
    """One way of speaking: from a request to an answer, by the reception that all doors share."""

    async def answer(self, visit: Visit) -> Reply: ...


class Front:
    """An ASGI application. `exact` are doors by path, `below` by the beginning of the path."""

    def __init__(
        self, app: ASGIApp, reception: Reception, exact: Mapping[str, Door], below: Mapping[str, Door] | None = None
    ) -> None:
        self._app = app
        self._reception = reception
        self._exact = dict(exact)
        self._below = tuple((below or {}).items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._door_of(scope)
        if door is None:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        visit = Visit(scope, receive)
        try:
            if len(visit.headers) > HEADERS_MAX:
                raise TooManyHeaders(f"More than {HEADERS_MAX} headers.")
            visit.head = head_of(visit.headers)
            reply = await door.answer(visit)
        except Disconnected:
            return
        except Refused as error:
            await self._refuse(error, visit, send)
        except (BrokerAway, StoreAway, TimeoutError):
            await self._send_away(visit, send)
        else:
            await _send(send, reply)
        self._reception.meters.seconds.observe(time.perf_counter() - began)

    def _door_of(self, scope: Scope) -> Door | None:
        if scope["type"] != "http":
            return None
        path: str = scope["path"]
        door = self._exact.get(path)
        if door is None:
            for beginning, each in self._below:
                if path.startswith(beginning):
                    return each
        return door

    async def _refuse(self, error: Refused, visit: Visit, send: Send) -> None:
        self._reception.meters.refused(error.status)
        token = logs.bind_correlation(visit.trace_id)
        response = web.answer_to(error)
        logs.unbind_correlation(token)
        if visit.read:
            await response(visit.scope, visit.receive, send)
            return
        # To close while the caller still sends would reset the connection, and the answer would be lost with it.
        response.headers["Connection"] = "close"
        await _send_head(send, response)
        with contextlib.suppress(TimeoutError):
            await self._reception.discard(visit.receive)
        await send({"type": "http.response.body", "body": b""})

    async def _send_away(self, visit: Visit, send: Send) -> None:
        self._reception.meters.refused(503)
        token = logs.bind_correlation(visit.trace_id)
        response = web.problem(
            503,
            "The events could not be stored safely just now, so they are not accepted. Send the same again.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
        logs.unbind_correlation(token)
        await response(visit.scope, visit.receive, send)


async def _send_head(send: Send, response: Response) -> None:
    """The whole answer but for its end, so that the caller has it while the connection stays open."""
    head = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(head)
    await send({"type": "http.response.body", "body": response.body, "more_body": True})


async def _send(send: Send, reply: Reply) -> None:
    headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})

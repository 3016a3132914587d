"""Who stands in front of FastAPI? The hot doors: a request for one of them never gets further than here."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common import logs, web
from libs.common.errors import BrokerAway, Refused, StoreAway
from services.ingest.doors.visit import Reply, Visit, head_of
from services.ingest.reading import BODY_BYTES_MAX, Disconnected
from services.ingest.reception import Reception
from services.ingest.refusals import NotPossible, TooFast, TooManyHeaders

RETRY_AFTER_SECONDS: Final = 1
HEADERS_MAX: Final = 100


class Door(Protocol):
    """One way of speaking: from a request to an answer, by the reception that all doors share.

    None leaves the request, whose body must not have been touched, to the application behind the door.
    """

    async def answer(self, visit: Visit) -> Reply | None: ...


class Front:
    """An ASGI application. `exact` are doors by path, `below` and `wide` by the beginning of the path.

    The bodies of `wide` doors may announce any length: they stream, and each bounds them by itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        reception: Reception,
        exact: Mapping[str, Door],
        below: Mapping[str, Door] | None = None,
        wide: Mapping[str, Door] | None = None,
    ) -> None:
        self._app = app
        self._reception = reception
        self._exact = dict(exact)
        limited = ((beginning, door, BODY_BYTES_MAX) for beginning, door in (below or {}).items())
        unlimited = ((beginning, door, sys.maxsize) for beginning, door in (wide or {}).items())
        self._below = (*limited, *unlimited)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, body_bytes_max = self._door_of(scope)
        if door is None:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        visit = Visit(scope, receive)
        try:
            if len(visit.headers) > HEADERS_MAX:
                raise TooManyHeaders(f"More than {HEADERS_MAX} headers.")
            visit.head = head_of(visit.headers, body_bytes_max)
            reply = await door.answer(visit)
        except Disconnected:
            return
        except Refused as error:
            await self._refuse(error, visit, send)
        except (BrokerAway, StoreAway, TimeoutError):
            await self._send_away(visit, send)
        else:
            if reply is None:
                await self._app(scope, receive, send)
                return
            await _send(send, reply, visit)
        if body_bytes_max == BODY_BYTES_MAX:
            # An upload takes as long as its line is slow, which says nothing of us.
            self._reception.meters.seconds.observe(time.perf_counter() - began)

    def _door_of(self, scope: Scope) -> tuple[Door | None, int]:
        """The door, and how large a body may be that is announced to it."""
        if scope["type"] != "http":
            return None, 0
        path: str = scope["path"]
        door = self._exact.get(path)
        if door is None:
            for beginning, each, body_bytes_max in self._below:
                if path.startswith(beginning):
                    return each, body_bytes_max
        return door, BODY_BYTES_MAX

    async def _refuse(self, error: Refused, visit: Visit, send: Send) -> None:
        self._reception.meters.refused(error.status)
        token = logs.bind_correlation(visit.trace_id)
        response = web.answer_to(error)
        logs.unbind_correlation(token)
        if isinstance(error, TooFast):
            response.headers["Retry-After"] = str(error.retry_after_seconds)
        if isinstance(error, NotPossible):
            response.headers["Allow"] = error.allow
        _add_headers(response, visit)
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
        _add_headers(response, visit)
        await response(visit.scope, visit.receive, send)


def _add_headers(response: Response, visit: Visit) -> None:
    for name, value in visit.answer_headers:
        response.headers.append(name.decode("latin-1"), value.decode("latin-1"))


async def _send_head(send: Send, response: Response) -> None:
    """The whole answer but for its end, so that the caller has it while the connection stays open."""
    head = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(head)
    await send({"type": "http.response.body", "body": response.body, "more_body": True})


async def _send(send: Send, reply: Reply, visit: Visit) -> None:
    headers = [*reply.headers, *visit.answer_headers]
    if reply.status != 204:
        headers += [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})

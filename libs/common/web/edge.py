"""What happens around every request? An id in and out, a measurement, and no exception past this point."""

from __future__ import annotations

import re
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import clock, logs
from libs.common.errors import DangolError
from libs.common.metrics import Metrics
from libs.common.web.problems import answer_to, unexpected

CORRELATION_HEADER = "X-Correlation-Id"
_ACCEPTED = re.compile(r"^[A-Za-z0-9._:-]{8,64}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    """The outermost layer: pure ASGI, so that a caller that hangs up cancels no database work half-way."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._seconds = metrics.histogram(
            "http_request_seconds", "Time to answer a request.", ["method", "route", "status"]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = correlation_of(Headers(scope=scope))
        header = (CORRELATION_HEADER.lower().encode(), correlation_id.encode())
        status = 0

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        token = logs.bind_correlation(correlation_id)
        began = time.perf_counter()
        try:
            await self._guarded(scope, receive, numbered, lambda: status != 0)
        finally:
            self._observe(scope, status, time.perf_counter() - began)
            logs.unbind_correlation(token)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, started: object) -> None:
        assert callable(started)
        try:
            await self._app(scope, receive, send)
        except DangolError as error:
            if started():
                raise
            await answer_to(error)(scope, receive, send)
        # The server must outlive any mistake in a handler; the caller learns the trace id and no more.
        except Exception as error:  # noqa: BLE001
            logs.get(__name__).error("request failed", method=scope["method"], route=_route(scope), exc_info=error)
            if started():
                raise
            await unexpected()(scope, receive, send)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._seconds.labels(method, _route(scope), str(status)).observe(seconds)


def correlation_of(headers: Headers) -> str:
    """The caller's id when it is a harmless one, else a new one; never what may be a person's number."""
    given = headers.get(CORRELATION_HEADER, "")
    if _ACCEPTED.match(given) and logs.mask(given) == given:
        return given
    return str(clock.new_id())


def _route(scope: Scope) -> str:
    """The template, not the address: a label with ids in it would grow without bound and name customers."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"

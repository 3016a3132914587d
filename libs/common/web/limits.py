"""How much may one request cost before anybody has looked at it? Pure ASGI, in front of all that parses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.message import Message as MimeMessage

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.errors import Refused
from libs.common.web import strict_json
from libs.common.web.problems import answer_to, problem

BODY_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    body_bytes_max: int = BODY_BYTES_MAX
    body_seconds_max: float = 10.0
    headers_max: int = 100
    headers_bytes_max: int = 16_384
    target_bytes_max: int = 8_192


class _TooMuch(Exception):
    """Unwinds the application once a limit is passed; the answer is ready by then."""


class RequestLimits:
    """Refuses too many headers, too long a target, NUL in the target, bodies that are too big or too slow."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _refusal_of_head(scope, self._limits)
        if refusal is None:
            await _Metered(self._limits, receive, send).run(self._app, scope)
        else:
            await refusal(scope, receive, send)


class _Metered:
    """One request: counts what is received and, past a limit, answers in the application's place."""

    def __init__(self, limits: Limits, receive: Receive, send: Send) -> None:
        self._limits = limits
        self._receive = receive
        self._send = send
        self._received = 0
        self._complete = False
        self._started = False
        self._refusal: Response | None = None
        self._deadline = asyncio.get_running_loop().time() + limits.body_seconds_max

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except _TooMuch:
            if self._started:
                raise
        if self._refusal is not None and not self._started:
            await self._refusal(scope, self._receive, self._send)

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            limit = f"{self._limits.body_seconds_max:g} s"
            self._refusal = _closing(408, f"The body did not arrive within {limit}.")
            raise _TooMuch from None
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._received > self._limits.body_bytes_max:
                self._refusal = _too_large(self._limits)
                raise _TooMuch
        return message

    async def send(self, message: Message) -> None:
        # The application may have caught our exception and be answering by itself: ours is the true reason.
        if self._refusal is not None and not self._started:
            return
        self._started = True
        await self._send(message)


class StrictJson:
    """Reads a JSON body whole and refuses what `strict_json` refuses, before any other parser sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS") or not _is_json(scope):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        try:
            if body:
                strict_json.check(body)
        except Refused as error:
            await answer_to(error)(scope, receive, send)
            return
        await self._app(scope, _replaying(body, receive), send)


def _refusal_of_head(scope: Scope, limits: Limits) -> Response | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > limits.headers_max:
        return _closing(431, f"More than {limits.headers_max} headers.")
    if sum(len(name) + len(value) for name, value in headers) > limits.headers_bytes_max:
        return _closing(431, f"More than {limits.headers_bytes_max} bytes of headers.")
    query: bytes = scope.get("query_string", b"")
    if len(scope["path"]) + len(query) > limits.target_bytes_max:
        return _closing(414, f"The address is longer than {limits.target_bytes_max} bytes.")
    if "\x00" in scope["path"] or b"%00" in query or b"\x00" in query:
        return _closing(400, "The address contains the character U+0000.")
    lengths = [value for name, value in headers if name == b"content-length"]
    if lengths and lengths[0].isdigit() and int(lengths[0]) > limits.body_bytes_max:
        return _too_large(limits)
    return None


def _too_large(limits: Limits) -> Response:
    return _closing(413, f"The body is larger than {limits.body_bytes_max} bytes; send it in smaller parts.")


def _closing(status: int, detail: str) -> Response:
    # What is left of the body is not read, so the connection cannot carry another request.
    return problem(status, detail, headers={"Connection": "close"})


def _is_json(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            message = MimeMessage()
            message["content-type"] = value.decode("latin-1")
            subtype = message.get_content_subtype()
            return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
    return False


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when the caller went away."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again

"""What does a door get to see of a request, and what does it give back?"""

from __future__ import annotations

from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from libs.common import web
from services.ingest.reading import BODY_BYTES_MAX
from services.ingest.refusals import TooLarge

RawHeaders = list[tuple[bytes, bytes]]
_RARE: Final = frozenset({b"ce-specversion", b"origin", b"x-identity-token", b"x-dangol-test"})


class Head(NamedTuple):
    """What the doors look at in the headers of each request; empty where a header is missing.

    `binary` says that a CloudEvent is spread over headers and body, `test` that the caller only tries things out.
    """

    key: bytes = b""
    content_type: bytes = b""
    encoding: bytes = b""
    user_agent: bytes = b""
    identity_token: bytes = b""
    binary: bool = False
    origin: bytes = b""
    test: bool = False


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    content_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Visit:
    """One request on its way through a door; `read` is set once its body has been taken in.

    `answer_headers` go with whatever is answered, be it a refusal.
    """

    __slots__ = ("answer_headers", "head", "read", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.head = Head()
        self.read = False
        self.answer_headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    @property
    def headers(self) -> RawHeaders:
        headers: RawHeaders = self.scope["headers"]
        return headers

    def header(self, name: bytes) -> bytes:
        """The first header of this name (lower case); empty when there is none."""
        return next((value for each, value in self.headers if each == name), b"")

    @property
    def trace_id(self) -> str:
        return web.correlation_of(Headers(scope=self.scope))


def head_of(headers: RawHeaders, body_bytes_max: int = BODY_BYTES_MAX) -> Head:
    """One pass over the headers; TooLarge when they announce a body beyond the limit."""
    key = content_type = encoding = user_agent = b""
    rare: dict[bytes, bytes] | None = None
    for name, value in headers:
        if name == b"authorization" or (name == b"x-write-key" and not key):
            key = value
        elif name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"user-agent":
            user_agent = value
        elif name == b"content-length" and value.isdigit() and int(value[:20]) > body_bytes_max:
            raise TooLarge(f"The body is larger than {body_bytes_max} bytes; send it in smaller parts.")
        elif name in _RARE:
            rare = {**(rare or {}), name: value}
    if rare is None:
        return Head(key, content_type, encoding, user_agent)
    identity_token, origin = rare.get(b"x-identity-token", b""), rare.get(b"origin", b"")
    test = rare.get(b"x-dangol-test", b"").strip().lower() == b"true"
    return Head(key, content_type, encoding, user_agent, identity_token, b"ce-specversion" in rare, origin, test)

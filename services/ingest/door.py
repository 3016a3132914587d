"""Who stands in front of FastAPI? The hot door `POST /v1/events`, a small ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common import clock, logs, web
from libs.common.errors import BrokerAway, Refused, StoreAway, Unauthenticated
from libs.common.kafka import Publisher
from services.ingest import cloudevents
from services.ingest.deadlines import Deadlines
from services.ingest.intake import Accepted, Form, Outcome, Rejected, Terms, decode_batch, decode_binary
from services.ingest.keys import WriteKey
from services.ingest.meters import Meters
from services.ingest.reading import BODY_BYTES_MAX, Disconnected, discard, read_body
from services.ingest.records import records_of
from services.ingest.refusals import TooLarge, TooSlow
from services.ingest.registry import Registry
from services.ingest.replies import reply_to

PATH: Final = "/v1/events"
RETRY_AFTER_SECONDS: Final = 1
# Below this a body is examined at once; above it, on another thread, so that it holds up nobody.
_BODY_BYTES_AT_ONCE = 128 * 1024
# Set in the scope once the whole body has been read.
_READ = "dangol.body_read"


class Head(NamedTuple):
    """What the door looks at in the headers of a request."""

    key: bytes
    content_type: bytes
    encoding: bytes
    binary: bool


class DoorLimits(NamedTuple):
    """What the settings say of the door."""

    partitions: int
    live_age_max: timedelta
    live_ahead_max: timedelta
    body_seconds_max: float
    publish_seconds_max: float


class Door:
    def __init__(
        self,
        app: ASGIApp,
        *,
        registry: Registry,
        publisher: Publisher,
        meters: Meters,
        deadlines: Deadlines,
        limits: DoorLimits,
    ) -> None:
        self._app = app
        self._registry = registry
        self._publisher = publisher
        self._meters = meters
        self._deadlines = deadlines
        self._limits = limits
        # Whether Kafka took what it was last given.
        self.acknowledged = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        try:
            status, content_type, body = await self._answer(scope, receive)
        except Disconnected:
            return
        except Refused as error:
            await self._refuse(error, scope, receive, send)
        except (BrokerAway, StoreAway, TimeoutError):
            await self._send_away(scope, receive, send)
        else:
            await _send(send, status, content_type, body)
        self._meters.seconds.observe(time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, bytes]:
        if scope["method"] != "POST":
            raise NotPossible(f"{scope['method']} is not possible at {PATH}; send events by POST.")
        head = _head_of(scope["headers"])
        key = self._key_of(head)
        body = await self._read(receive, head.encoding)
        scope[_READ] = True
        self._meters.read_bytes += len(body)
        terms = self._terms(key)
        if len(body) <= _BODY_BYTES_AT_ONCE:
            outcome = _examine(head, scope, body, terms)
        else:
            outcome = await asyncio.to_thread(_examine, head, scope, body, terms)
        await self._publish(outcome, terms)
        return reply_to(outcome, "" if outcome.single and type(outcome.verdicts[0]) is Accepted else _trace(scope))

    async def _read(self, receive: Receive, encoding: bytes) -> bytes:
        try:
            return await self._deadlines.bounded(read_body(receive, encoding), self._limits.body_seconds_max)
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {self._limits.body_seconds_max:g} s.") from None

    def _key_of(self, head: Head) -> WriteKey:
        if not head.key:
            raise Unauthenticated("Send the channel's write key: 'Authorization: Bearer <key>', or X-Write-Key.")
        key = self._registry.holder_of(head.key)
        if key is None and not self._registry.loaded:
            raise StoreAway("the keys have not been read yet")
        if key is None:
            raise Unauthenticated("The write key is not known here, or it was revoked.")
        return key

    def _terms(self, key: WriteKey) -> Terms:
        now, limits = clock.now(), self._limits
        return Terms(key, self._registry.kinds, now, now - limits.live_age_max, now + limits.live_ahead_max)

    async def _publish(self, outcome: Outcome, terms: Terms) -> None:
        """Returns when Kafka has everything. What is refused is kept as far as that is possible now."""
        channel = terms.key.channel
        good = 0
        for verdict in outcome.verdicts:
            if isinstance(verdict, Rejected):
                self._meters.rejected(channel, verdict.reason)
            else:
                good += 1
        try:
            records = records_of(outcome, terms, self._limits.partitions)
            await self._deadlines.bounded(self._publisher.publish(records), self._limits.publish_seconds_max)
            self.acknowledged = True
        except (BrokerAway, TimeoutError):
            self.acknowledged = False
            self._meters.unkept(len(outcome.verdicts) - good)
            if good:
                self._meters.failed(channel, good)
                raise
        if good:
            self._meters.accepted[channel] += good

    async def _refuse(self, error: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        self._meters.refused(error.status)
        token = logs.bind_correlation(_trace(scope))
        response = web.answer_to(error)
        logs.unbind_correlation(token)
        if scope.get(_READ):
            await response(scope, receive, send)
            return
        # To close while the caller still sends would reset the connection, and the answer would be lost with it.
        response.headers["Connection"] = "close"
        await _send_head(send, response)
        with contextlib.suppress(TimeoutError):
            await self._deadlines.bounded(discard(receive), self._limits.body_seconds_max)
        await send({"type": "http.response.body", "body": b""})

    async def _send_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._meters.refused(503)
        token = logs.bind_correlation(_trace(scope))
        response = web.problem(
            503,
            "The events could not be stored safely just now, so they are not accepted. Send the same again.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
        logs.unbind_correlation(token)
        await response(scope, receive, send)


class NotPossible(Refused):
    status = 405
    title = "Method not allowed"


def _examine(head: Head, scope: Scope, body: bytes, terms: Terms) -> Outcome:
    if head.binary:
        return decode_binary(scope["headers"], head.content_type, body, terms)
    kind = head.content_type.partition(b";")[0].strip().lower()
    if kind == cloudevents.STRUCTURED:
        return decode_batch(body, Form.CLOUD_EVENT, terms)
    if kind == cloudevents.BATCH:
        return decode_batch(body, Form.CLOUD_BATCH, terms)
    return decode_batch(body, Form.NATIVE, terms)


def _head_of(headers: list[tuple[bytes, bytes]]) -> Head:
    key = content_type = encoding = b""
    binary = False
    for name, value in headers:
        if name == b"authorization" or (name == b"x-write-key" and not key):
            key = value
        elif name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"content-length" and value.isdigit() and int(value[:20]) > BODY_BYTES_MAX:
            raise TooLarge(f"The body is larger than {BODY_BYTES_MAX} bytes; send it in smaller parts.")
        elif name == b"ce-specversion":
            binary = True
    return Head(key, content_type, encoding, binary)


def _trace(scope: Scope) -> str:
    return web.correlation_of(Headers(scope=scope))


async def _send_head(send: Send, response: Response) -> None:
    """The whole answer but for its end, so that the caller has it while the connection stays open."""
    head = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(head)
    await send({"type": "http.response.body", "body": response.body, "more_body": True})


async def _send(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

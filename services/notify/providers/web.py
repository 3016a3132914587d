"""How does a message leave by HTTP? To an SMS gateway of ours, and to customers' webhooks, which nobody trusts."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from libs.common import clock
from services.notify import egress, signing
from services.notify.delivery import Accepted, Rejected, RetryLater
from services.notify.providers.port import Ambiguous, Outgoing

ANSWER_BYTES_MAX = 65_536
CREDENTIALS_RETRY_SECONDS = 30.0
Answer = Accepted | Rejected | RetryLater

_ADDRESS_IS_DEAD = frozenset({"invalid_number", "unknown_subscriber", "address_invalid"})


class _Posting:
    """A session, and what its answers mean."""

    def __init__(self, connections_max: int, timeout_seconds: float, resolver: AbstractResolver | None) -> None:
        self._connections_max = connections_max
        self._timeout_seconds = timeout_seconds
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=self._connections_max, resolver=self._resolver, use_dns_cache=self._resolver is None
        )
        timeout = aiohttp.ClientTimeout(total=self._timeout_seconds, sock_connect=self._timeout_seconds / 2)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str], now: datetime) -> Answer:
        assert self._session is not None
        headers = {"Content-Type": "application/json", "User-Agent": "dangol-notify", **headers}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, asked = response.status, response.headers.get("Retry-After")
                text = await response.content.read(ANSWER_BYTES_MAX) if status < 500 else b""
        except aiohttp.InvalidURL:
            return Rejected("address_invalid", permanent=True)
        # The connection was never made, so nothing can have been sent.
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            if isinstance(error.__cause__, _Forbidden) or isinstance(getattr(error, "os_error", None), _Forbidden):
                return Rejected("address_forbidden")
            return RetryLater(f"unreachable: {type(error).__name__}", everybody=self._resolver is None)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Ambiguous(f"no_answer: {type(error).__name__}") from error
        # A webhook that refuses speaks for itself alone, our own gateway for every message.
        return meaning(status, text, asked, now, everybody=self._resolver is None)


def meaning(status: int, text: bytes, asked: str | None, now: datetime, *, everybody: bool) -> Answer:
    """What an HTTP answer says of the message. Raises Ambiguous where it says nothing certain."""
    if 200 <= status < 300:
        return Accepted(_told(text, "id"))
    if status in (429, 503):
        return RetryLater(f"http_{status}", retry_after_seconds(asked, now), everybody)
    if status in (401, 403):
        return RetryLater(f"credentials_refused_{status}", CREDENTIALS_RETRY_SECONDS, everybody)
    if status >= 500 or status in (408, 409, 425):
        raise Ambiguous(f"http_{status}")
    code = _told(text, "code") or f"http_{status}"
    return Rejected(code, permanent=code in _ADDRESS_IS_DEAD or status == 410)


def retry_after_seconds(asked: str | None, now: datetime) -> float | None:
    """The header's two forms, seconds or a date; None where it is absent or unreadable."""
    text = (asked or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _told(text: bytes, name: str) -> str:
    try:
        held = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    value = held.get(name) if isinstance(held, dict) else None
    return value.replace("\x00", "")[:200] if isinstance(value, str) else ""


class Sms(_Posting):
    """Any gateway that takes JSON and honours Idempotency-Key for `key_seconds`."""

    name = "sms"

    def __init__(
        self, url: str, *, token: str, sender: str, key_seconds: int, connections_max: int, timeout_seconds: float
    ) -> None:
        super().__init__(connections_max, timeout_seconds, None)
        self._url = url
        self._token = token
        self._sender = sender
        self.key_seconds = key_seconds

    async def send(self, outgoing: Outgoing, now: datetime) -> Answer:
        body = {"to": outgoing.recipient, "text": outgoing.body, "message_id": outgoing.message_id}
        headers = {"Idempotency-Key": outgoing.message_id}
        if self._sender:
            body["from"] = self._sender
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return await self.post(self._url, msgspec.json.encode(body), headers, now)


class Webhook(_Posting):
    """A POST signed as Standard Webhooks has it; receivers recognise a repeat by `webhook-id`.

    `demo_url`, if any, is called instead of every customer's own address.
    """

    name = "webhook"
    key_seconds = 7 * 86_400

    def __init__(
        self, secret: bytes, allowed: frozenset[str], *, demo_url: str, connections_max: int, timeout_seconds: float
    ) -> None:
        super().__init__(connections_max, timeout_seconds, GuardedResolver(allowed))
        self._secret = secret
        self._allowed = allowed
        self._demo_url = demo_url

    async def send(self, outgoing: Outgoing, now: datetime) -> Answer:
        url = self._demo_url or outgoing.recipient
        target = egress.target_of(url, self._allowed)
        if isinstance(target, str):
            return Rejected("address_forbidden")
        data: dict[str, Any] = {
            "message_id": outgoing.message_id,
            "campaign_id": outgoing.campaign_id,
            "customer_id": outgoing.customer_id,
            "subject": outgoing.subject,
            "text": outgoing.body,
            "values": outgoing.values,
        }
        body = msgspec.json.encode({"type": "dangol.message", "timestamp": now, "data": data})
        at_seconds = clock.to_ms(now) // 1000
        headers = {
            "webhook-id": outgoing.message_id,
            "webhook-timestamp": str(at_seconds),
            "webhook-signature": signing.standard_webhook(self._secret, outgoing.message_id, at_seconds, body),
        }
        return await self.post(url, body, headers, now)


class _Forbidden(OSError):
    """A name leads to where we do not go."""


class GuardedResolver(AbstractResolver):
    """Names become addresses here and nowhere else: what is checked is what is connected to."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._inner: ThreadedResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self._inner is None:
            self._inner = ThreadedResolver(loop=asyncio.get_running_loop())
        found = await self._inner.resolve(host, port, family)
        if f"{host}:{port}" not in self._allowed:
            for each in found:
                if egress.refusal_of(each["host"]):
                    raise _Forbidden("the name leads to an address that is not of the public internet")
        return found

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()

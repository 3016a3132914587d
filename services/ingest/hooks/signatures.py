"""Did the provider itself send these bytes? Pure: a request and the secrets in, nothing or a refusal out."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from libs.common import clock
from libs.common.errors import Unauthenticated

SHOPIFY: Final = "shopify"
SQUARE: Final = "square"
TOAST: Final = "toast"
STANDARD: Final = "standard"
PROVIDERS: Final = (SHOPIFY, SQUARE, TOAST, STANDARD)

TOLERANCE_SECONDS: Final = 300
SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SECRET_LENGTH: Final = (8, 500)
_KEY_BYTES: Final = (24, 64)
_SIGNATURES_MAX: Final = 20
_VERSION: Final = b"v1"

SIGNATURE_HEADERS: Final = {
    SHOPIFY: b"x-shopify-hmac-sha256",
    SQUARE: b"x-square-hmacsha256-signature",
    TOAST: b"toast-signature",
    STANDARD: b"webhook-signature",
}


class Delivery(Struct, frozen=True):
    """What a provider sent: the raw body, a look-up of headers by lower-case name, and the address it was sent to.

    `notification_url` is the one that the provider has been told, letter for letter; behind a proxy nobody else knows.
    """

    body: bytes
    header: Callable[[bytes], bytes]
    notification_url: str = ""


class _Timestamped(Struct):
    timestamp: msgspec.Raw


_TIMESTAMPED = msgspec.json.Decoder(_Timestamped)


class TooOld(Unauthenticated):
    """The signature may be right, and was made too long ago, or by a clock that is ahead."""


def verify(provider: str, delivery: Delivery, keys: Sequence[bytes], now: datetime) -> None:
    """Unauthenticated unless one of the keys signed exactly this; TooOld when that was too long ago."""
    name = SIGNATURE_HEADERS[provider]
    carried = delivery.header(name).strip()
    if not carried:
        raise Unauthenticated(f"The header {name.decode()} is missing; this address takes signed webhooks only.")
    if provider == STANDARD:
        _check_age(delivery.header(b"webhook-timestamp"), now)
        given = _versioned(carried)
    else:
        given = [carried]
    message = b"".join(_signed(provider, delivery))
    # Every key is tried on every signature, so that the time this takes tells nothing of either.
    fits = [hmac.compare_digest(_signature(key, message), each) for key in keys for each in given]
    if not any(fits):
        raise Unauthenticated(f"The signature in {name.decode()} does not fit: another secret, or other bytes.")


def key_of(provider: str, secret: str) -> bytes:
    """The bytes that sign; ValueError for a secret that cannot be one."""
    if provider != STANDARD:
        if not SECRET_LENGTH[0] <= len(secret) <= SECRET_LENGTH[1] or not secret.isprintable():
            raise ValueError(f"a secret has {SECRET_LENGTH[0]} to {SECRET_LENGTH[1]} printable characters")
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {SECRET_PREFIX} and base64") from None
    if not _KEY_BYTES[0] <= len(key) <= _KEY_BYTES[1]:
        raise ValueError(f"a secret holds {_KEY_BYTES[0]} to {_KEY_BYTES[1]} bytes in base64, not {len(key)}")
    return key


def standard_secret(key: bytes) -> str:
    """The key as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def _signed(provider: str, delivery: Delivery) -> Iterable[bytes]:
    match provider:
        case "square":
            return delivery.notification_url.encode(), delivery.body
        case "toast":
            return delivery.body, _timestamp_in(delivery.body)
        case "standard":
            header = delivery.header
            return header(b"webhook-id"), b".", header(b"webhook-timestamp"), b".", delivery.body
    return (delivery.body,)


def _signature(key: bytes, message: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, message, sha256))


def _versioned(carried: bytes) -> list[bytes]:
    """A list such as "v1,… v1,…", as it stands while the sender rotates its keys; other versions are not for us."""
    pairs = [each.partition(b",") for each in carried.split()[:_SIGNATURES_MAX]]
    return [signature for version, _, signature in pairs if version == _VERSION]


def _check_age(timestamp: bytes, now: datetime) -> None:
    if not timestamp.isdigit() or len(timestamp) > 12:
        raise Unauthenticated("The header webhook-timestamp is missing, or not whole seconds since 1970.")
    away_seconds = clock.to_ms(now) // 1000 - int(timestamp)
    if abs(away_seconds) > TOLERANCE_SECONDS:
        side = "ago" if away_seconds > 0 else "ahead"
        raise TooOld(f"The webhook was signed {abs(away_seconds)} s {side}; at most {TOLERANCE_SECONDS} s are allowed.")


def _timestamp_in(body: bytes) -> bytes:
    """The text of `timestamp` in the body, which the provider appends to it before it signs."""
    try:
        raw = bytes(_TIMESTAMPED.decode(body).timestamp)
        return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Unauthenticated("The body has no timestamp, so it cannot be what was signed.") from None

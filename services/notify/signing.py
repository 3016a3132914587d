"""Did we, or a provider of ours, make this? Short tokens for links, and signed bodies of receipts and webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from typing import NamedTuple

OPEN, CLICK, UNSUBSCRIBE = "o", "c", "u"
RECEIPT_HEADER = "X-Dangol-Signature"
RECEIPT_SECONDS_MAX = 300

_MAC_BYTES = 12
_TOKEN_BYTES = 16 + 2 + _MAC_BYTES
_TOKEN_LENGTH = -(-_TOKEN_BYTES * 4 // 3)


class Link(NamedTuple):
    message_id: str
    number: int


def derive(secret: bytes, label: str) -> bytes:
    """A secret for one purpose, from which neither the first one nor that of another purpose follows."""
    return hmac.digest(secret, f"dangol/notify/{label}".encode(), hashlib.sha256).hex().encode()


def token(secret: bytes, purpose: str, message_id: str, number: int = 0) -> str:
    """40 characters for an address: the message, the number of the link in it, and a proof that we made it."""
    body = uuid.UUID(message_id).bytes + number.to_bytes(2, "big")
    return base64.urlsafe_b64encode(body + _mac(secret, purpose, body)).rstrip(b"=").decode()


def read_token(secret: bytes, purpose: str, text: str) -> Link | None:
    """What a token names; None for one that was not made for this purpose by this secret."""
    if len(text) != _TOKEN_LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    body, proof = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(proof, _mac(secret, purpose, body)):
        return None
    return Link(str(uuid.UUID(bytes=body[:16])), int.from_bytes(body[16:], "big"))


def _mac(secret: bytes, purpose: str, body: bytes) -> bytes:
    return hmac.digest(secret, purpose.encode() + b"\x00" + body, hashlib.sha256)[:_MAC_BYTES]


def sign_body(secret: bytes, body: bytes, at_seconds: int) -> str:
    """The value of `X-Dangol-Signature`: when it was signed, and the proof over that and the body."""
    return f"t={at_seconds},v1={_proof(secret, body, at_seconds)}"


def is_signed(secret: bytes, body: bytes, signature: str, now_seconds: int) -> bool:
    """False for a wrong proof, for one made more than five minutes away from now, and for anything unreadable."""
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    stamp = parts.get("t", "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        return False
    if abs(int(stamp) - now_seconds) > RECEIPT_SECONDS_MAX:
        return False
    proof = parts.get("v1", "")
    return proof.isascii() and hmac.compare_digest(proof, _proof(secret, body, int(stamp)))


def _proof(secret: bytes, body: bytes, at_seconds: int) -> str:
    return hmac.digest(secret, f"{at_seconds}.".encode() + body, hashlib.sha256).hex()


def standard_webhook(secret: bytes, message_id: str, at_seconds: int, body: bytes) -> str:
    """The `webhook-signature` of the Standard Webhooks convention."""
    proof = hmac.digest(secret, f"{message_id}.{at_seconds}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(proof).decode()}"

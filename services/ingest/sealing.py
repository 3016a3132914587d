"""How is a secret kept that has to be read again? Sealed with AES-256-GCM, under a key that the settings derive.

What only has to be recognised, such as a write key, is hashed instead and never comes here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from libs.common.errors import Misconfigured
from services.ingest.refusals import Unsealable

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_PURPOSE: Final = b"dangol ingest sealing v1"


class Sealer:
    """The first secret seals, each of them opens, so that a secret can be replaced without losing what it sealed.

    `context` says what is sealed, such as "identity-secret/<key id>": what was sealed for one thing does not open
    for another.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise Misconfigured("no sealing secret is set: set DANGOL_INGEST_SEALING_SECRET or DANGOL_TOKEN_SECRET")
        self._ciphers = tuple(AESGCM(_key(secret)) for secret in secrets)

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._ciphers[0].encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Unsealable when no secret opens it: it was sealed under another one, for another thing, or is damaged."""
        if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
            raise Unsealable(f"what is kept as {context} is no sealed secret")
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, context.encode())
            except InvalidTag:
                continue
        raise Unsealable(
            f"no sealing secret opens {context}; name the secret that sealed it in "
            "DANGOL_INGEST_SEALING_SECRETS_PREVIOUS, or set a new one"
        )


def _key(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())

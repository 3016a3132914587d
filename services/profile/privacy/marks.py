"""How is an identifier recognised that we do not keep? By a mark that only we can make of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from libs.common.errors import Misconfigured

_PURPOSE: Final = b"dangol erasure mark v1"


class Marks:
    """HMAC-SHA256 of identifiers (`<type>:<value>`, normalised). The first secret marks, each of them recognises."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise Misconfigured("no secret to mark the erased with: set DANGOL_ERASURE_SECRET or DANGOL_TOKEN_SECRET")
        self._keys = [hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256) for secret in secrets]

    def of(self, identifier: str) -> bytes:
        return hmac.digest(self._keys[0], identifier.encode(), hashlib.sha256)

    def by_mark(self, identifiers: Iterable[str]) -> Mapping[bytes, str]:
        """Every mark by which one of these may be known."""
        return {
            hmac.digest(key, identifier.encode(), hashlib.sha256): identifier
            for identifier in identifiers
            for key in self._keys
        }

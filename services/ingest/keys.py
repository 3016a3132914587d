"""What may the holder of a write key send? Pure: a key as it is known in memory."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from msgspec import Struct

HISTORY = "history"
PERMISSIONS = (HISTORY,)
_REMEMBERED_SOURCES_MAX = 10_000


class WriteKey:
    """`sources` are patterns in which * stands for any characters; none at all allow every source."""

    __slots__ = ("_claims", "_pattern", "channel", "headers", "key_id", "may_send_history", "sources")

    def __init__(self, key_id: str, channel: str, sources: Sequence[str], permissions: Sequence[str]) -> None:
        self.key_id = key_id
        self.channel = channel
        self.sources = tuple(sources)
        self.may_send_history = HISTORY in permissions
        # The same for each event of this key: what the reader of the log may know of how it came.
        self.headers = [("channel", channel.encode()), ("key-id", key_id.encode())]
        self._claims: dict[str, bool] = {}
        self._pattern = re.compile(
            "|".join(".*".join(re.escape(part) for part in source.split("*")) for source in sources) or ".*",
            re.DOTALL,
        )

    def may_claim(self, source: str) -> bool:
        known = self._claims.get(source)
        if known is None:
            if len(self._claims) >= _REMEMBERED_SOURCES_MAX:
                self._claims.clear()
            known = self._claims[source] = self._pattern.fullmatch(source) is not None
        return known


class StoredKey(Struct, frozen=True):
    """A row of the table of keys, as far as the door needs it."""

    key_id: str
    secret_hash: bytes
    channel: str
    sources: tuple[str, ...]
    permissions: tuple[str, ...]


class KeyBook:
    """All live keys at one moment, with the headers that have been verified against them since."""

    __slots__ = ("_by_hash", "_verified")

    _VERIFIED_MAX = 10_000

    def __init__(self, keys: Sequence[StoredKey], before: KeyBook | None = None) -> None:
        known = {} if before is None else {key.key_id: key for key in before._by_hash.values()}
        self._by_hash: dict[bytes, WriteKey] = {row.secret_hash: _same_or_new(row, known) for row in keys}
        self._verified: dict[bytes, WriteKey] = {}

    def __len__(self) -> int:
        return len(self._by_hash)

    def holder_of(self, header: bytes) -> WriteKey | None:
        """The key that a header value carries, as `secret_in` reads it; None when it is not one of ours."""
        key = self._verified.get(header)
        if key is None:
            # Looked up by its hash, so the time that this takes says nothing about the secrets.
            key = self._by_hash.get(hash_of(secret_in(header)))
            if key is not None:
                if len(self._verified) >= self._VERIFIED_MAX:
                    self._verified.clear()
                self._verified[header] = key
        return key


def hash_of(secret: bytes) -> bytes:
    """Keys are long and random, so one round of SHA-256 hides them."""
    return sha256(secret).digest()


def secret_in(header: bytes) -> bytes:
    """The key in `Bearer <key>`, in `Basic <base64 of key:>` or in a bare value; empty when there is none."""
    scheme, _, rest = header.strip().partition(b" ")
    if not rest:
        return scheme
    match scheme.lower():
        case b"bearer":
            return rest.strip()
        case b"basic":
            try:
                return base64.b64decode(rest.strip(), validate=True).partition(b":")[0]
            except binascii.Error:
                return b""
    return b""


def _same_or_new(row: StoredKey, known: Mapping[str, WriteKey]) -> WriteKey:
    """Rights never change on a key, so the one that remembers its sources is kept."""
    return known.get(row.key_id) or WriteKey(row.key_id, row.channel, row.sources, row.permissions)

"""What may the holder of a write key send? Pure: keys as they are known in memory."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple

from msgspec import Struct

from services.ingest.keys.pace import Pace
from services.ingest.schemas.modes import matches

HISTORY: Final = "history"
PERMISSIONS: Final = (HISTORY,)
SERVER: Final = "server"
BROWSER: Final = "browser"
PUBLIC: Final = "public"
"""The header of what comes by a key that everybody can read."""
WEB: Final = "web"
"""The channel whose callers may be crawlers, whatever the kind of the key."""

_REMEMBERED_MAX: Final = 10_000
_REMEMBERED_LENGTH_MAX: Final = 512
"""What is longer is looked up each time: a public key lets strangers choose what is remembered."""


class Patterns:
    """Names in which * stands for any characters; no patterns at all allow every name."""

    __slots__ = ("_exact", "_known", "_patterns", "listed")

    def __init__(self, listed: Sequence[str]) -> None:
        self.listed = tuple(listed)
        self._known: dict[str, bool] = {}
        self._exact = frozenset(each for each in listed if "*" not in each)
        self._patterns = [each.split("*") for each in listed if "*" in each]

    def allow(self, name: str) -> bool:
        if not self.listed:
            return True
        known = self._known.get(name)
        if known is None:
            known = name in self._exact or any(matches(parts, name) for parts in self._patterns)
            if len(name) <= _REMEMBERED_LENGTH_MAX:
                if len(self._known) >= _REMEMBERED_MAX:
                    self._known.clear()
                self._known[name] = known
        return known


class Scope(Struct, frozen=True, kw_only=True):
    """What narrows a key beyond its channel, sources and permissions; by itself it narrows nothing.

    `types` are patterns of event types, `branches` names, `origins` patterns of the pages that a browser key may be
    used from. `events_per_second` counts for each process by itself.
    """

    name: str = ""
    kind: str = SERVER
    types: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    events_per_second: float | None = None
    expires_at: datetime | None = None


class Proof(Struct, frozen=True):
    """What a verified token says of the person, by identifier type, and until when."""

    identifiers: Mapping[str, str]
    expires_at: datetime


class WriteKey:
    """`sources` are patterns; `identity_secrets` sign what a site's server says of a person, the newest first."""

    __slots__ = (
        "_flagged",
        "_origins",
        "_sources",
        "_types",
        "channel",
        "headers",
        "identity_secrets",
        "is_browser",
        "is_narrow",
        "is_web",
        "key_id",
        "may_send_history",
        "pace",
        "permissions",
        "proofs",
        "scope",
        "sources",
    )

    def __init__(
        self,
        key_id: str,
        channel: str,
        sources: Sequence[str],
        permissions: Sequence[str],
        scope: Scope | None = None,
        identity_secrets: Sequence[bytes] = (),
    ) -> None:
        scope = scope or Scope()
        self.key_id = key_id
        self.channel = channel
        self.sources = tuple(sources)
        self.permissions = tuple(permissions)
        self.scope = scope
        self.identity_secrets = tuple(identity_secrets)
        self.is_browser = scope.kind == BROWSER
        self.is_web = self.is_browser or channel == WEB
        # One look tells the hot path that there is nothing more to look at.
        self.is_narrow = self.is_browser or bool(scope.types or scope.branches)
        self.may_send_history = HISTORY in permissions and not self.is_browser
        self.pace = None if scope.events_per_second is None else Pace(scope.events_per_second)
        self.proofs: dict[str, Proof] = {}
        # The same for each event of this key: what the reader of the log may know of how it came.
        self.headers = [("channel", channel.encode()), ("key-id", key_id.encode())]
        if self.is_browser:
            # What is not proven in such an event is a stranger's word: it must not make two customers one.
            self.headers.append((PUBLIC, b"1"))
        self._flagged: dict[str, list[tuple[str, bytes]]] = {}
        self._sources = Patterns(sources)
        self._types = Patterns(scope.types)
        self._origins = Patterns(scope.origins)

    def may_claim(self, source: str) -> bool:
        return self._sources.allow(source)

    def may_send(self, event_type: str) -> bool:
        return self._types.allow(event_type)

    def may_send_of(self, branch: str | None) -> bool:
        """A key of certain branches sends no event that names none: it would count for all of them."""
        return not self.scope.branches or branch in self.scope.branches

    def may_be_used_from(self, origin: bytes) -> bool:
        """Whether a page of this origin may use the key; `null`, which hides the page, only where all may."""
        return self._origins.allow(origin.decode("latin-1"))

    def headers_of(self, traffic: str) -> list[tuple[str, bytes]]:
        """The headers of a record whose event is flagged as `traffic`, which is empty for most."""
        if not traffic:
            return self.headers
        flagged = self._flagged.get(traffic)
        if flagged is None:
            flagged = self._flagged[traffic] = [*self.headers, ("traffic", traffic.encode())]
        return flagged


class StoredSecret(Struct, frozen=True):
    """One of the at most two secrets by which a key is shown."""

    secret_id: str
    secret_hash: bytes
    expires_at: datetime | None = None


class StoredKey(Struct, frozen=True, kw_only=True):
    """A live key as the tables have it, as far as the door needs it; identity secrets are opened already."""

    key_id: str
    channel: str
    sources: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    scope: Scope = Scope()
    secrets: tuple[StoredSecret, ...] = ()
    identity_secrets: tuple[bytes, ...] = ()


class Holding(NamedTuple):
    """A key in somebody's hands: by which secret, and until when that opens anything."""

    key: WriteKey
    secret_id: str
    expires_at: datetime | None = None
    # One look tells the hot path that there is nothing more to look at.
    is_guarded: bool = False


class KeyBook:
    """All live keys at one moment, with the headers that have been verified against them since."""

    __slots__ = ("_by_hash", "_by_id", "_verified")

    def __init__(self, keys: Sequence[StoredKey], before: KeyBook | None = None) -> None:
        known: dict[str, WriteKey] = {} if before is None else before._by_id
        self._by_id: dict[str, WriteKey] = {row.key_id: _same_or_new(row, known) for row in keys}
        self._by_hash = {
            secret.secret_hash: _holding(self._by_id[row.key_id], secret) for row in keys for secret in row.secrets
        }
        self._verified: dict[bytes, Holding] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[WriteKey]:
        return iter(self._by_id.values())

    def get(self, key_id: str) -> WriteKey | None:
        return self._by_id.get(key_id)

    def holding_of(self, header: bytes) -> Holding | None:
        """The key that a header value carries, as `secret_in` reads it; None when it is not one of ours.

        Whether it has expired is for the caller to ask, who knows what time it is.
        """
        holding = self._verified.get(header)
        if holding is None:
            # Looked up by its hash, so the time that this takes says nothing about the secrets.
            holding = self._by_hash.get(hash_of(secret_in(header)))
            if holding is not None and len(header) <= _REMEMBERED_LENGTH_MAX:
                if len(self._verified) >= _REMEMBERED_MAX:
                    self._verified.clear()
                self._verified[header] = holding
        return holding

    def holder_of(self, header: bytes) -> WriteKey | None:
        holding = self.holding_of(header)
        return None if holding is None else holding.key


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
    """A key whose rights have not changed keeps what it remembers; its pace goes on in any case."""
    held = known.get(row.key_id)
    rights = (row.channel, row.sources, row.permissions, row.scope, row.identity_secrets)
    if held is not None and rights == (
        held.channel,
        held.sources,
        held.permissions,
        held.scope,
        held.identity_secrets,
    ):
        return held
    made = WriteKey(row.key_id, row.channel, row.sources, row.permissions, row.scope, row.identity_secrets)
    if held is not None and made.pace is not None and held.pace is not None:
        made.pace.go_on_from(held.pace)
    return made


def _holding(key: WriteKey, secret: StoredSecret) -> Holding:
    ends = [each for each in (secret.expires_at, key.scope.expires_at) if each is not None]
    guarded = bool(ends or key.scope.origins or key.pace is not None)
    return Holding(key, secret.secret_id, min(ends, default=None), guarded)

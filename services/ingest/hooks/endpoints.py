"""What is known of an address that a provider sends its webhooks to? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from services.ingest.keys.book import Scope, WriteKey

PATH: Final = "/v1/hooks/"
DOOR: Final = "hooks/"
SECRETS_MAX: Final = 2
"""The one that the provider signs with, and the one that it will sign with, or has just ceased to."""
SOURCE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._~@-]*(/[A-Za-z0-9._~@-]+)*$"


class StoredSecret(Struct, frozen=True):
    secret_id: str
    sealed: bytes
    created_at: datetime


class StoredHook(Struct, frozen=True):
    """An endpoint as it is kept, with its secrets sealed, the newest first."""

    hook_id: str
    provider: str
    source: str
    channel: str
    mapping: str
    notification_url: str
    branch: str | None
    created_at: datetime
    version: int = 1
    secrets: tuple[StoredSecret, ...] = ()


class Hook:
    """An endpoint as the door uses it: with the keys that sign for it, and the rights that it acts with."""

    __slots__ = ("key", "keys", "stored")

    def __init__(self, stored: StoredHook, keys: tuple[bytes, ...]) -> None:
        self.stored = stored
        self.keys = keys
        self.key = WriteKey(
            stored.hook_id, stored.channel, (stored.source,), (), Scope(name=f"webhooks of {stored.provider}")
        )

    @property
    def door(self) -> str:
        """The name under which what it refuses is kept."""
        return door_of(self.stored.provider, self.stored.source)


class Hooks:
    """All endpoints at one moment."""

    __slots__ = ("_by_address", "_by_id")

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        """`hooks` by their id."""
        self._by_id = dict(hooks)
        self._by_address = {(each.stored.provider, each.stored.source): each for each in hooks.values()}

    def at(self, provider: str, source: str) -> Hook | None:
        return self._by_address.get((provider, source))

    def of(self, hook_id: str) -> Hook | None:
        return self._by_id.get(hook_id)


def door_of(provider: str, source: str) -> str:
    return f"{DOOR}{provider}/{source}"


def secret_context(secret_id: str) -> str:
    """What a secret is sealed for: it opens as that of no other."""
    return f"hook-secret/{secret_id}"

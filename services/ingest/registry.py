"""Which keys and types hold right now? What the door looks things up in, refreshed behind its back.

The door never waits for PostgreSQL: it works from the newest snapshot, also while the database is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import structs

from libs.common import clock, logs
from libs.common.db import Database
from libs.common.errors import DangolError, Misconfigured
from libs.common.metrics import Metrics
from services.ingest.keys.book import HISTORY, Holding, KeyBook, StoredKey, hash_of
from services.ingest.refusals import Unsealable
from services.ingest.schemas.kinds import Kinds
from services.ingest.schemas.plan import Plan
from services.ingest.sealing import Sealer
from services.ingest.store import keys as stored_keys

REFRESH_SECONDS = 1.0
USE_RECORDED_SECONDS = 10.0
HINT_LENGTH = 4


class KeyFile(msgspec.Struct):
    write_keys: dict[str, str]


class Registry:
    """A component: `start` reads keys and plan once, then a task looks at them again every second."""

    def __init__(
        self, database: Database, metrics: Metrics, keys_file: Path | None = None, sealer: Sealer | None = None
    ) -> None:
        self.keys = KeyBook([])
        self._plan = Plan(metrics)
        # Until the tables were read once nobody can be told that a key is not known.
        self.loaded = False
        self._database = database
        self._keys_file = keys_file
        self._sealer = sealer
        self._stored_keys: list[stored_keys.SealedKey] = []
        self._used: set[str] = set()
        self._use_recorded = 0.0
        self._task: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()
        self._log = logs.get(__name__)
        self._refreshed = time.monotonic()
        metrics.gauge("registry_age_seconds", "Since keys and types were last read.").set_function(
            lambda: time.monotonic() - self._refreshed
        )

    async def start(self) -> None:
        if self._keys_file is not None:
            await self._ensure_keys(self._keys_file)
        await self.refresh()
        self._task = asyncio.create_task(self._run(), name="registry")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with contextlib.suppress(DangolError):
            await self._record_use()

    @property
    def kinds(self) -> Kinds:
        """The types and the modes of sources that count now."""
        return self._plan.kinds

    async def refresh(self) -> None:
        """Read keys and plan now, so that what was just written holds here at once."""
        async with self._refreshing:
            async with self._database.connection() as connection:
                keys = await stored_keys.live_keys(connection, clock.now())
                change = await self._plan.read(connection)
            if keys != self._stored_keys:
                self.keys, self._stored_keys = KeyBook([self._opened(key) for key in keys], self.keys), keys
            if change is not None:
                await self._plan.adopt(change)
            self._refreshed = time.monotonic()
            self.loaded = True

    def holding_of(self, header: bytes) -> Holding | None:
        """The key that this header carries, and by which secret; notes that it was used."""
        holding = self.keys.holding_of(header)
        if holding is not None:
            self._used.add(holding.secret_id)
        return holding

    def _opened(self, key: stored_keys.SealedKey) -> StoredKey:
        if not key.sealed or self._sealer is None:
            return key.key
        key_id, secrets = key.key.key_id, []
        for sealed in key.sealed:
            try:
                secrets.append(self._sealer.open(sealed, identity_context(key_id)))
            except Unsealable as error:
                # The key itself is sound; its pages are told that their tokens cannot be verified.
                self._log.error("an identity secret cannot be opened", key_id=key_id, error=str(error))
        return structs.replace(key.key, identity_secrets=tuple(secrets))

    async def _run(self) -> None:
        away = False
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
                if time.monotonic() - self._use_recorded >= USE_RECORDED_SECONDS:
                    await self._record_use()
                away = False
            # Whatever befalls the database, the door goes on with what it knows.
            except Exception as error:  # noqa: BLE001
                if not away:
                    self._log.warning("keys and types are not read again now", error=repr(error))
                away = True

    async def _record_use(self) -> None:
        used, self._used = self._used, set()
        self._use_recorded = time.monotonic()
        if used:
            async with self._database.connection() as connection:
                await stored_keys.record_use(connection, list(used), clock.now())

    async def _ensure_keys(self, file: Path) -> None:
        added = 0
        async with self._database.connection() as connection:
            for channel, secret in sorted(read_keys_file(file).items()):
                key = StoredKey(key_id=_key_id(channel, secret), channel=channel, permissions=(HISTORY,))
                added += await stored_keys.add_key(connection, key, new_secret(secret), clock.now())
        if added:
            self._log.info("keys of the file are stored", number=added)


def new_secret(secret: str, expires_at: datetime | None = None) -> stored_keys.NewSecret:
    """What is stored of a secret that somebody has just been given."""
    return stored_keys.NewSecret(str(clock.new_id()), hash_of(secret.encode()), secret[-HINT_LENGTH:], expires_at)


def identity_context(key_id: str) -> str:
    """What the identity secret of a key is sealed for."""
    return f"identity-secret/{key_id}"


def read_keys_file(file: Path) -> dict[str, str]:
    """Channel to key; Misconfigured when the file cannot be used."""
    try:
        keys = msgspec.json.decode(file.read_bytes(), type=KeyFile).write_keys
    except (OSError, msgspec.MsgspecError) as error:
        raise Misconfigured(
            f"DANGOL_WRITE_KEYS_FILE names {file}, which cannot be used ({error}); "
            'it holds {"write_keys": {"<channel>": "<key>"}}'
        ) from None
    if weak := next((channel for channel, secret in keys.items() if len(secret) < 16), None):
        raise Misconfigured(f"the write key of channel {weak!r} in {file} has fewer than 16 characters")
    return keys


def _key_id(channel: str, secret: str) -> str:
    return str(clock.derived_id("write-key", channel, hash_of(secret.encode()).hex()))

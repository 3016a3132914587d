"""Which endpoints hold right now? Read again behind the door's back, which never waits for PostgreSQL."""

from __future__ import annotations

import asyncio
import time

from libs.common import logs
from libs.common.db import Database
from libs.common.metrics import Metrics
from services.ingest.hooks.endpoints import Hook, Hooks, StoredHook, secret_context
from services.ingest.keys.book import WriteKey
from services.ingest.refusals import Unsealable
from services.ingest.sealing import Sealer
from services.ingest.store import hooks as store

REFRESH_SECONDS = 1.0


class HookBook:
    """A component: `start` reads the endpoints once, then a task reads them again every second."""

    def __init__(self, database: Database, sealer: Sealer, metrics: Metrics) -> None:
        self.hooks = Hooks({})
        # Until they were read once nobody can be told that an endpoint is not known.
        self.loaded = False
        self._database = database
        self._sealer = sealer
        self._opened: dict[str, Hook] = {}
        self._task: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()
        self._refreshed = time.monotonic()
        self._log = logs.get(__name__)
        metrics.gauge("hooks_age_seconds", "Since the endpoints of webhooks were last read.").set_function(
            lambda: time.monotonic() - self._refreshed
        )

    async def start(self) -> None:
        await self.refresh()
        self._task = asyncio.create_task(self._run(), name="hooks")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def refresh(self) -> None:
        """Read them now, so that what was just written holds here at once."""
        async with self._refreshing:
            async with self._database.connection() as connection:
                stored = await store.all_hooks(connection)
            opened = {each.hook_id: self._same_or_opened(each) for each in stored}
            if opened != self._opened:
                self.hooks, self._opened = Hooks(opened), opened
            self._refreshed = time.monotonic()
            self.loaded = True

    def key_of(self, hook_id: str) -> WriteKey | None:
        """The rights of an endpoint, for what it refused and is looked at again."""
        hook = self.hooks.of(hook_id)
        return None if hook is None else hook.key

    def _same_or_opened(self, stored: StoredHook) -> Hook:
        known = self._opened.get(stored.hook_id)
        if known is not None and known.stored == stored:
            return known
        return Hook(stored, tuple(self._keys_of(stored)))

    def _keys_of(self, stored: StoredHook) -> list[bytes]:
        keys = []
        for secret in stored.secrets:
            try:
                keys.append(self._sealer.open(secret.sealed, secret_context(secret.secret_id)))
            except Unsealable as error:
                # The others may do; the door sends a provider away for a while when there is none.
                self._log.error("the secret of a webhook cannot be opened", hook_id=stored.hook_id, error=str(error))
        return keys

    async def _run(self) -> None:
        away = False
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
                away = False
            # Whatever befalls the database, the door goes on with what it knows.
            except Exception as error:  # noqa: BLE001
                if not away:
                    self._log.warning("the endpoints of webhooks are not read again now", error=repr(error))
                away = True

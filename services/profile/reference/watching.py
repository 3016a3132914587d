"""Which reference data counts in this process? What has changed is read once a second, whole at the start."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from libs.common import logs
from libs.common.db import Database, Row
from libs.common.errors import DangolError
from services.profile.reference.catalogue import Branch, Catalogue, Product
from services.profile.store import reference as store

INTERVAL_SECONDS: Final = 1.0
STALE_SECONDS_MAX: Final = 15.0
_PAGE: Final = 5_000


class ReferenceWatch:
    """A component that keeps one catalogue up to date."""

    def __init__(self, database: Database) -> None:
        self.catalogue = Catalogue()
        self._database = database
        self._words: dict[str, str] = {}
        self._seen = time.monotonic()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get(__name__)

    def problems(self) -> list[str]:
        age = time.monotonic() - self._seen
        return [f"reference data: not read for {age:.0f} s"] if age > STALE_SECONDS_MAX else []

    async def start(self) -> None:
        """Reads all, so that what starts afterwards finds it; raises what reading raises."""
        await self.refresh()
        self._stopping.clear()
        self._task = asyncio.create_task(self._watch(), name="reference")

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def failed(self) -> None:
        assert self._task is not None
        await asyncio.wait({self._task})
        self._task.result()

    async def refresh(self) -> None:
        """One look; pages are applied as they come, and the number is taken only when all of them were."""
        async with self._database.connection() as connection:
            number = await store.number(connection)
            seen = self.catalogue.number
            if number != seen:
                for table, take in (
                    (store.PRODUCTS, self._take_product),
                    (store.PLACES, self._take_place),
                    (store.STAFF, self._take_staff),
                ):
                    await self._read(connection, table, take, seen if number > seen else -1)
                self.catalogue.settle_regions()
                self.catalogue.number = number
        self._seen = time.monotonic()

    async def _read(self, connection: Any, table: store.Table, take: Any, seen: int) -> None:
        # Codes are never empty, so nothing of the number itself is left out by beginning behind the last of them.
        place = (seen, "\U0010ffff")
        while rows := await store.changed_since(connection, table, *place, _PAGE):
            for row in rows:
                take(row)
            place = (rows[-1]["number"], rows[-1]["code"])
            if len(rows) < _PAGE:
                break

    def _take_product(self, row: Row) -> None:
        if row["gone"]:
            self.catalogue.products.pop(row["code"], None)
            return
        margin = None if row["margin"] is None else float(row["margin"])
        self.catalogue.products[row["code"]] = Product(self._word(row["category"]), self._word(row["brand"]), margin)

    def _take_place(self, row: Row) -> None:
        if row["gone"]:
            self.catalogue.places.pop(row["code"], None)
        else:
            self.catalogue.places[row["code"]] = Branch(row["kind"], row["parent"])

    def _take_staff(self, row: Row) -> None:
        if row["gone"]:
            self.catalogue.staff.discard(row["code"])
        else:
            self.catalogue.staff.add(row["code"])

    def _word(self, text: str) -> str:
        """The same text once: thousands of products share a category."""
        return self._words.setdefault(text, text)

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._stopping.wait()
                    return
            try:
                await self.refresh()
            except (DangolError, OSError) as error:
                # What is known stays; readiness tells when that has lasted too long.
                self._log.warning("reference_not_read", error=f"{type(error).__name__}: {error}")

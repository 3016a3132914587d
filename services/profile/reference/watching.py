"""Which reference data counts in this process? What has changed is read once a second, whole at the start."""

from __future__ import annotations

from typing import Any, Final

from libs.common.db import Database, Row
from libs.common.watching import Watcher
from services.profile.reference.catalogue import Branch, Catalogue, Product
from services.profile.store import reference as store

_PAGE: Final = 5_000


class ReferenceWatch(Watcher):
    """A component that keeps one catalogue up to date."""

    def __init__(self, database: Database) -> None:
        super().__init__("reference data")
        self.catalogue = Catalogue()
        self._database = database
        self._words: dict[str, str] = {}

    async def refresh(self) -> None:
        """Pages are applied as they come, and the number is taken only when all of them were."""
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
        self._noticed()

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
